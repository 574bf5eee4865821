"""Parts of inception networks: units of convolution, batch norm and ReLU and branches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.stages import Row, conv_in_words

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


def stem_rows(first: ConvUnit, second: ConvUnit, third: ConvUnit) -> list[Row]:
    """Return the rows of a stem: a convolution, a pooling, and two convolutions."""
    words = f"3x3 max pool, stride 2; {second.in_words()}; {third.in_words()}"
    return [
        Row("conv1", ["conv1"], f"{first.in_words()}, stride 2"),
        Row("conv2", ["maxpool1", "conv2", "conv3"], words),
    ]


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
