"""Recipes of the networks that the paper compares with, as their authors trained them. Paper: Tables 3 to 6."""

from __future__ import annotations

from resnets.specs import (
    AreaCropFlip,
    Departure,
    Distillation,
    Hint,
    PadCropFlip,
    ParameterGroup,
    Plateau,
    Preprocessing,
    PrincipalColors,
    Recipe,
    ScaleCropFlip,
)

CONTRAST = 55 / 3_072**0.5  # of 32x32 images in colour, whose norm is then 55
GCN = Preprocessing(contrast=CONTRAST)
GCN_ZCA = Preprocessing(contrast=CONTRAST, whitening=0.1)

_BIASES = ParameterGroup(names=r".*\.bias", lr=2, weight_decay=0)
_OWN = Departure(
    "iterations, lr, weight decay and groups of parameters of its authors; no warm-up; batch norm over the whole batch",
    "the network is trained as by its authors, not as in the paper",
)
_WHITE = Departure(
    "contrast of each image normalised, then ZCA of the training images, instead of the mean alone", "as its authors"
)
_CONTRAST = Departure("contrast of each image normalised, before the mean is subtracted", "as its authors")
_SCALE = Departure("each image is scaled to a norm of 55", "the authors do not say by how much; others of the time do")

MAXOUT = Recipe(
    name="authors-maxout",
    source="Maxout [10], its authors' file for augmented CIFAR-10",
    iterations=185_156,  # 474 epochs of 50,000 images
    batch_size=128,
    lr=0.17,
    decay="linear",
    decay_to=0.0616,  # on the way to a hundredth after 500 epochs
    momentum=0.65,
    weight_decay=0.0,
    groups=(
        ParameterGroup(names=r"conv\d\..*", lr=0.05),
        ParameterGroup(names=r"conv1\.conv\.weight", max_norm=0.9),
        ParameterGroup(names=r"conv[23]\.conv\.weight|fc\.weight", max_norm=1.9365),
        ParameterGroup(names=r"maxout\.linear\.weight", max_norm=1.9),
    ),
    preprocessing=GCN_ZCA,
    augmentation=PadCropFlip(pad=4),
    departures=(
        _OWN,
        _WHITE,
        Departure("momentum 0.65 throughout", "the authors' rises to it from 0.5 in the first 250 epochs"),
    ),
)

NIN = Recipe(
    name="authors-nin",
    source="Network in network [25], its authors' parameters for CIFAR-10",
    iterations=101_563,  # 260 epochs
    batch_size=128,
    lr=0.1,
    milestones=(78_125, 89_844),  # 200 and 230 epochs
    momentum=0.9,
    weight_decay=1e-4,
    groups=(_BIASES, ParameterGroup(names=r"cccp6\..*", lr=0.1)),
    preprocessing=GCN_ZCA,
    augmentation=PadCropFlip(pad=4),
    departures=(
        _OWN,
        _WHITE,
        Departure(
            "padding of 4, crops and mirror images in the schedule without augmentation",
            "that of the augmented run is not published",
        ),
    ),
)

DSN = Recipe(
    name="authors-dsn",
    source="Deeply supervised nets [24], its authors' solvers for augmented CIFAR-10",
    iterations=200_000,  # 50,000 with the companions, 120,000 without, 30,000 at the last rate
    batch_size=100,
    lr=0.025,
    milestones=(150_000, 170_000),
    decay_factor=0.004**0.5,
    momentum=0.9,
    weight_decay=5e-4,
    groups=(
        _BIASES,
        ParameterGroup(names=r"cccp6\..*", lr=0.1),
        ParameterGroup(names=r"companions\..*", lr=0.001, fade=(1e-4, 0.75), optional=True),
    ),
    loss="squared-hinge",
    auxiliary_weight=1.0,
    auxiliary_iterations=50_000,
    preprocessing=GCN,
    augmentation=PadCropFlip(pad=4),
    departures=(
        _OWN,
        _CONTRAST,
        _SCALE,
        Departure("the per-pixel mean is subtracted after that", "the authors' file does not show it"),
        Departure("lr 0.0016 between 150,000 and 170,000 iterations", "the authors' is 0.00125; the last is theirs"),
        Departure("one run with one momentum", "the authors restart their solver at 50,000 and 170,000 iterations"),
    ),
)

FITNET = Recipe(
    name="authors-fitnet",
    source="FitNets [35], its authors' file and scripts for the network of 19 layers",
    iterations=151_563,  # 100 epochs of 50,000 images for the hint, then 288
    batch_size=128,
    lr=0.005,
    momentum=0.0,
    weight_decay=0.0,
    optimizer="rmsprop",
    groups=(
        ParameterGroup(names=r"stage\d\..*", lr=0.05, max_norm=0.9),
        ParameterGroup(names=r"maxout\.linear\.weight", max_norm=1.9),
        ParameterGroup(names=r"fc\.weight", max_norm=1.9365),
        ParameterGroup(names=r"regressor\..*", max_norm=0.9, optional=True),
    ),
    distillation=Distillation(
        temperature=3.0,
        labels=1.0,
        weight=4.0,
        weight_to=1.0,
        weight_falls=(41_016, 195_313),  # epochs 5 and 400 of the second stage, which ends before
        squared=False,
        hint=Hint(layer="pool2", teacher_layer="pool2", iterations=39_063, pieces=2),
    ),
    preprocessing=GCN_ZCA,
    augmentation=PadCropFlip(pad=8),
    departures=(
        _OWN,
        _WHITE,
        Departure("learns a Maxout network's maps, then the labels and its scores", "as its authors"),
        Departure("100 epochs for the maps", "the number is not published"),
        Departure("padding of 8", "as in its authors' file; their text has mirror images only"),
        Departure("RMSProp adds 1e-5 to the root that it divides by", "torch's; its authors divide by 1e-5 at least"),
        Departure("one run with one mean of RMSProp", "the authors start their second stage with another"),
    ),
)

