"""Highway networks [42, 43]: layers whose gates choose between a transformation and its input. Paper: Table 6."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor, nn

from resnets.networks.initialization import draw_normally, initialize
from resnets.networks.stages import Row, Staged
from resnets.specs import HighwaySpec

FC_STD = 0.05  # of the classifier's weights at the start


class Highway(nn.Module):
    """y = H(x) T(x) + x (1 - T(x)), with H a convolution and ReLU, and the gate T a convolution and sigmoid.

    Shape: (N, C, H, W) -> the same
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.gate = nn.Conv2d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return torch.relu(self.transform(x)) * gate + x * (1 - gate)


class HighwayNetwork(Staged):
    """Three stages, each a plain convolution and highway layers, then a head; dropout before each stage and the fc.

    Shape: (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(self, spec: HighwaySpec) -> None:
        super().__init__()
        self.spec = spec
        channels, stages = spec.in_channels, []
        for width, kernels in zip(spec.widths, spec.kernels, strict=True):
            layers = [Highway(width, kernel) for kernel in kernels]
            stages.append(nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True), *layers))
            channels = width
        self.stage1, self.stage2, self.stage3 = stages
        self.pool1, self.pool2 = nn.MaxPool2d(2, 2), nn.MaxPool2d(2, 2)
        self.drop1, self.drop2, self.drop3, self.drop4 = (nn.Dropout(0.2) for _ in range(4))
        if spec.head == "gap":
            narrow, relu = nn.Conv2d(channels, 100, 1), nn.ReLU(inplace=True)
            self.head = nn.Sequential(narrow, relu, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        else:
            layer, relu = nn.Linear(channels, 500), nn.ReLU(inplace=True)
            self.head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), layer, relu)
        self.fc = nn.Linear(100 if spec.head == "gap" else 500, spec.num_classes)
        initialize(self, "he_fan_in")
        draw_normally(self.fc, FC_STD)
        if spec.stem_std == "1":
            draw_normally(self.stage1[0], 1.0)
        for module in self.modules():
            if isinstance(module, Highway):
                nn.init.constant_(module.gate.bias, spec.gate_bias)  # type: ignore[arg-type]

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of the three stages, each before its pooling.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^i, W / 2^i), C_i the width of stage i
        """
        x = self.stage1(self.drop1(x))
        yield x
        x = self.stage2(self.drop2(self.pool1(x)))
        yield x
        yield self.stage3(self.drop3(self.pool2(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop4(self.head(self.features(x))))

    def rows(self) -> list[Row]:
        """Return a row for each stage and for the head."""
        rows, pool = [], ""
        for number, (width, kernels) in enumerate(zip(self.spec.widths, self.spec.kernels, strict=True), 1):
            sides = [f"{kernel}x{kernel}" for kernel in kernels]
            runs = [(side, len(list(same))) for side, same in groupby(sides)]
            gated = f"highway [{', '.join(sides)}]" if len(runs) > 1 else f"highway [{runs[0][0]}] x {runs[0][1]}"
            modules = [f"stage{number}", *([f"pool{number - 1}"] if pool else [])]
            rows.append(Row(f"stage{number}", modules, f"{pool}3x3, {width}; {gated}"))
            pool = "2x2 max pool, stride 2; "
        head = "1x1, 100; average pool" if self.spec.head == "gap" else "max pool; 500-d fc"
        return [*rows, Row("fc", ["head", "fc"], f"{head}; {self.fc.out_features}-d fc")]
