"""VGG-16 and VGG-19 [41], the paper's reference on ImageNet and in detection. Paper: Figure 3 (left), Table 3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from resnets.networks.features import select
from resnets.networks.initialization import initialize
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
        return select(self._maps(x), out_indices, 1 + sum(isinstance(layer, nn.MaxPool2d) for layer in self))

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
        self.features = Convolutions(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            nn.Linear(4096, spec.num_classes),
        )
        initialize(self, spec.initialization)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (N, 512, 7, 7)
        return self.classifier(torch.flatten(x, 1))
