"""What is asked for, by name or as objects, resolved into what is trained: network, data, recipe, device, precision."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from resnets.data.load import Data, load_data
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.runtime.device import Precision, choose_device, choose_precision
from resnets.specs import (
    AreaCropFlip,
    Deviation,
    InputConvention,
    NetworkSpec,
    Recipe,
    ResNetSpec,
    ScaleCropFlip,
)
from resnets.training.recipes import default_recipe, find_recipe
from resnets.weights.weights_file import load_weights

_AnyRecipe = TypeVar("_AnyRecipe", bound=Recipe)


@dataclass(frozen=True, eq=False)
class Resolved:
    """What is trained, on what and how; nothing of it has begun."""

    network: nn.Module
    data: DataSplits
    recipe: Recipe
    convention: InputConvention | None
    device: torch.device
    precision: Precision


def resolve(
    network: str | nn.Module,
    data: Data,
    *,
    recipe: str | Recipe | None,
    iterations: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    size: int | None = None,
    bn_images: int | None = None,
    ema: float | None = None,
    evaluate_every: int | None = None,
    seed: int = 0,
    split: str = "all",
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    network_options: dict[str, Any],
) -> Resolved:
    """Return what a training is made of; the arguments are those of `train`. torch's random state is set by the seed.

    Raises: UsageError, DataError.
    """
    if isinstance(network, str):
        registry.declare(network, **network_options)  # a wrong name or option shows before the data is read
    elif network_options:
        raise UsageError(f"{', '.join(network_options)}: an option of networks that are given by their name")
    target = choose_device(device)
    multiply = choose_precision(precision, target)
    base = find_recipe(recipe) if isinstance(recipe, str) else recipe
    splits = load_data(data, registry.decoded_side(network)).divided(split, seed)
    changed = change(
        base or default_recipe(splits),
        batch_size=batch_size,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        bn_images=bn_images,
        ema=ema,
    )
    scaled = resize(changed, len(splits.train), iterations, epochs)
    scaled = change(scaled, evaluate_every=evaluate_every)
    chosen = _applicable(scaled if size is None else with_crops(scaled, size), network, splits)
    begin = None if weights is None else load_weights(weights)
    convention = None
    if chosen.preprocessing is not None:
        trained = None if begin is None else begin.convention
        convention = splits.train.fit_input(chosen.preprocessing, chosen.augmentation, trained)
    chosen = chosen.with_changes(augmentation=splits.train.fit_augmentation(chosen.augmentation))
    torch.manual_seed(seed)
    module = _build(network, splits, chosen, convention, network_options, None if begin is None else begin.spec)
    if begin is not None:
        begin.begin_in(module, splits.classes)
    if precision == "auto" and _meets_single_pixels(module, convention):
        multiply = "fp32"
    return Resolved(module, splits, chosen, convention, target, multiply)


def _applicable(recipe: Recipe, network: str | nn.Module, splits: DataSplits) -> Recipe:
    """Return the recipe without what does not apply: a dataset object comes prepared, a module as it is."""
    if splits.train.kind == "tensors":
        recipe = recipe.with_changes(preprocessing=None, augmentation=None)
    if not isinstance(network, str):
        recipe = recipe.with_changes(bn_group=getattr(getattr(network, "spec", None), "bn_group", None))
    return recipe


def change(recipe: _AnyRecipe, **changes: Any) -> _AnyRecipe:
    """Return the recipe with those of the changes that are not None."""
    return recipe.with_changes(**{name: value for name, value in changes.items() if value is not None})


def resize(recipe: Recipe, images: int, iterations: int | None, epochs: float | None) -> Recipe:
    """Return the recipe with another length, given in iterations or in epochs of so many images.

    Raises: UsageError, if both are given or one cannot be.
    """
    if iterations is not None and epochs is not None:
        raise UsageError("iterations and epochs are both given; one of them is enough")
    if epochs is not None:
        if not (math.isfinite(epochs) and epochs > 0):
            raise UsageError(f"epochs is {epochs}; it must be a positive number")
        iterations = max(1, round(epochs * images / recipe.batch_size))
    return recipe if iterations is None else recipe.scaled(iterations)


def with_crops(recipe: Recipe, size: int) -> Recipe:
    """Return the recipe for photos with crops of another size, the sides that they are cut from in proportion.

    Raises: UsageError, if the recipe is for small images, which have one size, or the size cannot be.
    """
    crop = recipe.augmentation
    if not isinstance(crop, ScaleCropFlip | AreaCropFlip):
        raise UsageError(f"size is given, and recipe {recipe.name!r} takes images at the size that they have")
    if size < 32:
        raise UsageError(f"size is {size}; crops of photos must be of 32 pixels or more")
    if size == crop.crop:
        return recipe
    smaller = Deviation(f"crops of {size} pixels, the sides that they are cut from in proportion", "as was asked for")
    return recipe.with_changes(augmentation=crop.at(size), deviations=(*recipe.deviations, smaller))


def _build(
    network: str | nn.Module,
    splits: DataSplits,
    recipe: Recipe,
    convention: InputConvention | None,
    options: dict[str, Any],
    begun: NetworkSpec | None,
) -> nn.Module:
    """Return the module, new if the network is a name; one of ours must fit the data.

    What only converted weights have (the authors' pooling, another project's zero channels) is as in those it begins
    with.
    """
    if isinstance(network, str):
        fitting: dict[str, Any] = {
            "num_classes": len(splits.classes),
            "in_channels": convention.channels if convention else 3,
        }
        if "bn_group" in registry.find_family(network).options:
            fitting["bn_group"] = recipe.bn_group
        declared = registry.declare(network, **(fitting | options))
        if isinstance(declared, ResNetSpec) and isinstance(begun, ResNetSpec):
            declared = declared.with_changes(pool=begun.pool, zeros=begun.zeros)
        network = registry.build(declared)
    if (spec := registry.spec_of(network)) is not None:
        if spec.num_classes != len(splits.classes):
            raise UsageError(f"{spec.name} has num_classes={spec.num_classes}; {splits.name} has {len(splits.classes)}")
        if convention is not None:
            _check_images(spec, splits, convention)
    return network


def _meets_single_pixels(network: nn.Module, convention: InputConvention | None) -> bool:
    """Tell whether a 3x3 convolution of stride 2 would see maps of one pixel.

    There torch's bf16 gradient on a CPU holds uninitialised memory at the taps that only meet padding.
    """
    spec = getattr(network, "spec", None)
    return isinstance(spec, ResNetSpec) and spec.type == "imagenet" and convention is not None and convention.size <= 16


def _check_images(spec: NetworkSpec, splits: DataSplits, convention: InputConvention) -> None:
    size = convention.size
    if spec.in_channels != convention.channels:
        raise UsageError(f"{spec.name} has in_channels={spec.in_channels}; {splits.name} has {convention.channels}")
    if size < spec.least_size:
        raise UsageError(
            f"{spec.name} needs images of {spec.least_size} x {spec.least_size} pixels or more; those of {splits.name} "
            f"are {size} x {size}"
        )
    if spec.type == "imagenet" and size < 64:
        warnings.warn(
            f"{spec.name} is made for photos of 224 x 224 pixels; for images of {size} x {size} the paper has "
            f"resnet20, resnet32, resnet44, resnet56 and resnet110",
            stacklevel=5,
        )
