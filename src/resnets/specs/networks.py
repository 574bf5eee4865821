"""Networks as they are declared. Paper: section 3.3, Table 1; section 4.2."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, TypedDict

import msgspec

from resnets.errors import UsageError, require_at_least
from resnets.specs.base import Positive, Spec
from resnets.specs.comparison import (
    BNInceptionSpec,
    DSNSpec,
    FitNetSpec,
    GoogLeNetSpec,
    HighwaySpec,
    MaxoutSpec,
    NINSpec,
    PReLUNetSpec,
)

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


class VariantSettings(TypedDict, total=False):
    """Options of a network by its name that most have; None keeps its default."""

    shortcut: Shortcut | None
    stride: StridePlacement | None
    residual_layers: int | None
    bn_group: int | None
    initialization: Initialization | None


class NetworkSettings(VariantSettings, total=False):
    """Options of a network by its name, with what depends on the data; None keeps its default."""

    num_classes: int | None
    in_channels: int | None


Option = bool | int | float | str | None
"""The value of an option of a network."""

# 3x3 layers (basic) or bottlenecks in conv2_x ... conv5_x: Table 1.
IMAGENET_STAGES: dict[int, tuple[Literal["basic", "bottleneck"], tuple[int, ...]]] = {
    18: ("basic", (4, 4, 4, 4)),
    34: ("basic", (6, 8, 12, 6)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
VGG_STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # 3x3 layers: configurations D and E of [41]


class ResNetSpec(Spec, frozen=True, kw_only=True, tag_field="kind", tag="resnet"):
    """A residual network or its plain counterpart.

    Paper: section 3.3, Table 1 (type `imagenet`) and section 4.2 (type `cifar`).
    """

    name: str
    type: Literal["cifar", "imagenet"]
    depth: Positive  # weighted layers: convolutions outside shortcuts, and the final fc
    block: Literal["basic", "bottleneck"]
    blocks: tuple[Positive, ...]  # of each stage
    residual: bool  # False: the plain counterpart, without shortcuts
    shortcut: Shortcut | None  # None for a plain network
    stride: StridePlacement | None  # None for basic blocks, whose first convolution has it
    residual_layers: Positive = 2  # 3x3 layers of F in a basic block
    num_classes: Positive
    in_channels: Positive = 3
    bn_group: Positive | None = None  # images that share batch-norm statistics in training; None: the whole batch
    initialization: Initialization = "he_fan_in"
    zeros: ZeroChannels = "after"  # of option A; "around" only in networks whose weights come from such a project
    pool: StemPool = "padded"  # "ceil" only in networks whose weights come from Caffe

    least_size = 1  # side of the smallest image, in pixels
    of_training: ClassVar = frozenset({"bn_group", "initialization"})  # fields that only a training uses
    without_effect: ClassVar = frozenset({"name", "depth", "num_classes"})  # what the others, or the weights, say

    @classmethod
    def named(
        cls,
        name: str,
        *,
        shortcut: Shortcut | None = None,
        stride: StridePlacement | None = None,
        num_classes: int | None = None,
        in_channels: int = 3,
        residual_layers: int | None = None,
        bn_group: int | None = None,
        initialization: Initialization = "he_fan_in",
    ) -> ResNetSpec:
        """Return the declaration of `resnetD`, `plainD`, `resnetD_v1_5` or `resnetD_cifar`; None: the paper's value.

        `shortcut` is option A, B or C (default A for the CIFAR type, B for the ImageNet type); `stride` is the
        convolution of a downsampling bottleneck that has stride 2 (`1x1`, the authors', or `3x3`, which `_v1_5`
        means); `residual_layers` is the number of 3x3 layers of F in a basic block: the depth stays, the shortcuts
        span more or fewer layers. A depth of both types (50, 152) is the ImageNet type; `resnet50_cifar` is the other.

        Raises: UsageError, if there is no such depth or an option does not apply to it.
        """
        match = re.fullmatch(r"(resnet|plain)([0-9]+)(_v1_5|_cifar)?", name)
        assert match is not None
        kind, depth, suffix = match[1], int(match[2]), match[3]
        require_at_least(
            1, num_classes=num_classes, in_channels=in_channels, residual_layers=residual_layers, bn_group=bn_group
        )
        imagenet = depth in IMAGENET_STAGES and suffix != "_cifar"
        block, counts = IMAGENET_STAGES[depth] if imagenet else ("basic", (_layers_of_a_stage(name, depth),) * 3)
        if block == "bottleneck":
            if residual_layers is not None:
                raise UsageError(f"{name} has bottleneck blocks of three layers; residual_layers is for basic blocks")
            if suffix == "_v1_5" and stride == "1x1":
                raise UsageError(f"{name} has stride 2 on the 3x3; for the first 1x1 the name is {kind}{depth}")
            stride = stride or ("3x3" if suffix == "_v1_5" else "1x1")
        elif stride is not None or suffix == "_v1_5":
            raise UsageError(f"{name}: the place of the stride is a choice of bottleneck blocks (50, 101, 152 layers)")
        else:
            counts = _in_blocks(name, counts, residual_layers or 2)
        if kind == "plain" and shortcut is not None:
            raise UsageError(f"{name} is a plain network and has no shortcuts; drop shortcut={shortcut!r}")
        return cls(
            name=name,
            type="imagenet" if imagenet else "cifar",
            depth=depth,
            block=block,
            blocks=counts,
            residual=kind == "resnet",
            shortcut=(shortcut or ("B" if imagenet else "A")) if kind == "resnet" else None,
            stride=stride,
            residual_layers=residual_layers or 2,
            num_classes=num_classes or (1000 if imagenet else 10),
            in_channels=in_channels,
            bn_group=bn_group,
            initialization=initialization,
        )

    @property
    def layers(self) -> int:
        """Convolutions in the blocks, but for projections."""
        return sum(self.blocks) * (3 if self.block == "bottleneck" else self.residual_layers)

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

    def in_words(self) -> str:
        """Return what the network is: its name and the options that the name leaves open."""
        parts = [f"option {self.shortcut}"] if self.shortcut else []
        if self.zeros == "around":
            parts[0] += " with its zeros half before, half after"
        if self.stride:
            parts.append(f"stride 2 on the {self.stride}")
        if self.pool == "ceil":
            parts.append("Caffe's first pooling")
        return f"{self.name} ({', '.join(parts)})" if parts else self.name


class VGGSpec(Spec, frozen=True, kw_only=True, tag_field="kind", tag="vgg"):
    """A VGG network, the paper's comparison on ImageNet. Paper: Figure 3 (left), Tables 3, 4, 7 and 8."""

    name: str
    depth: Positive
    convolutions: tuple[Positive, ...]  # 3x3 layers of each of the five stages
    num_classes: Positive
    in_channels: Positive = 3
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.5
    initialization: Initialization = "he_fan_in"

    type = "imagenet"
    input_size = 224
    least_size = 32
    widths = (64, 128, 256, 512, 512)
    hidden = 4096  # of fc6 and fc7
    of_training: ClassVar = frozenset({"dropout", "initialization"})
    without_effect: ClassVar = frozenset({"name", "depth", "num_classes"})

    @classmethod
    def named(
        cls,
        name: str,
        *,
        num_classes: int | None = None,
        in_channels: int = 3,
        initialization: Initialization = "he_fan_in",
    ) -> VGGSpec:
        """Return the declaration of `vgg16` or `vgg19`. Raises: UsageError, as `ResNetSpec.named`."""
        depth = int(name.removeprefix("vgg"))
        require_at_least(1, num_classes=num_classes, in_channels=in_channels)
        return cls(
            name=name,
            depth=depth,
            convolutions=VGG_STAGES[depth],
            num_classes=num_classes or 1000,
            in_channels=in_channels,
            initialization=initialization,
        )

    @property
    def layers(self) -> int:
        """Convolutions."""
        return sum(self.convolutions)

    def in_words(self) -> str:
        """Return what the network is."""
        return self.name


