"""Which networks a study takes for some data, and how many of its images it holds out to validate on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.specs import AreaCropFlip, Recipe, ScaleCropFlip
from resnets.specs.networks import IMAGENET_STAGES

KINDS = ("plain", "residual")
CIFAR_DEPTHS = (20, 56, 110)
PHOTO_NETWORKS = ("plain18", "plain34", "resnet18", "resnet34", "resnet50")
PHOTO = 64  # pixels of the shorter side, from which a folder's images are taken for photos


def candidates(
    splits: DataSplits,
    depths: Sequence[int] | None,
    kinds: Sequence[str],
    recipe: Recipe | None = None,
    networks: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Return the networks to take, and those to fall back upon where a budget is too small for photos in full.

    A recipe that is named is for one of both sizes. `networks` are taken as they are named, all of one size of image.

    Raises: UsageError, if a kind or a depth cannot be.
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
    wanted = tuple(dict.fromkeys(kinds))
    for kind in wanted:
        if kind not in KINDS:
            raise UsageError(f"kind {kind!r}: there are plain and residual networks")
    if not wanted:
        raise UsageError("no kinds of networks are named; they are plain and residual")
    prefixes = tuple("plain" if kind == "plain" else "resnet" for kind in KINDS if kind in wanted)
    photos = _are_photos(splits)
    if depths is None:
        small = tuple(f"{prefix}{depth}" for prefix in prefixes for depth in CIFAR_DEPTHS)
        large = tuple(name for name in PHOTO_NETWORKS if name.startswith(prefixes))
        less = tuple(name for name in large if name != "resnet50")
        if recipe is not None and splits.train.kind == "photos":
            crops = isinstance(recipe.augmentation, ScaleCropFlip | AreaCropFlip)
            return tuple(dict.fromkeys((large, less))) if crops else (small,)
        return tuple(dict.fromkeys((large, less, small))) if photos else (small,)
    named = tuple(sorted(set(depths)))
    if not named:
        raise UsageError("no depths are named; --depths 20,56,110 names three")
    large_ones = [depth for depth in named if depth in IMAGENET_STAGES]
    of_photos = len(large_ones) == len(named) and (photos or any((depth - 2) % 6 for depth in named))
    names = tuple(
        f"{prefix}{depth}" + ("_cifar" if depth in IMAGENET_STAGES and not of_photos else "")
        for prefix in prefixes
        for depth in named
    )
    for name in names:
        registry.declare(name)
    return (names,)


def _sizes(sides: Iterable[int | None]) -> str:
    return ", ".join(sorted("photos" if side is None else f"{side} x {side} pixels" for side in sides))


def _are_photos(splits: DataSplits) -> bool:
    stats = splits.train.stats()
    return min(stats.height, stats.width) >= PHOTO


def share_to_hold_out(images: int) -> str:
    """Return the share of so many training images that is validated on: enough to tell errors apart, and no more."""
    for below, share in ((10_000, "20%"), (100_000, "10%"), (500_000, "5%")):
        if images < below:
            return share
    return "1%"


def options_for(splits: DataSplits) -> dict[str, Any]:
    """Return what networks have to be told of dataset objects, whose images are not looked at otherwise."""
    return {"in_channels": splits.train.channels} if splits.train.kind == "tensors" else {}


def size_of(splits: DataSplits) -> tuple[int, int]:
    """Return the side and the channels of what a network is given."""
    return splits.train.side or 224, splits.train.channels
