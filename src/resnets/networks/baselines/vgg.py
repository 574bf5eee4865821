"""VGG-16 and VGG-19 [41], the paper's reference on ImageNet and in detection. Paper: Figure 3 (left), Table 3."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.networks.initialization import initialize
from resnets.specs import VGGSpec


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each ended by max pooling, then fc6, fc7 and the classifier.

    The names of its parameters are torchvision's. Other input sizes than 224 are pooled to 7x7 before fc6.

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
        self.features = nn.Sequential(*layers)
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