HIGHWAY = Recipe(
    name="authors-highway",
    source="Highway networks [42, 43], the solver of the released network of 19 layers",
    iterations=200_000,
    batch_size=100,
    lr=0.025,
    milestones=(100_000, 150_000, 175_000),
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-3,
    groups=(_BIASES, ParameterGroup(names=r"fc\..*", weight_decay=10)),
    preprocessing=GCN,
    augmentation=PadCropFlip(pad=8),
    departures=(_OWN, _CONTRAST, _SCALE, Departure("padding of 8", "as its authors")),
)

GOOGLENET = Recipe(
    name="authors-googlenet",
    source="GoogLeNet [44], its section 6, and Caffe's solver where that says nothing",
    iterations=10_000_000,  # 250 epochs
    batch_size=32,
    lr=0.01,
    milestones=tuple(range(320_000, 10_000_000, 320_000)),  # every 8 epochs
    decay_factor=0.96,
    momentum=0.9,
    weight_decay=2e-4,
    groups=(_BIASES,),
    auxiliary_weight=0.3,
    preprocessing=Preprocessing(mean="channel"),
    augmentation=AreaCropFlip(crop=224, resize=256, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
    evaluate_every=40_000,
    departures=(
        _OWN,
        Departure("lr, weight decay, batch size and length of Caffe's solver", "its authors name none of them"),
        Departure("crops by one interpolation, and no photometric distortions", "its authors' are not published"),
        Departure("the last weights", "its authors average those of the last iterations"),
        Departure("the mean of each channel is subtracted", "as its authors"),
    ),
)

BN_INCEPTION = Recipe(
    name="authors-bn-inception",
    source="BN-Inception [16], its section 4.2, the network BN-x30",
    iterations=6_000_000,
    batch_size=32,
    lr=0.045,
    milestones=tuple(range(53_382, 6_000_000, 53_382)),  # six times as often as GoogLeNet's
    decay_factor=0.96,
    momentum=0.9,
    weight_decay=4e-5,  # a fifth of GoogLeNet's
    preprocessing=Preprocessing(mean="channel"),
    augmentation=AreaCropFlip(crop=224, resize=256, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
    evaluate_every=40_000,
    departures=(
        _OWN,
        Departure("one worker with mini-batches of 32 images", "its authors train with several that do not wait"),
        Departure("weight decay of a fifth of that of Caffe's GoogLeNet", "its authors say a fifth, not of what"),
        Departure("crops of 8 to 100 % of the area, no photometric distortions", "its authors' are not published"),
        Departure("the mean of each channel is subtracted", "its authors do not say"),
    ),
)

PRELU_NET = Recipe(
    name="authors-prelu-net",
    source="PReLU-nets [13], their section 3",
    iterations=800_729,  # about 80 epochs
    batch_size=128,
    lr=0.01,
    plateau=Plateau(patience=5, gain=0.2, drops=2),
    momentum=0.9,
    weight_decay=5e-4,
    groups=(ParameterGroup(names=r"prelu\d\.weight|conv\d_x\.\d*[02468]\.weight", weight_decay=0),),  # the slopes
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=ScaleCropFlip(shortest=256, longest=512, crop=224, flip=True, colors=PrincipalColors(std=0.1)),
    evaluate_every=10_009,
    departures=(
        _OWN,
        Departure("crops from shorter sides of 256 to 512", "as its authors"),
        Departure(
            "a plateau is five points of the curve without a gain of 0.2 %", "its authors do not say what one is"
        ),
    ),
)

VGG = Recipe(
    name="authors-vgg",
    source="VGG [41], its section 3.1, at several scales",
    iterations=370_000,  # 74 epochs
    batch_size=256,
    lr=0.01,
    plateau=Plateau(patience=5, gain=0.2, drops=3),
    momentum=0.9,
    weight_decay=5e-4,
    preprocessing=Preprocessing(mean="channel"),
    augmentation=ScaleCropFlip(shortest=256, longest=512, crop=224, flip=True, colors=PrincipalColors(std=0.1)),
    evaluate_every=5_000,
    departures=(
        _OWN,
        Departure("crops from shorter sides of 256 to 512", "as its authors"),
        Departure("the mean of each channel is subtracted", "as its authors"),
        Departure(
            "from random weights as in [13]",
            "its authors start from a network of 11 layers, and that of several scales from one of 384 pixels; they "
            "found later that random weights will do",
        ),
        Departure(
            "a plateau is five points of the curve without a gain of 0.2 % in training",
            "its authors look at the validation images",
        ),
    ),
)

RECIPES = (MAXOUT, NIN, DSN, FITNET, HIGHWAY, GOOGLENET, BN_INCEPTION, PRELU_NET, VGG)
