"""PReLU-nets [13]: parametric ReLUs, and spatial pyramid pooling before the fc layers. Paper: Tables 3, 4 and 5."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks.stages import Row, Staged
from resnets.specs import PReLUNetSpec

LEVELS = (7, 3, 2, 1)  # bins of a side: 63 together
WINDOW = 14  # side of the maps of an image of 224 x 224
SLOPE = 0.25  # of the PReLUs at the start
FC_STD = (0.01, 0.01, 0.001)  # of the fc layers' weights at the start


class PReLUNet(Staged):
    """A 7x7 layer, three stages of 3x3 layers, a spatial pyramid of their maps, two fc layers and the classifier.

    PReLUs with a slope for each channel follow all layers but the last. Maps of another size than 14x14 are pooled to
    the same 63 bins.

    Shape: (N, in_channels, H, W) -> (N, num_classes); H and W at least 64
    """

    def __init__(self, spec: PReLUNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.conv1, self.prelu1 = nn.Conv2d(spec.in_channels, 96, 7, 2, 3), nn.PReLU(96)
        channels, stages = 96, []
        for width in spec.widths:
            layers: list[nn.Module] = [nn.MaxPool2d(2, 2)]
            for _ in range(spec.convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.PReLU(width)]
                channels = width
            stages.append(nn.Sequential(*layers))
        self.conv2_x, self.conv3_x, self.conv4_x = stages
        self.fc1, self.prelu2, self.drop1 = nn.Linear(63 * channels, 4096), nn.PReLU(4096), nn.Dropout(0.5)
        self.fc2, self.prelu3, self.drop2 = nn.Linear(4096, 4096), nn.PReLU(4096), nn.Dropout(0.5)
        self.fc = nn.Linear(4096, spec.num_classes)
        self._draw()

    def _draw(self) -> None:
        """Draw the weights as in its section 2.2, by the number of output connections."""
        if self.fc.weight.is_meta:  # nothing to draw
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, SLOPE, "fan_out", "leaky_relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for layer, std in zip((self.fc1, self.fc2, self.fc), FC_STD, strict=True):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of conv1, conv2_x, conv3_x and, before the pyramid, conv4_x; each stage starts with pooling.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^(i + 1), W / 2^(i + 1)) with C_i = 96, then the three widths
        """
        x = self.prelu1(self.conv1(x))
        yield x
        for stage in (self.conv2_x, self.conv3_x, self.conv4_x):
            x = stage(x)
            yield x

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu2(self.fc1(pyramid(self.features(x))))
        x = self.prelu3(self.fc2(self.drop1(x)))
        return self.fc(self.drop2(x))

    def dense_window(self, size: int) -> int:
        """Return 14, the side of the pyramid. Raises: UsageError, if an image of `size` has other last maps."""
        if size >> 4 != WINDOW:
            raise UsageError(
                f"a PReLU-net takes images of {size} x {size} pixels here, and its pyramid is of 14x14 maps; moved "
                f"over larger ones it needs 224 x 224"
            )
        return WINDOW

    def dense_scores(self, x: Tensor, window: int) -> Tensor:
        """Return the scores of images of any shape: the mean over the pyramids of all 14x14 windows of the last maps.

        Shape: (N, in_channels, H, W) -> (N, num_classes)
        Paper: [13], its section 3.
        """
        maps = self.features(x)  # (N, C, h + 13, w + 13)
        height, width = maps.shape[2] - window + 1, maps.shape[3] - window + 1
        weights = self.fc1.weight.split([level**2 * maps.shape[1] for level in LEVELS], 1)
        x = self.fc1.bias[:, None, None]
        for level, weight in zip(LEVELS, weights, strict=True):
            side, stride = bins(window, level)
            pooled = F.max_pool2d(maps, side, 1)  # the bins of one window are `stride` apart
            kernel = weight.view(-1, maps.shape[1], level, level)
            x = x + F.conv2d(pooled, kernel, dilation=stride)[:, :, :height, :width]  # (N, 4096, h, w)
        x = self.prelu2(x)
        x = self.prelu3(F.conv2d(x, self.fc2.weight[:, :, None, None], self.fc2.bias))
        return self.fc(x.mean((2, 3)))  # fc is linear: the mean of its scores is its score of the mean

    def rows(self) -> list[Row]:
        """Return the rows of its Table 3."""
        rows = [Row("conv1", ["conv1", "prelu1"], "7x7, 96, stride 2")]
        for number, width in enumerate(self.spec.widths, 2):
            layers = f"2x2 max pool, stride 2; [3x3, {width}] x {self.spec.convolutions}"
            rows.append(Row(f"conv{number}_x", [f"conv{number}_x"], layers))
        layers = f"spatial pyramid of 7, 3, 2 and 1; 4096-d fc; 4096-d fc; {self.fc.out_features}-d fc"
        return [*rows, Row("fc", ["fc1", "prelu2", "fc2", "prelu3", "fc"], layers)]


def bins(side: int, level: int) -> tuple[int, int]:
    """Return the side of the bins of a level, and their stride, for maps of a side."""
    return -(-side // level), side // level


def pyramid(maps: Tensor) -> Tensor:
    """Return the largest number of each bin, level by level. Shape: (N, C, H, W) -> (N, 63 * C)

    On 14x14 maps the 3x3 bins are 5 wide and 4 apart, so they leave the last row and column out; the others tile them.
    """
    found = []
    for level in LEVELS:
        if level == 3:
            rows, columns = bins(maps.shape[2], level), bins(maps.shape[3], level)
            sides, strides = zip(rows, columns, strict=True)
            pooled = F.max_pool2d(maps, sides, strides)[:, :, :level, :level]
        else:
            pooled = F.adaptive_max_pool2d(maps, level)
        found.append(torch.flatten(pooled, 1))
    return torch.cat(found, 1)
