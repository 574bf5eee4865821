"""Initialisation as in [13]: zero-mean Gaussian weights of variance 2 / fan, zero biases. Paper: section 3.4.

What the paper leaves open is a named choice: fan-in (the default of [13]) or fan-out; the final fc layer is drawn
like the others; batch norm starts at weight 1 and bias 0, in every block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

from resnets.specs import Initialization


def initialize(network: nn.Module, how: Initialization) -> None:
    """Draw every convolution's and fully connected layer's weights again, in place."""
    mode = how.removeprefix("he_")
    for layer in _layers(network):
        nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]


def draw_normally(network: nn.Module, std: float) -> None:
    """Draw every convolution's and fully connected layer's weights from N(0, std^2), in place; biases are 0."""
    for layer in _layers(network):
        nn.init.normal_(layer.weight, std=std)


def draw_uniformly(network: nn.Module, bound: float) -> None:
    """Draw them uniformly from -bound to bound; biases are 0."""
    for layer in _layers(network):
        nn.init.uniform_(layer.weight, -bound, bound)


def draw_xavier(network: nn.Module, bias: float = 0.0) -> None:
    """Draw them as Caffe's `xavier`: uniformly within sqrt(3 / fan_in); all biases are `bias`."""
    for layer in _layers(network, bias):
        bound = math.sqrt(3 / layer.weight[0].numel())
        nn.init.uniform_(layer.weight, -bound, bound)


def _layers(network: nn.Module, bias: float = 0.0) -> Iterator[nn.Conv2d | nn.Linear]:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not module.weight.is_meta:  # meta: nothing to draw
            if module.bias is not None:
                nn.init.constant_(module.bias, bias)
            yield module
