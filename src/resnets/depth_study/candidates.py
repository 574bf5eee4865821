"""Candidate networks of a study, and the share of images held out for validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.specs import AreaCropFlip, Recipe, ScaleCropFlip
from resnets.specs.networks import IMAGENET_STAGES

KINDS = ("plain", "residual")
CIFAR_DEPTHS = (20, 56, 110)
IMAGENET_NETWORKS = ("plain18", "plain34", "resnet18", "resnet34", "resnet50")
LARGE = 64  # pixels of the shorter side, from which images are for ImageNet-type networks


def candidates(
    splits: DataSplits,
    depths: Sequence[int] | None,
    kinds: Sequence[str],
    recipe: Recipe | None = None,
    networks: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Return the candidate networks, then smaller ones for a budget that is too small for large images.

    A recipe is for one type of network. `networks` are used as they are named, all for one image size.

    Raises: UsageError, if there is no such kind, depth or network.
    """
    if networks is not None:
        if depths is not None:
            raise UsageError("networks and depths are both given; one of them is enough")
        chosen = tuple(dict.fromkeys(networks))
        if not chosen:
            raise UsageError("no networks are named; --networks resnet20,resnet32 names two")
        if len(sizes := {registry.decoded_side(name) for name in chosen}) > 1:
            raise UsageError(f"{', '.join(chosen)} are for images of several sizes: {_sizes(sizes)}")
        return (chosen,)
    requested = tuple(dict.fromkeys(kinds))
    for kind in requested:
        if kind not in KINDS:
            raise UsageError(f"kind {kind!r}: there are plain and residual networks")
    if not requested:
        raise UsageError("no kinds of networks are named; they are plain and residual")
    prefixes = tuple("plain" if kind == "plain" else "resnet" for kind in KINDS if kind in requested)
    large_images = _are_large(splits)
    if depths is None:
        small = tuple(f"{prefix}{depth}" for prefix in prefixes for depth in CIFAR_DEPTHS)
        large = tuple(name for name in IMAGENET_NETWORKS if name.startswith(prefixes))
        less = tuple(name for name in large if name != "resnet50")
        if recipe is not None and splits.train.kind == "photos":
            crops = isinstance(recipe.augmentation, ScaleCropFlip | AreaCropFlip)
            return tuple(dict.fromkeys((large, less))) if crops else (small,)
        return tuple(dict.fromkeys((large, less, small))) if large_images else (small,)
    named = tuple(sorted(set(depths)))
    if not named:
        raise UsageError("no depths are named; --depths 20,56,110 names three")
    large_ones = [depth for depth in named if depth in IMAGENET_STAGES]
    imagenet_type = len(large_ones) == len(named) and (large_images or any((depth - 2) % 6 for depth in named))
    names = tuple(
        f"{prefix}{depth}" + ("_cifar" if depth in IMAGENET_STAGES and not imagenet_type else "")
        for prefix in prefixes
        for depth in named
    )
    for name in names:
        registry.declare(name)
    return (names,)


def _sizes(sides: Iterable[int | None]) -> str:
    return ", ".join(sorted("any size" if side is None else f"{side} x {side} pixels" for side in sides))


def _are_large(splits: DataSplits) -> bool:
    stats = splits.train.stats()
    return min(stats.height, stats.width) >= LARGE


def share_to_hold_out(images: int) -> str:
    """Return the share of the training images to hold out: enough to distinguish errors, and no more."""
    for below, share in ((10_000, "20%"), (100_000, "10%"), (500_000, "5%")):
        if images < below:
            return share
    return "1%"


def size_of(splits: DataSplits) -> tuple[int, int]:
    """Return the side and the channels of a network's input."""
    return splits.train.side or 224, splits.train.channels
