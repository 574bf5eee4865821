"""Training recipes of classifiers by name: the paper's, and others with the list of their departures from it.

This table imports no torch.
"""

from __future__ import annotations

from resnets.paper.recipes import CIFAR, IMAGENET, IMAGENET_PLATEAU
from resnets.registry import Registry
from resnets.specs import REDUCED, AreaCropFlip, Departure, PadCropFlip, Preprocessing, Recipe
from resnets.training import authors_recipes

CIFAR_200 = Recipe(
    name="cifar-200",
    source="the usual re-implementations' 200 epochs of 50,000 images",
    iterations=78_125,  # 200 * 50,000 / 128
    batch_size=128,
    lr=0.1,
    milestones=(39_062, 58_594),  # epochs 100 and 150
    decay_factor=0.1,
    warm_up=CIFAR.warm_up,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="channel", std=True),
    augmentation=PadCropFlip(pad=4, flip=True),
    departures=(
        Departure("200 epochs, lr divided by 10 at epochs 100 and 150", "what most re-implementations train"),
        Departure("channel mean and standard deviation", "likewise; the paper subtracts the per-pixel mean only"),
        Departure("batch norm over the whole batch of 128", "one GPU instead of the paper's two"),
    ),
)

FAST = Recipe(
    name="fast",
    source="section 4.2 in 36 epochs instead of 164, tuned on the 45k/5k validation split",
    iterations=14_063,  # 36 epochs
    batch_size=128,
    lr=0.2,
    linear_warm_up=2_813,  # a fifth
    decay="linear",
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=PadCropFlip(pad=2, flip=True, alternate=True),
    departures=(
        Departure("36 epochs; lr rises to 0.2 for a fifth of them, then falls along a line", "the paper takes 164"),
        Departure("Nesterov's momentum, weight decay of 5e-4, label smoothing of 0.1", "usual in short trainings"),
        Departure("padding of 2", "better on the validation split: a short training overfits less"),
        Departure("an image is mirrored in every other epoch", "it is never seen from one side several times in a row"),
        Departure("batch norm over the whole batch of 128", "one device instead of the paper's two"),
        Departure("no warm-up for 110 layers and more", "the rate rises slowly in any case"),
    ),
)

DIGITS = Recipe(
    name="digits",
    source="section 4.2, shortened for 1,437 images of 8x8",
    iterations=200,
    batch_size=128,
    lr=0.02,
    milestones=(100, 150),  # in the paper's proportion, 1/2 and 3/4
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=PadCropFlip(pad=1, flip=False),
    evaluate_every=20,
    departures=(
        Departure("handwritten digits of 8x8 instead of CIFAR-10", "offline and in minutes"),
        Departure("200 iterations", "18 epochs of this small data set"),
        Departure(
            "learning rate 0.02 without a warm-up",
            "in so short a run 110 layers do not converge at a learning rate of 0.1",
        ),
        Departure("padding of 1 and no mirror images", "the images are small, and a mirrored digit is not a digit"),
        Departure("batch norm over the whole batch of 128", "one device"),
    ),
)

IMAGENET_90 = Recipe(
    name="imagenet-90",
    source="torchvision's V1 weights (its reference script of 2016 to 2021)",
    iterations=450_410,  # 90 epochs
    batch_size=256,
    bn_group=32,
    lr=0.1,
    milestones=(150_137, 300_274),  # epochs 30 and 60
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="channel", std=True),
    augmentation=AreaCropFlip(crop=224, resize=256, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
    evaluate_every=5_005,
    departures=(
        Departure("90 epochs, lr divided by 10 at epochs 30 and 60", "the usual length; the paper trains up to 120"),
        Departure("crops of 8 to 100 % of the area, of proportions 3:4 to 4:3", "the usual RandomResizedCrop"),
        Departure("no colour augmentation", "likewise"),
        Departure("channel mean and standard deviation", "likewise; the paper subtracts the per-pixel mean only"),
    ),
)

