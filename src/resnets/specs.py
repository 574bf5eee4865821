"""Frozen declarations of networks, inputs and recipes; plain data, standard library only."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from resnets.errors import UsageError

Shortcut = Literal["A", "B", "C"]
"""How a shortcut matches dimensions (section 3.3): A pads zeros, B projects where they grow, C always projects."""

StridePlacement = Literal["1x1", "3x3"]
"""Which convolution of a downsampling bottleneck has stride 2: the first 1x1 (the authors') or the 3x3 (v1.5)."""

ZeroChannels = Literal["after", "around"]
"""Where option A puts its zero channels: after the identity ones, as everywhere here, or half before, half after."""

StemPool = Literal["padded", "ceil"]
"""The 3x3 max pool of the ImageNet stem: one pixel of padding, or as in Caffe none and the last window cut short."""

Initialization = Literal["he_fan_in", "he_fan_out"]
"""He's normal initialisation with variance 2 / fan, by input (the default of [13]) or by output connections."""


# ---------------------------------------------------------------- networks (section 3)


@dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """A residual network or its plain twin.

    Paper: section 3.3, Table 1 (type `imagenet`) and section 4.2 (type `cifar`).
    """

    name: str
    type: Literal["cifar", "imagenet"]
    depth: int  # weighted layers: convolutions outside shortcuts, and the final fc
    block: Literal["basic", "bottleneck"]
    blocks: tuple[int, ...]  # of each stage
    residual: bool  # False: the plain twin, without shortcuts
    shortcut: Shortcut | None  # None for a plain network
    stride: StridePlacement | None  # None for basic blocks, whose first convolution has it
    residual_layers: int = 2  # 3x3 layers of F in a basic block
    num_classes: int
    in_channels: int = 3
    bn_group: int | None = None  # images that share batch-norm statistics in training; None: the whole batch
    initialization: Initialization = "he_fan_in"
    zeros: ZeroChannels = "after"  # of option A; "around" only in networks whose weights come from such a project
    pool: StemPool = "padded"  # "ceil" only in networks whose weights come from Caffe

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of the 3x3 layers of each stage."""
        return (16, 32, 64) if self.type == "cifar" else (64, 128, 256, 512)

    @property
    def expansion(self) -> int:
        """Output channels of a block over the filters of its 3x3 layers."""
        return 4 if self.block == "bottleneck" else 1

    @property
    def input_size(self) -> int:
        """Side of the square input that the paper trains with, in pixels."""
        return 32 if self.type == "cifar" else 224


@dataclass(frozen=True, kw_only=True)
class VGGSpec:
    """A VGG network, the paper's comparison on ImageNet. Paper: Figure 3 (left), Tables 3, 4, 7 and 8."""

    name: str
    depth: int
    convolutions: tuple[int, ...]  # 3x3 layers of each of the five stages
    num_classes: int
    in_channels: int = 3
    dropout: float = 0.5
    initialization: Initialization = "he_fan_in"

    type = "imagenet"
    input_size = 224
    widths = (64, 128, 256, 512, 512)


NetworkSpec = ResNetSpec | VGGSpec


# ---------------------------------------------------------------- inputs


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is subtracted from the pixels, which are first scaled to [0, 1]; nothing is divided by unless `std`.

    Paper: sections 3.4 and 4.2 subtract the per-pixel mean of the training images.
    """

    mean: Literal["pixel", "channel"] = "pixel"
    std: bool = False  # divide by the channels' standard deviation as well


Interpolation = Literal["bilinear", "bicubic"]
"""How images are resized, antialiased."""


@dataclass(frozen=True, kw_only=True)
class InputConvention:
    """What a trained network expects: it travels with the weights, so that nobody has to set it again.

    An image is resized to `resize` on its shorter side, its centre cropped to `size`, its channels put in `order`, and
    scaled to [0, `white`]; then the mean is subtracted and, where there is one, divided by the standard deviation.

    Units: pixels for `size` and `resize`; mean, mean image and std in the scale and the order of the network's input.
    """

    size: int
    resize: int
    channels: int = 3  # 3: colour, 1: grey
    mean: tuple[float, ...] | None = None  # of each channel
    mean_image: str | None = None  # or of each pixel: base64 of float32, (size, size, channels), little endian
    std: tuple[float, ...] | None = None  # of each channel
    interpolation: Interpolation = "bilinear"
    white: Literal[1, 255] = 1  # what a pixel of full brightness becomes before the mean is subtracted; black is 0
    order: Literal["RGB", "BGR"] = "RGB"


@dataclass(frozen=True, kw_only=True)
class PadCropFlip:
    """Pad `pad` zeros on each side after the mean is subtracted, crop at random, and flip by half. Section 4.2.

    With `alternate`, an image that one epoch shows mirrored the next one shows as it is, and so on, instead of a
    coin being tossed for each: no image is then seen from one side several epochs in a row.
    """

    pad: int = 4
    flip: bool = True
    alternate: bool = False


@dataclass(frozen=True, kw_only=True)
class ScaleCropFlip:
    """Resize the shorter side to a random length in [shortest, longest], crop at random, flip by half. Section 3.4."""

    shortest: int = 256
    longest: int = 480
    crop: int = 224
    flip: bool = True


Fall = Literal["steps", "linear", "cosine"]
"""How the learning rate falls: divided at the milestones as in the paper, or to 0 along a line or half a cosine."""

Augmentation = PadCropFlip | ScaleCropFlip


# ---------------------------------------------------------------- recipes (sections 3.4 and 4.2)


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Train at a lower rate until the training error falls below a bound; for networks from a certain depth on.

    The error is the mean over the last `window` mini-batches. Paper: section 4.2 (110 layers: 0.01 until below
    80 %, about 400 iterations). `at_most` ends it in any case, so that a network that never gets there, such as a
    plain one, still sees the recipe's rate.
    """

    lr: float = 0.01
    below_error: float = 80.0  # percent
    from_depth: int = 110
    window: int = 50
    at_most: int = 2_000


@dataclass(frozen=True)
class Deviation:
    """Where a recipe leaves the paper: what differs, and why."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: time in iterations of one mini-batch each. Paper: sections 3.4 and 4.2."""

    name: str
    source: str  # where the numbers come from
    iterations: int
    batch_size: int
    bn_group: int | None = None  # images that share batch-norm statistics; None: the whole batch
    lr: float = 0.1
    milestones: tuple[int, ...] = ()  # iterations at which lr is multiplied by `factor`
    factor: float = 0.1
    rise: int = 0  # iterations in which lr rises linearly from 0 at the start
    fall: Fall = "steps"
    warm_up: WarmUp | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True  # False: the weights of batch norm and the biases do not decay
    label_smoothing: float = 0.0  # probability that is spread evenly over all classes
    preprocessing: Preprocessing | None = field(default_factory=Preprocessing)  # None: the data comes prepared
    augmentation: Augmentation | None = None
    evaluate_every: int = 500  # iterations between two points of the test curve
    deviations: tuple[Deviation, ...] = ()

    def __post_init__(self) -> None:
        def need(condition: bool, what: str, right: str) -> None:
            if not condition:
                raise UsageError(f"recipe {self.name!r}: {what}; {right}")

        need(self.iterations >= 1, f"iterations is {self.iterations}", "it must be 1 or more")
        need(self.batch_size >= 1, f"batch size is {self.batch_size}", "it must be 1 or more")
        need(math.isfinite(self.lr) and self.lr > 0, f"lr is {self.lr}", "it must be a positive number")
        need(0 <= self.momentum < 1, f"momentum is {self.momentum}", "it must be in [0, 1)")
        need(
            math.isfinite(self.weight_decay) and self.weight_decay >= 0,
            f"weight decay is {self.weight_decay}",
            "it must be 0 or more",
        )
        need(
            self.bn_group is None or self.bn_group >= 1,
            f"bn_group is {self.bn_group}",
            "it must be 1 or more images, or None for the whole batch",
        )
        need(0 <= self.rise < self.iterations, f"rise is {self.rise} iterations", "it must be less than all of them")
        need(0 <= self.label_smoothing < 1, f"label smoothing is {self.label_smoothing}", "it must be in [0, 1)")
        need(not self.nesterov or self.momentum > 0, "Nesterov's momentum is asked for with momentum 0", "raise it")
        need(
            self.fall == "steps" or not self.milestones,
            f"milestones and a {self.fall} fall are both given",
            "one of them is enough",
        )
        need(self.evaluate_every >= 1, f"evaluate_every is {self.evaluate_every}", "it must be 1 or more")

    def scaled(self, iterations: int) -> Recipe:
        """Return the recipe with another length, its milestones moved in proportion (rounded to iterations)."""
        if iterations < 1:
            raise UsageError(f"recipe {self.name!r}: iterations is {iterations}; it must be 1 or more")
        ratio = iterations / self.iterations
        warm_up = self.warm_up
        if warm_up is not None:
            warm_up = dataclasses.replace(warm_up, at_most=max(1, round(warm_up.at_most * ratio)))
        return dataclasses.replace(
            self,
            iterations=iterations,
            warm_up=warm_up,
            milestones=tuple(round(milestone * ratio) for milestone in self.milestones),
            rise=min(round(self.rise * ratio), iterations - 1),
            evaluate_every=max(1, min(self.evaluate_every, 200, iterations // 10), round(self.evaluate_every * ratio)),
        )
