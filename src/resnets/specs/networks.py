"""Networks as they are declared. Paper: section 3.3, Table 1; section 4.2."""

from __future__ import annotations

from typing import Literal

from resnets.specs.base import Spec

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


class ResNetSpec(Spec, frozen=True, kw_only=True, tag_field="kind", tag="resnet"):
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
    depth: int
    convolutions: tuple[int, ...]  # 3x3 layers of each of the five stages
    num_classes: int
    in_channels: int = 3
    dropout: float = 0.5
    initialization: Initialization = "he_fan_in"

    type = "imagenet"
    input_size = 224
    widths = (64, 128, 256, 512, 512)

    def in_words(self) -> str:
        """Return what the network is."""
        return self.name


NetworkSpec = ResNetSpec | VGGSpec

WITHOUT_EFFECT = frozenset({"name", "num_classes", "bn_group", "initialization", "dropout"})
"""Fields without effect on what given weights compute in evaluation mode; classes show in the shapes of weights."""
