"""The training recipes, each with the paper's numbers or its list of deviations from them."""

from __future__ import annotations

from resnets.errors import UsageError, nearest
from resnets.specs import Deviation, PadCropFlip, Preprocessing, Recipe, ScaleCropFlip, WarmUp

CIFAR = Recipe(
    name="cifar",
    source="section 4.2",
    iterations=64_000,
    batch_size=128,
    bn_group=64,  # 128 "on two GPUs"
    lr=0.1,
    milestones=(32_000, 48_000),
    factor=0.1,
    warm_up=WarmUp(lr=0.01, below_error=80.0, from_depth=110),
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=PadCropFlip(pad=4, flip=True),
)

CIFAR_200 = Recipe(
    name="cifar-200",
    source="the usual re-implementations' 200 epochs of 50,000 images",
    iterations=78_125,  # 200 * 50,000 / 128
    batch_size=128,
    lr=0.1,
    milestones=(39_062, 58_594),  # epochs 100 and 150
    factor=0.1,
    warm_up=CIFAR.warm_up,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="channel", std=True),
    augmentation=PadCropFlip(pad=4, flip=True),
    deviations=(
        Deviation("200 epochs, lr divided by 10 at epochs 100 and 150", "what most re-implementations train"),
        Deviation("channel mean and standard deviation", "likewise; the paper subtracts the per-pixel mean only"),
        Deviation("batch norm over the whole batch of 128", "one GPU instead of the paper's two"),
    ),
)

DIGITS = Recipe(
    name="digits",
    source="section 4.2, shortened for 1,437 images of 8x8",
    iterations=200,
    batch_size=128,
    lr=0.02,
    milestones=(100, 150),  # in the paper's proportion, 1/2 and 3/4
    factor=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=PadCropFlip(pad=1, flip=False),
    evaluate_every=20,
    deviations=(
        Deviation("handwritten digits of 8x8 instead of CIFAR-10", "offline and in minutes"),
        Deviation("200 iterations", "18 epochs of this small data set"),
        Deviation("learning rate 0.02 without a warm-up", "in so short a run 110 layers do not settle at 0.1"),
        Deviation("padding of 1 and no mirror images", "the images are small, and a mirrored digit is none"),
        Deviation("batch norm over the whole batch of 128", "one device"),
    ),
)

IMAGENET = Recipe(
    name="imagenet",
    source="section 3.4; the drops of the learning rate as Figure 4 shows them",
    iterations=600_000,
    batch_size=256,
    bn_group=32,  # 256 on eight GPUs
    lr=0.1,
    milestones=(150_000, 300_000),
    factor=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="channel"),
    augmentation=ScaleCropFlip(shortest=256, longest=480, crop=224, flip=True),
    evaluate_every=5_000,
    deviations=(
        Deviation("mean of each channel subtracted", "the paper subtracts the mean of each pixel"),
        Deviation("no colour augmentation", "the paper adds AlexNet's"),
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (CIFAR, CIFAR_200, DIGITS, IMAGENET)}


def find(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises: UsageError, naming the nearest ones, if there is none.
    """
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}{nearest(name, RECIPES)}; known: {', '.join(RECIPES)}")
    return RECIPES[name]
