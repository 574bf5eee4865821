"""Building blocks: the residual function F(x) and y = ReLU(F(x) + x), or y = ReLU(F(x)) in a plain network.

Paper: section 3.2, Figures 2 and 5. Batch norm follows each convolution and precedes the activation (section 3.4);
the last ReLU follows the addition.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from resnets.networks.batch_norm import norm_add_relu
from resnets.networks.shortcuts import make_shortcut
from resnets.specs import Shortcut, StridePlacement, ZeroChannels

Norm = Callable[[int], nn.Module]


class Block(nn.Module):
    """A block whose F is a chain of convolutions named conv1 bn1, conv2 bn2, ...; ReLU between them.

    `layers` lists (in_channels, out_channels, kernel, stride) of each convolution. `downsample` is the skip path:
    torchvision's name for it, kept so that weights load both ways; None is the bare identity.

    Shape: (N, C, H, W) -> (N, C', H / stride, W / stride)
    """

    def __init__(
        self,
        layers: list[tuple[int, int, int, int]],
        norm: Norm,
        *,
        residual: bool,
        shortcut: Shortcut | None,
        zeros: ZeroChannels = "after",
    ) -> None:
        super().__init__()
        self.residual = residual
        self.depth = len(layers)
        for number, (in_channels, out_channels, kernel, stride) in enumerate(layers, start=1):
            conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", norm(out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if residual:
            assert shortcut is not None
            stride = max(layer[3] for layer in layers)
            self.downsample = make_shortcut(shortcut, layers[0][0], layers[-1][1], stride, norm, zeros)

    def last_norm(self) -> nn.Module:
        """Return the batch norm that ends F: where its weight and bias are 0, the block is an identity."""
        return self.get_submodule(f"bn{self.depth}")

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for number in range(1, self.depth):
            out = norm_add_relu(getattr(self, f"bn{number}"), self.relu, getattr(self, f"conv{number}")(out))
        out = getattr(self, f"conv{self.depth}")(out)
        skip = None
        if self.residual:
            skip = x if self.downsample is None else self.downsample(x)
        return norm_add_relu(self.last_norm(), self.relu, out, skip)  # F(x) + x


def basic(
    in_channels: int,
    width: int,
    stride: int,
    norm: Norm,
    *,
    layers: int,
    residual: bool,
    shortcut: Shortcut | None,
    zeros: ZeroChannels = "after",
) -> Block:
    """Return a block of `layers` 3x3 convolutions (two in the paper), the first with the stride. Figure 5, left."""
    chain = [(in_channels if i == 0 else width, width, 3, stride if i == 0 else 1) for i in range(layers)]
    return Block(chain, norm, residual=residual, shortcut=shortcut, zeros=zeros)


def bottleneck(
    in_channels: int,
    width: int,
    stride: int,
    norm: Norm,
    *,
    placement: StridePlacement,
    residual: bool,
    shortcut: Shortcut | None,
    zeros: ZeroChannels = "after",
) -> Block:
    """Return a block of 1x1 (reduce), 3x3 and 1x1 (restore, to 4 x width) convolutions. Figure 5, right."""
    first, second = (stride, 1) if placement == "1x1" else (1, stride)
    chain = [(in_channels, width, 1, first), (width, width, 3, second), (width, 4 * width, 1, 1)]
    return Block(chain, norm, residual=residual, shortcut=shortcut, zeros=zeros)
