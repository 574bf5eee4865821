"""Every network by its name: `resnet56` -> its declaration -> the module. Paper: Tables 1 and 6, section 4.2."""

from __future__ import annotations

import re
from typing import Any, get_args

from torch import nn

from resnets.errors import UsageError, nearest
from resnets.networks.baselines.vgg import VGG
from resnets.networks.resnet import ResNet
from resnets.networks.shortcuts import is_projection
from resnets.specs import Initialization, NetworkSpec, ResNetSpec, Shortcut, StridePlacement, VGGSpec

# 3x3 layers (basic) or bottlenecks in conv2_x ... conv5_x: Table 1.
IMAGENET: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (4, 4, 4, 4)),
    34: ("basic", (6, 8, 12, 6)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
CIFAR_DEPTHS = (20, 32, 44, 56, 110, 1202)  # 6n + 2 with n = 3, 5, 7, 9, 18, 200: section 4.2
VGGS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

NAMES: tuple[str, ...] = (
    *(f"plain{depth}" for depth in CIFAR_DEPTHS),
    *(f"resnet{depth}" for depth in CIFAR_DEPTHS),
    *(f"plain{depth}" for depth in IMAGENET),
    *(f"resnet{depth}" for depth in IMAGENET),
    "resnet50_v1_5",
    "resnet101_v1_5",
    "resnet152_v1_5",
    "vgg16",
    "vgg19",
)
"""The networks of the paper; any `plainD` or `resnetD` of another depth D = 6n + 2 exists as well."""


def spec(
    name: str,
    *,
    shortcut: Shortcut | None = None,
    stride: StridePlacement | None = None,
    num_classes: int | None = None,
    in_channels: int = 3,
    residual_layers: int | None = None,
    bn_group: int | None = None,
    initialization: Initialization = "he_fan_in",
) -> NetworkSpec:
    """Return the declaration of a network by its name; None takes the paper's value.

    `shortcut` is option A, B or C (default A for the CIFAR type, B for the ImageNet type); `stride` says which
    convolution of a downsampling bottleneck has stride 2 (`1x1`, the authors', or `3x3`, which `_v1_5` means);
    `residual_layers` is the number of 3x3 layers of F in a basic block: the depth stays, the shortcuts span more or
    fewer layers. A depth of both kinds (50, 152) is the ImageNet type; `resnet50_cifar` is the other.

    Raises: UsageError, if there is no such network or an option does not apply to it.
    """
    match = re.fullmatch(r"(resnet|plain|vgg)([1-9][0-9]*)(_v1_5|_cifar)?", name)
    if not match:
        raise UsageError(f"unknown network {name!r}{nearest(name, NAMES)}; `resnets list` shows all")
    kind, depth, suffix = match[1], int(match[2]), match[3]
    for what, value in (
        ("num_classes", num_classes),
        ("in_channels", in_channels),
        ("residual_layers", residual_layers),
        ("bn_group", bn_group),
    ):
        if value is not None and value < 1:
            raise UsageError(f"{what} is {value}; it must be 1 or more")
    _one_of("shortcut", shortcut, Shortcut)
    _one_of("stride", stride, StridePlacement)
    _one_of("initialization", initialization, Initialization)

    if kind == "vgg":
        if depth not in VGGS or suffix:
            raise UsageError(f"unknown network {name!r}{nearest(name, NAMES)}; the VGG networks are vgg16 and vgg19")
        options = {
            "shortcut": shortcut,
            "stride": stride,
            "residual_layers": residual_layers,
            "bn_group": bn_group,
        }
        for option, choice in options.items():
            if choice is not None:
                raise UsageError(f"{name} has no option {option!r}: it has no shortcuts and no batch norm")
        return VGGSpec(
            name=name,
            depth=depth,
            convolutions=VGGS[depth],
            num_classes=num_classes or 1000,
            in_channels=in_channels,
            initialization=initialization,
        )

    imagenet = depth in IMAGENET and suffix != "_cifar"
    block, counts = IMAGENET[depth] if imagenet else ("basic", (_layers_of_a_stage(name, depth),) * 3)
    if block == "bottleneck":
        if residual_layers is not None:
            raise UsageError(f"{name} has bottleneck blocks of three layers; residual_layers is for basic blocks")
        if suffix == "_v1_5" and stride == "1x1":
            raise UsageError(f"{name} has stride 2 on the 3x3; for the first 1x1 the name is {kind}{depth}")
        stride = stride or ("3x3" if suffix == "_v1_5" else "1x1")
    else:
        if stride is not None or suffix == "_v1_5":
            raise UsageError(f"{name}: the place of the stride is a choice of bottleneck blocks (50, 101, 152 layers)")
        layers = residual_layers or 2
        if any(count % layers for count in counts):
            raise UsageError(
                f"{name} has {' + '.join(map(str, counts))} 3x3 layers in its stages, which cannot be "
                f"grouped by residual_layers={layers}"
            )
        counts = tuple(count // layers for count in counts)
    if kind == "plain" and shortcut is not None:
        raise UsageError(f"{name} is a plain network and has no shortcuts; drop shortcut={shortcut!r}")
    return ResNetSpec(
        name=name,
        type="imagenet" if imagenet else "cifar",
        depth=depth,
        block=block,  # type: ignore[arg-type]
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


def build(declaration: NetworkSpec) -> ResNet | VGG:
    """Return the module that a declaration describes, freshly initialised."""
    return VGG(declaration) if isinstance(declaration, VGGSpec) else ResNet(declaration)


def create(name: str, **options: Any) -> ResNet | VGG:
    """Return a freshly initialised network; the options are those of `spec`.

    Raises: UsageError, as `spec`.
    """
    return build(spec(name, **options))


def decoded_side(network: str | nn.Module) -> int | None:
    """Return the side to which a network's images are resized when they are read; None: they keep their size.

    For the CIFAR type it is 32 pixels: so small images are kept in memory.

    Raises: UsageError, if there is no network of this name.
    """
    found = spec(network) if isinstance(network, str) else getattr(network, "spec", None)
    return found.input_size if isinstance(found, ResNetSpec) and found.type == "cifar" else None


def projections(network: nn.Module) -> int:
    """Return how many shortcuts project, that is, have weights."""
    return sum(is_projection(block.downsample) for block in network.blocks()) if isinstance(network, ResNet) else 0


def _layers_of_a_stage(name: str, depth: int) -> int:
    if depth < 8 or (depth - 2) % 6:
        lower = max(8, depth - (depth - 2) % 6)
        raise UsageError(
            f"no network {name!r}: a CIFAR-type depth is 6n + 2 (nearest: {lower} and {lower + 6}), "
            f"an ImageNet-type one 18, 34, 50, 101 or 152"
        )
    return (depth - 2) // 3


def _one_of(what: str, value: str | None, literal: Any) -> None:
    if value is not None and value not in get_args(literal):
        raise UsageError(f"{what} is {value!r}; it must be one of {', '.join(get_args(literal))}")
