"""Networks by name, with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from torch import nn

from resnets.errors import public, showing_settings, warn
from resnets.networks import registry
from resnets.specs import VariantSettings
from resnets.weights.sources import find_weights


@public
@showing_settings(others=registry.option_names)
def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int = 3,
    weights: str | Path | None = None,
    **options: Unpack[VariantSettings],
) -> nn.Module:
    """Return a network by name, with new weights, or those of a run folder or a weights file.

    Args:
        name: of a network, as `resnets list` shows.
        num_classes: by default 10 for the CIFAR type and 1000 for the ImageNet type. Where the weights are for another
            number, the last layer is new.
        in_channels: channels of the input images, to which the first layer of the weights is adapted as timm does it.
        weights: a run folder, a weights file (also of other projects, as in `convert`), or published weights, which
            are downloaded once: `torchvision` (`torchvision:IMAGENET1K_V2`), `timm:NAME` or `hf:OWNER/NAME`. Options
            that are not given are those of the network that the weights are of.
        shortcut: option `A`, `B` or `C` of a residual network; None is A for the CIFAR type, B for the ImageNet type.
        stride: the convolution with stride 2 in a downsampling bottleneck: the first `1x1` (the authors') or the `3x3`
            (v1.5).
        residual_layers: 3x3 layers per residual block, 2 in the paper.
        bn_group: images that share batch-norm statistics in training; None is the whole batch.
        initialization: `he_fan_in` or `he_fan_out`, also of VGG networks.

    The networks that the paper compares with, and registered ones, have options of their own, by name.

    Shape: the network maps (N, in_channels, H, W) -> (N, num_classes)
    Raises: UsageError, if there is no such network or an option does not apply; WeightsError, if the weights are of
        another network.
    Paper: sections 3.3 and 4.2, Table 1.
    """
    given: dict[str, Any] = {**options, "num_classes": num_classes, "in_channels": in_channels}
    declared = registry.declare(name, **given)  # a wrong name or option is reported before weights are read
    found = None if weights is None else find_weights(weights, name)
    if found is not None:
        declared = registry.declare_as(found.weights.spec, name, **given)
    network = registry.build(declared)
    if found is not None:
        for note in found.noted().load_adapted(network):
            warn(note)
    return network
