"""Deeply supervised network [24]: NIN's layers with companion classifiers of inner layers. Paper: Table 6."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from resnets.networks.comparison.nin import STD, NINLayers
from resnets.networks.initialization import draw_normally, draw_uniformly
from resnets.specs import DSNSpec


class Companion(nn.Module):
    """A linear classifier of the maps of a layer before its ReLU; maps of another side are pooled to `side`.

    Shape: (N, channels, H, W) -> (N, num_classes)
    """

    def __init__(self, channels: int, side: int, num_classes: int) -> None:
        super().__init__()
        self.fit = nn.AdaptiveAvgPool2d(side)
        self.fc = nn.Linear(channels * side**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.fit(x), 1))


class DSN(NINLayers):
    """NIN's layers without the last ReLU; in training three companions classify what conv1, conv2 and conv3 give.

    In training it returns the scores and those of the companions, in evaluation mode the scores.

    Shape: (N, in_channels, H, W) -> (N, num_classes), in training (N, num_classes) four times
    """

    def __init__(self, spec: DSNSpec) -> None:
        super().__init__(spec.in_channels, spec.num_classes, "max")
        self.spec = spec
        sides = (32, 16, 8) if spec.auxiliary else ()
        self.companions = nn.ModuleList(Companion(192, side, spec.num_classes) for side in sides)
        self.score_layers = ("cccp6", *(f"companions.{number}.fc" for number in range(len(sides))))
        draw_normally(self, STD)
        for companion in self.companions:  # their Caffe takes all weights for the fan-in, as the bounds in its log show
            draw_uniformly(companion, math.sqrt(3 / companion.fc.weight.numel()))  # type: ignore[union-attr, operator]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        first = self.conv1(x)
        second = self.conv2(self.drop1(self.pool1(self.block1(first))))
        third = self.conv3(self.drop2(self.pool2(self.block2(second))))
        scores = self.avgpool(self.cccp6(self.block3(third))).flatten(1)
        if not self.training or not len(self.companions):
            return scores
        inner = zip(self.companions, (first, second, third), strict=True)
        return (scores, *(companion(maps) for companion, maps in inner))
