"""Frozen declarations of networks, inputs and recipes; plain data, standard library only."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal, get_args

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
class PrincipalColors:
    """Add to all pixels of an image sum_i p_i a_i l_i, with a_i drawn from N(0, std) for each image and epoch.

    p_i and l_i are the eigenvectors and eigenvalues of the covariance of the training images' RGB values, scaled to
    [0, 1]; they are None in a declaration, and known when it is resolved for some data. Nothing is clipped.

    Paper: section 3.4, the "standard color augmentation in [21]".
    """

    std: float = 0.1
    values: tuple[float, ...] | None = None
    vectors: tuple[tuple[float, ...], ...] | None = None  # one of each value


@dataclass(frozen=True, kw_only=True)
class ScaleCropFlip:
    """Resize the shorter side to a random length in [shortest, longest], crop at random, flip by half. Section 3.4."""

    shortest: int = 256
    longest: int = 480
    crop: int = 224
    flip: bool = True
    colors: PrincipalColors | None = None

    @property
    def resize(self) -> int:
        """The shorter side of what is tested on."""
        return self.shortest


@dataclass(frozen=True, kw_only=True)
class AreaCropFlip:
    """Crop a part of random area and proportions, resize it to a square, flip by half: torchvision's RandomResizedCrop.

    With `growing_from` the square is smaller at first: it grows in steps of 32 pixels from there to `crop`, between the
    shares `grows` of the training.
    """

    crop: int = 224
    resize: int = 256  # the shorter side of what is tested on
    scale: tuple[float, float] = (0.08, 1.0)  # the part's area, as a share of the image's
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # its width over its height
    flip: bool = True
    colors: PrincipalColors | None = None
    growing_from: int | None = None
    grows: tuple[float, float] = (0.3, 0.8)

    def size_at(self, share: float) -> int:
        """Return the side of the square when a share of the training is done."""
        if self.growing_from is None:
            return self.crop
        begin, end = self.grows
        grown = min(1.0, max(0.0, (share - begin) / (end - begin)))
        return min(self.crop, self.growing_from + round(grown * (self.crop - self.growing_from) / 32) * 32)


Fall = Literal["steps", "linear", "cosine"]
"""How the learning rate falls: divided at the milestones as in the paper, or to 0 along a line or half a cosine."""

PhotoAugmentation = ScaleCropFlip | AreaCropFlip
Augmentation = PadCropFlip | PhotoAugmentation


# ---------------------------------------------------------------- test protocols (sections 3.4 and 4.2)


TestProtocol = Literal["single-view", "center-crop", "ten-crop", "dense-multi-scale"]
"""How a classifier is tested: small images as they are, photos by crops or, fully convolutionally, as a whole."""

SCALES = (224, 256, 384, 480, 640)
"""Shorter sides, in pixels, at which section 3.4 tests whole images, for a network that takes 224 x 224."""


@dataclass(frozen=True, kw_only=True)
class HowTested:
    """A test protocol with its choices made: the views of an image whose class probabilities are averaged.

    Units: pixels of the shorter side for `scales`, which only `dense-multi-scale` has.
    """

    protocol: TestProtocol
    flips: bool = False  # each view's mirror image is a view as well
    scales: tuple[int, ...] = ()


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


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """Divide the rate when the training error has ceased to fall; no test set is looked at.

    The error is the mean since the point of the curve before. `patience` points in a row that are not `gain` below the
    best one so far make a drop, of which there are `drops` at most. Paper: section 3.4, "when the error plateaus".
    """

    patience: int = 5  # points of the curve
    gain: float = 0.2  # percent
    drops: int = 2


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
    plateau: Plateau | None = None  # drops by the training error instead of milestones
    warm_up: WarmUp | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True  # False: the weights of batch norm and the biases do not decay
    label_smoothing: float = 0.0  # probability that is spread evenly over all classes
    bn_images: int | None = None  # over which batch norm's statistics are computed anew at the end; None: not
    ema: float | None = None  # decay of the weights' moving average, which is then what is tested and saved
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
        need(
            self.bn_images is None or self.bn_images >= 1,
            f"bn_images is {self.bn_images}",
            "it must be 1 or more images, or None to keep the moving average",
        )
        need(self.ema is None or 0 < self.ema < 1, f"ema is {self.ema}", "it must be in (0, 1), such as 0.9999")
        need(not self.nesterov or self.momentum > 0, "Nesterov's momentum is asked for with momentum 0", "raise it")
        need(
            self.fall == "steps" or not self.milestones,
            f"milestones and a {self.fall} fall are both given",
            "one of them is enough",
        )
        need(
            self.plateau is None or (self.fall == "steps" and not self.milestones),
            "drops on a plateau and milestones or another fall are both given",
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


# ---------------------------------------------------------------- detection (section 4.3, appendices A and B)

RoIPooling = Literal["max", "align"]
"""How a region's features are taken from the shared maps: RoI max pooling as in 2015, or RoI align (bilinear)."""


