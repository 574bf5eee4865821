"""FitNet of 19 layers [35]: a deep and thin maxout network for CIFAR-10. Paper: Table 6."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from resnets.networks.comparison.maxout import RANGE, MaxoutConv2d, MaxoutLinear
from resnets.networks.initialization import draw_uniformly
from resnets.networks.stages import Row, Staged
from resnets.specs import FitNetSpec

UNITS = ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6)  # of the convolutions before each pooling


class FitNet(Staged):
    """17 maxout convolutions of 3x3 in three stages, a maxout layer of 500 units and the classifier.

    The last pooling is over the whole maps, which are of 8x8 for images of 32x32.

    Shape: (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(self, spec: FitNetSpec) -> None:
        super().__init__()
        self.spec = spec
        channels, stages = spec.in_channels, []
        for units in UNITS:
            stage = []
            for width in units:
                stage.append(MaxoutConv2d(channels, width, 3, padding=1))
                channels = width
            stages.append(nn.Sequential(*stage))
        self.stage1, self.stage2, self.stage3 = stages
        self.pool1, self.pool2, self.pool3 = nn.MaxPool2d(2, 2), nn.MaxPool2d(2, 2), nn.AdaptiveMaxPool2d(1)
        self.maxout = MaxoutLinear(channels, 500, spec.fc_pieces)
        self.fc = nn.Linear(500, spec.num_classes)
        draw_uniformly(self, RANGE)

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of the three stages, each before its pooling.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^i, W / 2^i) with C_i = 48, 80, 128
        """
        x = self.stage1(x)
        yield x
        x = self.stage2(self.pool1(x))
        yield x
        yield self.stage3(self.pool2(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maxout(torch.flatten(self.pool3(self.features(x)), 1)))

    def rows(self) -> list[Row]:
        """Return a row for each stage and each layer after them."""
        rows = []
        for number, units in enumerate(UNITS, 1):
            layers = "; ".join(f"[3x3, {width} of 2 pieces] x {units.count(width)}" for width in dict.fromkeys(units))
            pool = "max pool" if number == len(UNITS) else "2x2 max pool, stride 2"
            rows.append(Row(f"stage{number}", [f"stage{number}", f"pool{number}"], f"{layers}; {pool}"))
        return [
            *rows,
            Row("maxout", ["maxout"], f"500-d fc of {self.maxout.pieces} pieces"),
            Row("fc", ["fc"], f"{self.fc.out_features}-d fc"),
        ]