IMAGENET_FAST = Recipe(
    name="imagenet-fast",
    source="what the fastest published recipes share, in 16 epochs; not measured here yet",
    iterations=20_018,  # 16 epochs
    batch_size=1_024,
    lr=2.0,  # 0.5 / 256 * batch
    linear_warm_up=2_502,  # 2 epochs
    decay="linear",
    momentum=0.9,
    weight_decay=5e-5,
    decay_all=False,
    label_smoothing=0.1,
    preprocessing=Preprocessing(mean="channel", std=True),
    augmentation=AreaCropFlip(crop=224, resize=256, scale=(0.25, 1.0), start_crop=128, resize_between=(0.3, 0.8)),
    evaluate_every=1_251,
    departures=(
        Departure("16 epochs; lr rises for 2, then falls along a line", "best for its length; --epochs 40 for more"),
        Departure("mini-batches of 1,024, batch norm over all of them on a device", "fewer, larger steps fill a GPU"),
        Departure("images of 128 pixels at first, growing to 224", "early epochs cost a third"),
        Departure("crops of 25 to 100 % of the area, no colour augmentation", "so short a training overfits less"),
        Departure("label smoothing of 0.1", "helps short trainings"),
        Departure("weight decay of 5e-5, and not on batch norm and biases", "likewise"),
        Departure("channel mean and standard deviation", "a mean of each pixel has one size"),
    ),
)

SCRATCH = Recipe(
    name="scratch",
    source="what short trainings of residual networks share, for any number of your own photos",
    iterations=8_703,  # 56 epochs of 10,000 photos; the length follows their number
    batch_size=64,
    lr=0.05,
    linear_warm_up=435,  # a twentieth
    decay="cosine",
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    preprocessing=Preprocessing(mean="channel", std=True, decode="reduced"),
    augmentation=AreaCropFlip(crop=224, resize=256, scale=(0.25, 1.0)),
    evaluate_every=435,
    departures=(
        Departure("as many epochs as the number of photos suggests, along a cosine", "the paper's are ImageNet's"),
        Departure(
            "mini-batches of 64 from lr 0.05 after a warm-up, Nesterov's momentum", "more updates on small data sets"
        ),
        Departure("weight decay of 5e-4, label smoothing of 0.1", "small data sets overfit quickly"),
        Departure("crops of 25 to 100 % of the area, no colour augmentation", "usual in short trainings"),
        Departure("batch norm over the whole batch of 64", "one device"),
        Departure(
            "channel mean and standard deviation", "usual for photos; the paper subtracts the per-pixel mean only"
        ),
        REDUCED,
    ),
)

FINETUNE = Recipe(
    name="finetune",
    source="the usual transfer of trained weights to other images (Kornblith et al. 2019); give them as --weights",
    iterations=1_450,  # 9 epochs of 10,000 images; the length follows their number
    batch_size=64,
    lr=0.01,
    linear_warm_up=73,  # a twentieth
    decay="cosine",
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="channel", std=True, decode="reduced"),
    augmentation=AreaCropFlip(crop=224, resize=256, scale=(0.25, 1.0)),
    evaluate_every=145,
    departures=(
        Departure(
            "starts from trained weights, except for the last layer", "the paper trains all its networks from scratch"
        ),
        Departure("a sixth of the epochs of `scratch`, from lr 0.01 after a warm-up, along a cosine", "the usual ones"),
        Departure("all layers are trained, batch norm's statistics too", "better than frozen ones on other images"),
        Departure(
            "crops of 25 to 100 % of the area, no colour augmentation", "pre-trained weights need less augmentation"
        ),
        Departure("batch norm over the whole batch of 64", "one device"),
        Departure("mean and standard deviation of the pre-trained weights", "to match them"),
        REDUCED,
    ),
)

RECIPES: Registry[Recipe] = Registry(
    "recipe",
    *(CIFAR, CIFAR_200, FAST, DIGITS, IMAGENET, IMAGENET_PLATEAU, IMAGENET_90, IMAGENET_FAST, SCRATCH, FINETUNE),
    *authors_recipes.RECIPES,
)
