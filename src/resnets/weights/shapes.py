"""From the names and shapes of weights to the network they are of, as far as these tell it."""

from __future__ import annotations

import re

from torch import Tensor

from resnets.errors import WeightsError
from resnets.networks.catalog import IMAGENET, VGGS, spec
from resnets.specs import NetworkSpec, ResNetSpec, Shortcut
from resnets.weights.layouts.layout import Layout, is_cifar_type

Tensors = dict[str, Tensor]


def declare(tensors: Tensors, layout: Layout, name: str | None = None) -> NetworkSpec:
    """Return the declaration of the network that tensors under our names are of.

    `name` is needed where they do not tell: without projections a residual network with option A and its plain twin
    have the same weights, if the project does not say which it has.

    Raises: WeightsError, if the weights are of no network here or the name contradicts them; UsageError, for a name
    that there is not.
    """
    found = name or _name(tensors, layout)
    classes = _size(tensors, "fc.weight", "classifier.6.weight", axis=0)
    channels = _size(tensors, "conv1.weight", "features.0.weight", axis=1) or 3
    declared = spec(found, num_classes=classes, in_channels=channels)
    if not isinstance(declared, ResNetSpec):
        return declared
    if declared.stride not in (None, layout.stride):
        right = f"{found.removesuffix('_v1_5')}{'_v1_5' if layout.stride == '3x3' else ''}"
        raise WeightsError(
            f"{found} has stride 2 on the {declared.stride} of a bottleneck, and in {layout.name}'s layout it is on "
            f"the {layout.stride}: that network's name is {right}"
        )
    if not declared.residual and layout.unprojected:
        raise WeightsError(f"{found} is a plain network, and those of {layout.name}'s layout are residual")
    if declared.residual:
        shortcut = _shortcut(tensors, declared.type == "cifar")
        if shortcut is not None or layout.unprojected:
            declared = declared.with_changes(shortcut=shortcut or "A")
    if declared.block == "basic" and (layers := _numbers(tensors, r"layer1\.0\.conv([0-9]+)\.weight")) not in (0, 2):
        rebuilt = spec(found, num_classes=classes, in_channels=channels, residual_layers=layers)
        assert isinstance(rebuilt, ResNetSpec)
        declared = rebuilt.with_changes(shortcut=declared.shortcut)
    zeros = layout.zeros if declared.shortcut == "A" else "after"
    return declared.with_changes(zeros=zeros, pool=layout.pool)


def _name(tensors: Tensors, layout: Layout) -> str:
    if "features.0.weight" in tensors:
        convolutions = sum(re.fullmatch(r"features\.[0-9]+\.weight", key) is not None for key in tensors)
        for depth, per_stage in VGGS.items():
            if sum(per_stage) == convolutions:
                return f"vgg{depth}"
        raise WeightsError(f"a VGG of {convolutions} convolutions, and the paper's have 13 and 16; it has no twin here")
    cifar = is_cifar_type(tensors)
    stages = 3 if cifar else 4
    blocks = tuple(_numbers(tensors, rf"layer{stage}\.([0-9]+)\.conv1\.weight", 1) for stage in range(1, stages + 1))
    layers = _numbers(tensors, r"layer1\.0\.conv([0-9]+)\.weight")
    first = tensors["layer1.0.conv1.weight"]
    bottleneck = first.dim() == 4 and first.shape[2] == 1
    residual = layout.unprojected or _shortcut(tensors, cifar) is not None
    if cifar and not bottleneck:
        if len(set(blocks)) != 1 or not blocks[0]:
            raise WeightsError(f"stages of {blocks} blocks; a network for small images has three equal ones here")
        depth = 2 + sum(blocks) * layers
        if not residual:
            raise WeightsError(
                f"these weights do not tell a residual network with option A from a plain one; name it: "
                f"--network resnet{depth} or --network plain{depth}"
            )
        return f"resnet{depth}{'_cifar' if depth in IMAGENET else ''}"
    for depth, (block, counts) in IMAGENET.items():
        per_block = 1 if block == "bottleneck" else layers
        if (block == "bottleneck") == bottleneck and tuple(count * per_block for count in blocks) == counts:
            suffix = "_v1_5" if bottleneck and layout.stride == "3x3" else ""
            return f"{'resnet' if residual else 'plain'}{depth}{suffix}"
    kind = "bottleneck" if bottleneck else "basic"
    raise WeightsError(f"stages of {', '.join(map(str, blocks))} {kind} blocks, which no network here has")


def _shortcut(tensors: Tensors, cifar: bool) -> Shortcut | None:
    """Return B where only shortcuts between stages project, C where all do, None where none does."""
    if "layer1.1.downsample.0.weight" in tensors or (cifar and "layer1.0.downsample.0.weight" in tensors):
        return "C"
    return "B" if "layer2.0.downsample.0.weight" in tensors else None


def _numbers(tensors: Tensors, pattern: str, start: int = 0) -> int:
    """Return the largest number that names have at a place, `start` added; 0 if there is none."""
    numbers = [int(match[1]) + start for key in tensors if (match := re.fullmatch(pattern, key))]
    return max(numbers, default=0)


def _size(tensors: Tensors, *keys: str, axis: int) -> int | None:
    sizes = [tensors[key].shape[axis] for key in keys if key in tensors and tensors[key].dim() > axis]
    return sizes[0] if sizes else None
