"""Maxout network for CIFAR-10 [10], and maxout layers: the largest of several linear pieces. Paper: Table 6."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor, nn

from resnets.networks.initialization import draw_uniformly
from resnets.networks.stages import Row, Staged, conv_in_words
from resnets.specs import MaxoutSpec

RANGE = 0.005  # of the weights at the start, on either side of 0


def maximum(x: Tensor, pieces: int) -> Tensor:
    """Return the largest of each `pieces` channels in a row. Shape: (N, C * pieces, ...) -> (N, C, ...)"""
    return reduce(torch.maximum, (x[:, piece::pieces] for piece in range(pieces)))


class MaxoutConv2d(nn.Module):
    """A convolution whose outputs are each the maximum of several: (N, C, H, W) -> (N, units, H', W')."""

    def __init__(self, channels: int, units: int, kernel: int, padding: int, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces
        self.conv = nn.Conv2d(channels, units * pieces, kernel, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        return maximum(self.conv(x), self.pieces)

    def in_words(self) -> str:
        """Return the layer in the paper's notation."""
        kernel, width = conv_in_words(self.conv).split(", ")
        return f"{kernel}, {int(width) // self.pieces} of {self.pieces} pieces"


class MaxoutLinear(nn.Module):
    """A fully connected layer whose outputs are each the maximum of several: (N, C) -> (N, units)."""

    def __init__(self, features: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(features, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return maximum(self.linear(x), self.pieces)


class UnscaledDropout(nn.Dropout):
    """Dropout that leaves what it keeps as it is: in training its output is smaller on average than in tests."""

    def forward(self, input: Tensor) -> Tensor:
        return (1 - self.p) * super().forward(input) if self.training else input


class Maxout(Staged):
    """Three maxout convolutions, each followed by max pooling, a maxout layer of 500 units and the classifier.

    Other input sizes than 32 are pooled to 5x5 before the maxout layer.

    Shape: (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(self, spec: MaxoutSpec) -> None:
        super().__init__()
        self.spec = spec
        self.drop1, self.drop2, self.drop3 = UnscaledDropout(0.2), nn.Dropout(0.5), nn.Dropout(0.5)
        self.conv1 = MaxoutConv2d(spec.in_channels, 96, 8, padding=4)
        self.pool1 = nn.MaxPool2d(4, 2, ceil_mode=True)
        self.conv2 = MaxoutConv2d(96, 192, 8, padding=3)
        self.pool2 = nn.MaxPool2d(4, 2, ceil_mode=True)
        self.conv3 = MaxoutConv2d(192, 192, 5, padding=3)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.fit = nn.AdaptiveMaxPool2d(5)
        self.drop4, self.drop5 = nn.Dropout(0.5), nn.Dropout(0.5)
        self.maxout = MaxoutLinear(192 * 5 * 5, 500, spec.fc_pieces)
        self.fc = nn.Linear(500, spec.num_classes)
        draw_uniformly(self, RANGE)

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of the three convolutions, each before its pooling, and the last ones after it.

        Shape: (N, in_channels, 32, 32) -> (N, 96, 33, 33), (N, 192, 15, 15), (N, 192, 9, 9), (N, 192, 5, 5)
        """
        x = self.conv1(self.drop1(x))
        yield x
        x = self.conv2(self.drop2(self.pool1(x)))
        yield x
        x = self.conv3(self.drop3(self.pool2(x)))
        yield x
        yield self.pool3(x)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.fit(self.features(x)), 1)  # (N, 4800)
        return self.fc(self.drop5(self.maxout(self.drop4(x))))

    def rows(self) -> list[Row]:
        """Return a row for each layer with weights."""
        rows = [
            Row(f"conv{number}", [f"conv{number}"], f"{conv.in_words()}; {pool} max pool, stride 2")
            for number, conv, pool in ((1, self.conv1, "4x4"), (2, self.conv2, "4x4"), (3, self.conv3, "2x2"))
        ]
        return [
            *rows,
            Row("maxout", ["maxout"], f"500-d fc of {self.maxout.pieces} pieces"),
            Row("fc", ["fc"], f"{self.fc.out_features}-d fc"),
        ]