class FunctionSpec(Spec, frozen=True, kw_only=True, tag_field="kind", tag="function"):
    """A network that a registered function builds: what is needed to call the function again."""

    name: str
    module: str  # that registers it
    input_size: Positive  # side of the square input, in pixels
    depth: Positive | None = None  # weighted layers, where they were given
    num_classes: Positive
    in_channels: Positive = 3
    options: dict[str, Option] = msgspec.field(default_factory=dict)  # the other arguments

    least_size = 1
    of_training: ClassVar[frozenset[str]] = frozenset()
    without_effect: ClassVar = frozenset({"module", "input_size", "depth", "num_classes"})

    @property
    def layers(self) -> int:
        """Layers that are known: none, since the function decides."""
        return 0

    @property
    def type(self) -> Literal["cifar", "imagenet"]:
        """Small images, which are kept in memory, or photos."""
        return "cifar" if self.input_size < 64 else "imagenet"

    def in_words(self) -> str:
        """Return what the network is: its name and its options."""
        parts = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name} ({parts})" if parts else self.name


NetworkSpec = (
    ResNetSpec
    | VGGSpec
    | MaxoutSpec
    | NINSpec
    | DSNSpec
    | FitNetSpec
    | HighwaySpec
    | GoogLeNetSpec
    | BNInceptionSpec
    | PReLUNetSpec
    | FunctionSpec
)


def default_shortcut(network: str) -> Shortcut | None:
    """Return the option that a network has by its name: A for the CIFAR type, B for the ImageNet type."""
    if not network.startswith("resnet"):
        return None
    return "B" if re.fullmatch(r"resnet(18|34|50|101|152)(_v1_5)?", network) else "A"


def first_difference(one: NetworkSpec, other: NetworkSpec) -> tuple[str, Any, Any] | None:
    """Return the first field by which two networks with the same weights compute something else, and both values.

    In evaluation mode. All fields count but those that their class declares as `of_training` or `without_effect`: the
    number of classes shows in the shapes of the weights, and the other fields say what a name means.
    """
    if type(one) is not type(other):
        return "name", one.name, other.name
    found = one.differences(other).items()
    return next(((name, *both) for name, both in found if name not in one.of_training | one.without_effect), None)


def _layers_of_a_stage(name: str, depth: int) -> int:
    if depth < 8 or (depth - 2) % 6:
        lower = max(8, depth - (depth - 2) % 6)
        raise UsageError(
            f"no network {name!r}: a CIFAR-type depth is 6n + 2 (nearest: {lower} and {lower + 6}), "
            f"an ImageNet-type one 18, 34, 50, 101 or 152"
        )
    return (depth - 2) // 3


def _in_blocks(name: str, layers: tuple[int, ...], residual_layers: int) -> tuple[int, ...]:
    """Return the blocks of each stage with this number of 3x3 layers."""
    if any(count % residual_layers for count in layers):
        raise UsageError(
            f"{name} has {' + '.join(map(str, layers))} 3x3 layers in its stages, which cannot be "
            f"grouped by residual_layers={residual_layers}"
        )
    return tuple(count // residual_layers for count in layers)
