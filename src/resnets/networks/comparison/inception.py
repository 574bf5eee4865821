"""Parts of inception networks: units of convolution, batch norm and ReLU, branches, and their dense test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.stages import conv_in_words

Norm = partial[BatchNorm2d]


class ConvUnit(nn.Module):
    """A convolution, batch norm where there is one, and ReLU: (N, C, H, W) -> (N, width, H / stride, W / stride)."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        norm: Norm | None,
        bias: bool = True,
        separable: bool = False,
    ) -> None:
        super().__init__()
        if separable:  # each channel becomes 8, which a 1x1 convolution then combines
            depthwise = nn.Conv2d(channels, 8 * channels, kernel, stride, kernel // 2, groups=channels, bias=False)
            self.depthwise: nn.Module | None = depthwise
            self.conv = nn.Conv2d(8 * channels, width, 1, bias=bias)
        else:
            self.depthwise = None
            self.conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=bias)
        self.bn = None if norm is None else norm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x if self.depthwise is None else self.depthwise(x))
        return F.relu(x if self.bn is None else self.bn(x), inplace=True)

    def in_words(self) -> str:
        """Return the convolution in the paper's notation."""
        if self.depthwise is None:
            return conv_in_words(self.conv)
        return f"{conv_in_words(self.depthwise)} depthwise; {conv_in_words(self.conv)}"


class Branches(nn.Module):
    """An inception module: branches that see the same maps, and whose maps are put together in their order.

    Shape: (N, C, H, W) -> (N, sum of the branches' channels, H', W')
    """

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)

    def in_words(self) -> str:
        """Return the branches in the paper's notation."""
        return " | ".join(_in_words(branch) for branch in self.children())


def _in_words(branch: nn.Module) -> str:
    layers: Sequence[nn.Module] = [branch] if isinstance(branch, ConvUnit) else list(branch.children())
    words = {nn.MaxPool2d: "max pool", nn.AvgPool2d: "average pool"}
    return ", ".join(
        layer.in_words() if isinstance(layer, ConvUnit) else words[type(layer)]
        for layer in layers
        if isinstance(layer, ConvUnit) or type(layer) in words
    )


class AveragedMaps(nn.Module):
    """A network whose scores are a fully connected layer's of the mean of its last maps, 1/32 of an image's side."""

    fc: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        """Return the last maps. Shape: (N, in_channels, H, W) -> (N, 1024, H / 32, W / 32)"""
        raise NotImplementedError

    def dense_window(self, size: int) -> int:
        """Return the side of the last maps of a square image: the window that dense testing averages over."""
        raise NotImplementedError

    def dense_scores(self, x: Tensor, window: int) -> Tensor:
        """Return the scores of images of any shape: the mean over all positions of a window on the last maps.

        Shape: (N, in_channels, H, W) -> (N, num_classes)
        """
        maps = F.avg_pool2d(self.features(x), window, stride=1)  # (N, C, h, w): a window at each position
        return self.fc(maps.mean((2, 3)))  # fc is linear: the mean of its scores is its score of the mean
