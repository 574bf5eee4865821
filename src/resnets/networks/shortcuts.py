"""The skip path of a residual block: section 3.2's identity and projection, and section 4.1's options A, B and C."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from resnets.specs import Shortcut, ZeroChannels


class ZeroPad(nn.Module):
    """Option A: keep every second pixel where the stride is 2, and add zero channels; no parameters.

    The paper leaves open which pixels are kept and where the zeros go: here the even rows and columns, and after
    the identity channels; or, for weights of a project that has it so, half before and half after them.

    Shape: (N, C, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, zeros: ZeroChannels = "after") -> None:
        super().__init__()
        self.extra = out_channels - in_channels
        self.before = self.extra // 2 if zeros == "around" else 0
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, 0, 0, 0, self.before, self.extra - self.before)
        return F.pad(x[:, :, :: self.stride, :: self.stride], padding)

    def extra_repr(self) -> str:
        before = f", of which {self.before} before" if self.before else ""
        return f"stride={self.stride}, zero_channels={self.extra}{before}"


def make_shortcut(
    option: Shortcut,
    in_channels: int,
    out_channels: int,
    stride: int,
    norm: Callable[[int], nn.Module],
    zeros: ZeroChannels = "after",
) -> nn.Module | None:
    """Return the skip path of one block, or None where it is the bare identity.

    A projection is W_s of Eq. (2): a 1x1 convolution, followed by batch norm as in the authors' released models.

    Paper: Eq. (1) and (2); options A, B and C of section 4.1, "Identity vs. Projection Shortcuts".
    """
    same = stride == 1 and in_channels == out_channels
    if option == "C" or (option == "B" and not same):
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels))
    return None if same else ZeroPad(in_channels, out_channels, stride, zeros)


def is_projection(shortcut: nn.Module | None) -> bool:
    """Return whether a skip path has weights, that is, projects."""
    return isinstance(shortcut, nn.Sequential)
