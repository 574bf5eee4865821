"""Networks by name, with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from resnets.networks import registry
from resnets.weights.import_weights import fetch_weights, import_weights
from resnets.weights.weights_file import Weights, load_weights


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int = 3,
    weights: str | Path | None = None,
    **options: Any,
) -> nn.Module:
    """Return a network by its name, with fresh weights, or those of a run's folder or a weights file.

    `num_classes` is 10 or 1000 by default. `weights` may be another project's file too, as `resnets.convert` reads
    them, and "torchvision" (or "torchvision:IMAGENET1K_V2"), whose published weights are fetched.

    Options of residual networks: `shortcut` is option "A", "B" or "C" (by default A for the CIFAR type, B for the
    ImageNet type); `stride` is the convolution of a downsampling bottleneck that has stride 2, the first "1x1" (the
    authors') or the "3x3" (v1.5); `residual_layers` is how many 3x3 layers a shortcut spans, 2 in the paper; `bn_group`
    is how many images share batch-norm statistics in training, None for the whole batch. `initialization` is
    "he_fan_in" or "he_fan_out", of VGG networks too.

    Shape: the network maps (N, in_channels, H, W) -> (N, num_classes)
    Raises: UsageError, if there is no such network or an option does not apply; WeightsError, if the weights are of
    another network.
    Paper: sections 3.3 and 4.2, Table 1.
    """
    network = registry.create(name, num_classes=num_classes, in_channels=in_channels, **options)
    if weights is not None:
        _weights(weights, name).load_into(network)
    return network


def _weights(source: str | Path, name: str) -> Weights:
    if str(source).partition(":")[0] == "torchvision":
        return fetch_weights(name, str(source).partition(":")[2] or None).weights
    path = Path(source)
    if path.is_file() and path.suffix != ".safetensors":
        return import_weights(path, name).weights
    return load_weights(path)
