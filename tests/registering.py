"""A module of a user, outside the package, that registers what is theirs."""

from __future__ import annotations

from torch import nn

import resnets


def two_layers(num_classes: int = 10, in_channels: int = 3, width: int = 8) -> nn.Module:
    """Two convolutions and a classifier."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )


resnets.register_network("two-layers", two_layers, input_size=32)
