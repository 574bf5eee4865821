"""VGG-16 and VGG-19 [41], the paper's reference on ImageNet and in detection. Paper: Figure 3 (left), Table 3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks.initialization import initialize
from resnets.networks.stages import Row, select
from resnets.specs import VGGSpec


class Convolutions(nn.Sequential):
    """The stages of a VGG network, each ended by max pooling."""

    def forward(self, x: Tensor, out_indices: Sequence[int] | None = None) -> Tensor | tuple[Tensor, ...]:
        """Return the last maps, after the last pooling; with `out_indices`, the maps of these stages in that order.

        Index 0 is conv1_x before its pooling, ..., 4 is conv5_x before its pooling, 5 the maps after it: the numbers of
        timm's `features_only`. Layers after the last one requested do not run.

        Shape: (N, in_channels, H, W) -> (N, 512, H / 32, W / 32). Of index i it is (N, C_i, H / 2^i, W / 2^i) with
            C_i = 64, 128, 256, 512, 512, 512.
        Raises: UsageError, if an index is not in 0 to 5.
        """
        if out_indices is None:
            return super().forward(x)
        return select(self._maps(x), out_indices)

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps before each pooling and after the last one, each computed when it is requested."""
        for layer in self:
            if isinstance(layer, nn.MaxPool2d):
                yield x
            x = layer(x)
        yield x


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each ended by max pooling, then fc6, fc7 and the classifier.

    The names of its parameters are torchvision's. Other input sizes than 224 are pooled to 7x7 before fc6.

    `features(x)` gives the last maps, `features(x, out_indices=(...))` those of several stages.

    Shape: (N, in_channels, H, W) -> (N, num_classes); H and W at least 32
    """

    def __init__(self, spec: VGGSpec) -> None:
        super().__init__()
        self.spec = spec
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for count, width in zip(spec.convolutions, spec.widths, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.channels = channels  # of the last maps
        self.features = Convolutions(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, spec.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            nn.Linear(spec.hidden, spec.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            nn.Linear(spec.hidden, spec.num_classes),
        )
        initialize(self, spec.initialization)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (N, 512, 7, 7)
        return self.classifier(torch.flatten(x, 1))

    def dense_window(self, size: int) -> int:
        """Return 7, the side of fc6 as a convolution. Raises: UsageError, if an image of `size` has other last maps."""
        if size >> 5 != 7:
            raise UsageError(
                f"a VGG takes images of {size} x {size} pixels here, whose last maps it resizes to "
                f"7x7; as convolutions its fc layers need 224 x 224"
            )
        return 7

    def dense_scores(self, x: Tensor, window: int) -> Tensor:
        """Return the scores of images of any shape: fc6 as a 7x7 convolution, fc7 and the classifier as 1x1 ones.

        Shape: (N, in_channels, H, W) -> (N, num_classes)
        Paper: [41], its section 3.2.
        """
        maps = self.features(x)  # (N, 512, h + 6, w + 6)
        channels = self.channels
        for layer in self.classifier:
            if isinstance(layer, nn.Linear):
                side = round((layer.in_features / channels) ** 0.5)
                maps = F.conv2d(maps, layer.weight.view(-1, channels, side, side), layer.bias)  # (N, C, h, w)
                channels = layer.out_features
            else:
                maps = layer(maps)
        return maps.mean((2, 3))

    def rows(self) -> list[Row]:
        """Return the rows of Figure 3, left: pooling opens the stage that follows."""
        rows: list[Row] = []
        names: list[str] = []
        widths: list[int] = []
        pool = ""
        for name, module in self.features.named_children():
            if isinstance(module, nn.MaxPool2d):
                rows.append(Row(f"conv{len(rows) + 1}_x", names, f"{pool}[3x3, {widths[-1]}] x {len(widths)}"))
                names, widths, pool = [], [], "2x2 max pool, stride 2; "
            elif isinstance(module, nn.Conv2d):
                widths.append(module.out_channels)
            names.append(f"features.{name}")
        fc = [f"{layer.out_features}-d fc" for layer in self.classifier if isinstance(layer, nn.Linear)]
        return [*rows, Row("fc", [*names, "avgpool", "classifier"], pool + "; ".join(fc))]