@dataclass(frozen=True, kw_only=True)
class DetectionRecipe(Recipe):
    """How to train and test a Faster R-CNN on a network: what a recipe has, and what [32] and [7] set.

    Of a recipe's fields those about batch norm, which is frozen, labels, warm-up, preprocessing (it is that of the
    backbone) and augmentation do not apply. The regions that are learnt from are drawn anew at each iteration.

    Units: pixels of the resized image for sides, anchors and `roi_size` (of the shared maps); IoU in [0, 1]
    Paper: section 4.3, appendix A.
    """

    preprocessing: Preprocessing | None = None
    evaluate_every: int = 1_000_000  # tests take long: by default there is one, at the end
    shorter_side: int = 600
    longest_side: int = 1_000  # where the shorter side would make it longer than this, the image is made smaller
    flip: bool = True  # by half
    frozen_stages: int = 2  # conv1, conv2_x, ... that are not fine-tuned
    # region proposal network
    anchor_sizes: tuple[int, ...] = (128, 256, 512)  # square roots of areas
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height over width
    anchors_per_image: int = 256  # in the loss, at most half of them positive
    anchor_positive: float = 0.7  # IoU from which an anchor is positive; so is the best of each box
    anchor_negative: float = 0.3  # IoU below which it is negative
    anchor_box_weight: float = 10.0  # lambda of the loss, which is divided by the number of places
    proposal_nms: float = 0.7
    ranked: tuple[int, int] = (12_000, 6_000)  # proposals before that, in training and in testing
    proposals: tuple[int, int] = (2_000, 300)  # and after it
    # regions
    roi_pooling: RoIPooling = "max"
    roi_size: int | None = None  # None: 14 for residual networks, whose conv5_1 halves it; 7 for VGG
    head_stride: Literal[1, 2] = 2  # of conv5_1
    global_context: bool = False  # appendix B: each region's features beside those of the whole image
    regions_per_image: int = 128
    region_share: float = 0.25  # of those, that may be objects
    region_positive: float = 0.5  # IoU from which a region is an object
    region_negative: tuple[float, float] = (0.1, 0.5)  # IoU from, and below, which it is background
    # testing
    nms: float = 0.3
    score: float = 0.05  # below which a detection is dropped
    detections_per_image: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()

        def need(condition: bool, what: str, right: str) -> None:
            if not condition:
                raise UsageError(f"recipe {self.name!r}: {what}; {right}")

        need(self.shorter_side >= 32, f"shorter side is {self.shorter_side}", "it must be 32 pixels or more")
        need(
            self.longest_side >= self.shorter_side,
            f"longest side is {self.longest_side}",
            f"it must be at least the shorter side, {self.shorter_side}",
        )
        sizes = bool(self.anchor_sizes) and all(size > 0 for size in self.anchor_sizes)
        need(sizes, f"anchor sizes are {self.anchor_sizes}", "they must be positive")
        ratios = bool(self.anchor_ratios) and all(ratio > 0 for ratio in self.anchor_ratios)
        need(ratios, f"anchor ratios are {self.anchor_ratios}", "they must be positive")
        need(0 <= self.frozen_stages <= 4, f"frozen stages are {self.frozen_stages}", "there are 0 to 4 shared ones")
        need(
            0 <= self.anchor_negative <= self.anchor_positive <= 1,
            f"anchors are negative below {self.anchor_negative} and positive from {self.anchor_positive}",
            "these must ascend in [0, 1]",
        )
        low, high = self.region_negative
        need(
            0 <= low <= high <= self.region_positive <= 1,
            f"regions are background in [{low}, {high}) and objects from {self.region_positive}",
            "these must ascend in [0, 1]",
        )
        need(self.anchors_per_image >= 2, f"anchors per image are {self.anchors_per_image}", "they must be 2 or more")
        need(self.regions_per_image >= 4, f"regions per image are {self.regions_per_image}", "they must be 4 or more")
        need(0 < self.region_share < 1, f"the share of objects is {self.region_share}", "it must be in (0, 1)")
        need(min(*self.ranked, *self.proposals) >= 1, "there are to be no proposals", "they must be 1 or more")
        need(
            self.roi_pooling in get_args(RoIPooling),
            f"RoI pooling is {self.roi_pooling!r}",
            f"it must be {' or '.join(get_args(RoIPooling))}",
        )
        need(self.roi_size is None or self.roi_size >= 2, f"RoI size is {self.roi_size}", "it must be 2 or more")
        need(self.head_stride in (1, 2), f"the head's stride is {self.head_stride}", "it must be 1 or 2")

    def scaled(self, iterations: int) -> DetectionRecipe:
        """Return the recipe with another length, its milestones moved in proportion; the distance of tests stays."""
        scaled = super().scaled(iterations)
        assert isinstance(scaled, DetectionRecipe)
        return dataclasses.replace(scaled, evaluate_every=self.evaluate_every)
