"""Declarations of the networks that the paper compares with, but for VGG. Paper: Tables 3, 4 and 6."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import msgspec

from resnets.specs.base import Positive, Spec


class ComparisonSpec(Spec, frozen=True, kw_only=True):
    """What these declarations have in common. `options` are the fields that `named` takes."""

    name: str
    depth: Positive  # weighted layers: convolutions and fully connected layers of the longest path
    num_classes: Positive
    in_channels: Positive = 3

    options: ClassVar[tuple[str, ...]] = ()
    named_fields: ClassVar[dict[str, dict[str, Any]]]  # by name, what a name means
    type: ClassVar[Literal["cifar", "imagenet"]] = "cifar"
    least_size: ClassVar[int] = 4  # side of the smallest image, in pixels
    of_training: ClassVar[frozenset[str]] = frozenset()  # fields that only a training uses
    without_effect: ClassVar = frozenset({"name", "depth", "num_classes"})  # what the others, or the weights, say

    @classmethod
    def named(cls, name: str, **options: Any) -> Self:
        """Return the declaration of a network by its name, with `num_classes`, `in_channels` and its own options.

        Raises: UsageError, if an option has another value than its field.
        """
        classes = 10 if cls.type == "cifar" else 1000
        return cls(name=name, **{"num_classes": classes, **cls.named_fields[name], **options})

    @classmethod
    def all_options(cls) -> frozenset[str]:
        """Return the names of the options that `named` takes."""
        return frozenset({"num_classes", "in_channels", *cls.options})

    @property
    def input_size(self) -> int:
        """Side of the square input that its authors train with, in pixels."""
        return 32 if self.type == "cifar" else 224

    @property
    def layers(self) -> int:
        """Convolutions and fully connected layers but for the last."""
        return self.depth - 1

    def in_words(self) -> str:
        """Return what the network is: its name, and the options that are not its own."""
        standard = {"num_classes": None, **self.named_fields[self.name]}
        own = {field.name: field.default for field in msgspec.structs.fields(self)} | standard
        changed = [f"{name}={getattr(self, name)}" for name in self.options if getattr(self, name) != own[name]]
        return f"{self.name} ({', '.join(changed)})" if changed else self.name


class MaxoutSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="maxout"):
    """Maxout [10]: three maxout convolutions, a maxout fully connected layer and the classifier."""

    fc_pieces: Positive = 5  # linear pieces of a unit of the fully connected layer; the published count is that of 2

    options = ("fc_pieces",)
    named_fields: ClassVar = {"maxout": {"depth": 5}}
    least_size = 8


class NINSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="nin"):
    """Network in network [25]: nine convolutions, six of them 1x1, and global average pooling."""

    pool2: Literal["max", "avg"] = "max"  # the second pooling; "avg" is Caffe's port, with its dropout

    options = ("pool2",)
    named_fields: ClassVar = {"nin": {"depth": 9}}


class DSNSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="dsn"):
    """Deeply supervised network [24]: NIN's layers, with three companion classifiers in training."""

    auxiliary: bool = True  # with the companions, which only training runs

    options = ("auxiliary",)
    named_fields: ClassVar = {"dsn": {"depth": 9}}
    without_effect: ClassVar = ComparisonSpec.without_effect | {"auxiliary"}


class FitNetSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="fitnet"):
    """FitNet of 19 layers [35]: 17 thin maxout convolutions, a maxout fully connected layer and the classifier."""

    fc_pieces: Positive = 5  # linear pieces of a unit of the fully connected layer; the published count is that of 2

    options = ("fc_pieces",)
    named_fields: ClassVar = {"fitnet19": {"depth": 19}}


_THREE_BY_THREE = (3, 3, 3, 3, 3)
_ALTERNATING = (3, 1, 3, 1, 3, 1, 3, 1, 3)


class HighwaySpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="highway"):
    """Highway networks [42, 43]: three stages, each a plain convolution followed by gated ones.

    The structure of `highway32` is not published, but for its depth, its number of parameters and that kernels of 3x3
    and 1x1 alternate: this is a reconstruction.
    """

    widths: tuple[Positive, ...]  # of each stage
    kernels: tuple[tuple[Literal[1, 3], ...], ...]  # of the highway layers of each stage
    head: Literal["gap", "fc500"] = "gap"  # 1x1 convolution and average pooling; or max pooling and a layer of 500
    gate_bias: float = -2.0  # at the start: a gate lets sigmoid(-2) = 12 % of the transformation through
    stem_std: Literal["he", "1"] = "he"  # of the first weights at the start; 1 by a slip in the authors' file

    options = ("head", "gate_bias", "stem_std")
    of_training: ClassVar = frozenset({"gate_bias", "stem_std"})
    named_fields: ClassVar = {
        "highway19": {
            "depth": 19,
            "widths": (32, 80, 128),
            "kernels": (_THREE_BY_THREE[:4], _THREE_BY_THREE, _THREE_BY_THREE),
        },
        "highway32": {"depth": 32, "widths": (24, 48, 96), "kernels": (_ALTERNATING,) * 3},
    }


class GoogLeNetSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="googlenet"):
    """GoogLeNet [44]: nine inception modules, with two auxiliary classifiers in training.

    torchvision's network of this name has `batch_norm=True`, `branch3_kernel=3`, `pool4_kernel=2` and `lrn=False`.
    """

    batch_norm: bool = False
    branch3_kernel: Literal[3, 5] = 5
    pool4_kernel: Literal[2, 3] = 3
    lrn: bool = True  # local response normalisation
    separable_stem: bool = False  # the first layer depthwise, then 1x1: the costs that the authors print
    auxiliary: bool = True  # with the auxiliary classifiers, which only training runs
    bn_group: Positive | None = None  # images that share batch-norm statistics in training; None: the whole batch

    options = ("batch_norm", "branch3_kernel", "pool4_kernel", "lrn", "separable_stem", "auxiliary", "bn_group")
    named_fields: ClassVar = {"googlenet": {"depth": 22}}
    of_training: ClassVar = frozenset({"bn_group"})
    without_effect: ClassVar = ComparisonSpec.without_effect | {"auxiliary"}
    type = "imagenet"
    least_size = 32


class BNInceptionSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="bn-inception"):
    """BN-Inception [16]: ten inception modules with batch norm.

    The variants differ in the projections of 4c and 4d, which the authors' table prints as 128 while their sums say 96.
    """

    variant: Literal["google", "caffe"] = "google"  # 96, a separable stem; or 128, a full one, convolutions with biases
    bn_group: Positive | None = None  # images that share batch-norm statistics in training; None: the whole batch

    options = ("variant", "bn_group")
    named_fields: ClassVar = {"bn_inception": {"depth": 34}}
    of_training: ClassVar = frozenset({"bn_group"})
    type = "imagenet"
    least_size = 32


class PReLUNetSpec(ComparisonSpec, frozen=True, kw_only=True, tag_field="kind", tag="prelu-net"):
    """PReLU-nets A, B and C [13]: 3x3 layers with parametric ReLUs and a spatial pyramid. C is in Tables 3 and 4."""

    convolutions: Positive  # 3x3 layers of each of the three stages
    widths: tuple[Positive, ...]

    named_fields: ClassVar = {
        "prelu_net_a": {"depth": 19, "convolutions": 5, "widths": (256, 512, 512)},
        "prelu_net_b": {"depth": 22, "convolutions": 6, "widths": (256, 512, 512)},
        "prelu_net_c": {"depth": 22, "convolutions": 6, "widths": (384, 768, 896)},
    }
    type = "imagenet"
    least_size = 64
