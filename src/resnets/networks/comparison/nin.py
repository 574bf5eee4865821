"""Network in network [25]: 1x1 convolutions after each other one, and global average pooling. Paper: Table 6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn

from resnets.networks.initialization import draw_normally
from resnets.networks.stages import Row, Staged, conv_in_words
from resnets.specs import NINSpec

STD = 0.05  # of all weights at the start


class ClassicDropout(nn.Dropout):
    """Dropout as it was first [14]: in training what is kept stays as it is, and in tests everything is scaled."""

    def forward(self, input: Tensor) -> Tensor:
        return (1 - self.p) * (super().forward(input) if self.training else input)


class NINLayers(Staged):
    """Three convolutions, each followed by two of 1x1; the last has a map for each class. Names as in Caffe's file.

    With average pooling they are Caffe's port, whose dropout is torch's.
    """

    def __init__(self, in_channels: int, num_classes: int, pool2: Literal["max", "avg"]) -> None:
        super().__init__()
        self.relu = nn.ReLU()  # not in place: what is before it is read elsewhere too
        self.conv1 = nn.Conv2d(in_channels, 192, 5, padding=2)
        self.cccp1, self.cccp2 = nn.Conv2d(192, 160, 1), nn.Conv2d(160, 96, 1)
        dropout = ClassicDropout if pool2 == "max" else nn.Dropout
        self.pool1, self.drop1 = nn.MaxPool2d(3, 2, ceil_mode=True), dropout(0.5)
        self.conv2 = nn.Conv2d(96, 192, 5, padding=2)
        self.cccp3, self.cccp4 = nn.Conv2d(192, 192, 1), nn.Conv2d(192, 192, 1)
        pooling = nn.MaxPool2d if pool2 == "max" else nn.AvgPool2d
        self.pool2, self.drop2 = pooling(3, 2, ceil_mode=True), dropout(0.5)
        self.conv3 = nn.Conv2d(192, 192, 3, padding=1)
        self.cccp5, self.cccp6 = nn.Conv2d(192, 192, 1), nn.Conv2d(192, num_classes, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def block1(self, x: Tensor) -> Tensor:
        """Return the maps before `pool1`, from what `conv1` gives. Shape: (N, 192, H, W) -> (N, 96, H, W)"""
        return self.relu(self.cccp2(self.relu(self.cccp1(self.relu(x)))))

    def block2(self, x: Tensor) -> Tensor:
        """Return the maps before `pool2`, from what `conv2` gives. Shape: (N, 192, H, W) -> the same"""
        return self.relu(self.cccp4(self.relu(self.cccp3(self.relu(x)))))

    def block3(self, x: Tensor) -> Tensor:
        """Return the last maps but one, from what `conv3` gives. Shape: (N, 192, H, W) -> the same"""
        return self.relu(self.cccp5(self.relu(x)))

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of the first two blocks, each before its pooling, and the last maps but one.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^i, W / 2^i) with C_i = 96, 192, 192
        """
        x = self.block1(self.conv1(x))
        yield x
        x = self.block2(self.conv2(self.drop1(self.pool1(x))))
        yield x
        yield self.block3(self.conv3(self.drop2(self.pool2(x))))

    def rows(self) -> list[Row]:
        """Return a row for each block."""
        rows = []
        for number, names in enumerate((("conv1", "cccp1", "cccp2"), ("conv2", "cccp3", "cccp4")), 1):
            pool = "max" if isinstance(self.get_submodule(f"pool{number}"), nn.MaxPool2d) else "average"
            layers = "; ".join(conv_in_words(self.get_submodule(name)) for name in names)
            rows.append(Row(f"block{number}", [*names, f"pool{number}"], f"{layers}; 3x3 {pool} pool, stride 2"))
        names = ("conv3", "cccp5", "cccp6")
        layers = "; ".join(conv_in_words(self.get_submodule(name)) for name in names)
        return [*rows, Row("block3", [*names, "avgpool"], f"{layers}; average pool")]


class NIN(NINLayers):
    """Network in network. ReLU follows each convolution, also the last, so no score is negative.

    Shape: (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(self, spec: NINSpec) -> None:
        super().__init__(spec.in_channels, spec.num_classes, spec.pool2)
        self.spec = spec
        draw_normally(self, STD)

    def forward(self, x: Tensor) -> Tensor:
        return self.avgpool(self.relu(self.cccp6(self.features(x)))).flatten(1)
