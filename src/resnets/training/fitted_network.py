"""The network of a training, built to fit its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from resnets.data.splits import DataSplits
from resnets.errors import UsageError, warn
from resnets.networks import registry
from resnets.specs import InputSpec, NetworkSpec, Recipe, ResNetSpec


def build_network(
    network: str | nn.Module,
    splits: DataSplits,
    recipe: Recipe,
    input_spec: InputSpec | None,
    options: Mapping[str, Any],
    start: NetworkSpec | None,
) -> nn.Module:
    """Return the module, new if the network is a name; one of ours must fit the data.

    Its variant is that of the weights that it starts from, where the options leave it open.
    """
    if isinstance(network, str):
        fitting: dict[str, int | None] = {
            "num_classes": len(splits.classes),
            "in_channels": input_spec.channels if input_spec else 3,
        }
        if "bn_group" in registry.find_family(network).options:
            fitting["bn_group"] = recipe.bn_group
        network = registry.build(registry.declare_as(start, network, **{**fitting, **options}))
    if (spec := registry.spec_of(network)) is not None:
        if spec.num_classes != len(splits.classes):
            raise UsageError(f"{spec.name} has num_classes={spec.num_classes}; {splits.name} has {len(splits.classes)}")
        if input_spec is not None:
            _check_images(spec, splits, input_spec)
    return network


def meets_single_pixels(network: nn.Module, input_spec: InputSpec | None) -> bool:
    """Return whether a 3x3 convolution of stride 2 would see maps of one pixel.

    There torch's bf16 gradient on a CPU holds uninitialised memory at the taps that only meet padding.
    """
    spec = getattr(network, "spec", None)
    return isinstance(spec, ResNetSpec) and spec.type == "imagenet" and input_spec is not None and input_spec.size <= 16


def _check_images(spec: NetworkSpec, splits: DataSplits, input_spec: InputSpec) -> None:
    size = input_spec.size
    if spec.in_channels != input_spec.channels:
        raise UsageError(f"{spec.name} has in_channels={spec.in_channels}; {splits.name} has {input_spec.channels}")
    if size < spec.least_size:
        raise UsageError(
            f"{spec.name} needs images of {spec.least_size} x {spec.least_size} pixels or more; those of {splits.name} "
            f"are {size} x {size}"
        )
    if spec.type == "imagenet" and size < 64:
        warn(
            f"{spec.name} is made for photos of 224 x 224 pixels; for images of {size} x {size} the paper has "
            f"resnet20, resnet32, resnet44, resnet56 and resnet110"
        )
