"""A module of a user, outside the package, that registers what is theirs."""

from __future__ import annotations

import numpy as np
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


def noise(side: int = 8) -> resnets.DataSplits:
    """Grey noise of two classes, dark and bright."""
    generator = np.random.default_rng(0)
    labels = np.arange(96, dtype=np.int64) % 2
    pixels = generator.integers(0, 128, (96, int(side), int(side), 1)) + 127 * labels[:, None, None, None]
    images = resnets.ImageArrays(pixels.astype(np.uint8), labels)
    train, test = images.select(np.arange(64)), images.select(np.arange(64, 96))
    return resnets.DataSplits(name="noise", train=train, test=test, classes=("dark", "bright"))


resnets.register_data("noise", noise)
resnets.register_recipe(
    resnets.find_recipe("digits").with_changes(name="short", source="a user's module", iterations=4, batch_size=16)
)
