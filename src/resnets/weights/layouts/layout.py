"""Layouts of weights files: how to recognise one, its names as ours, and what names leave open."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resnets.specs import InputSpec, NetworkSpec, StemPool, StridePlacement, ZeroChannels

Tensors = dict[str, Tensor]
About = dict[str, Any]
"""What a file says besides its tensors: `file`, its name, and in timm's case `pretrained_cfg`."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Named = tuple[str, dict[str, Any]]
"""A network's name and its options."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One project's way to name and arrange the weights of these networks.

    `rename` returns the tensors under our names, which are torchvision's; a name that it does not know stays, so that
    it is reported. `input_spec` returns the input that the project's published weights expect, None where no such
    thing is known. `network` returns the network of tensors under our names, in a layout that is of one network.
    `is_known` returns whether a file's networks are the project's: torchvision's names are ours and others' too.
    """

    name: str
    recognises: Callable[[Tensors, About], bool]
    rename: Callable[[Tensors], Tensors]
    input_spec: Callable[[NetworkSpec, About], InputSpec | None]
    is_known: Callable[[About], bool] = lambda about: True
    stride: StridePlacement = "3x3"  # of its bottlenecks
    zeros: ZeroChannels = "after"
    pool: StemPool = "padded"
    network: Callable[[Tensors], Named] | None = None
    unprojected: bool | None = None  # whether a network without projections is residual (option A); None: unknown


def is_cifar_type(tensors: Tensors) -> bool:
    """Return whether tensors under our names are of a network for small images."""
    stem = tensors.get("conv1.weight")
    return stem is not None and stem.dim() == 4 and stem.shape[0] == 16 and stem.shape[2:] == (3, 3)


def imagenet_input() -> InputSpec:
    """Return the usual ImageNet input: torchvision's mean and standard deviation, 224 of 256 pixels."""
    return InputSpec(size=224, resize=256, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def blobs_of(tensors: Tensors, pattern: str) -> dict[tuple[str, int], Tensor]:
    """Return Caffe's blobs by their layer and number, the groups of a name's pattern; {} where a name has another."""
    found = {}
    for key, tensor in tensors.items():
        match = re.fullmatch(pattern, key)
        if match is None:
            return {}
        found[match[1], int(match[2])] = tensor
    return found


def unchanged(tensors: Tensors) -> Tensors:
    """Return tensors whose names are ours already."""
    return tensors
