"""Batch norm frozen after pre-training: its statistics, scale and offset are constants. Paper: appendix A.

The paper freezes it to save memory. Here the constants go into the convolution before, so that no pass over the maps
is left, and nothing of them is kept for the backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrozenNorm(nn.Module):
    """The constants of a batch norm, under its names; the convolution before it has applied them already.

    Shape: (N, C, H, W) -> the same
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        for name, tensor in norm.state_dict().items():  # weight, bias, running_mean, running_var, num_batches_tracked
            self.register_buffer(name, tensor.detach().clone())
        self.eps = norm.eps

    def constants(self) -> tuple[Tensor, Tensor]:
        """Return the scale and the offset. Shape: (C,), (C,)"""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        return x


class NormedConv2d(nn.Conv2d):
    """A convolution followed by frozen batch norm: its weights are trained, scale and offset are constants."""

    def __init__(self, conv: nn.Conv2d, norm: FrozenNorm) -> None:
        assert conv.bias is None
        assert isinstance(conv.padding, tuple)
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            bias=False,
            device="meta",  # nothing to draw
        )
        self.weight = conv.weight
        self.norm = (norm,)  # in a tuple, so that its constants have one name, that of the batch norm

    def forward(self, x: Tensor) -> Tensor:
        scale, offset = self.norm[0].constants()
        return self._conv_forward(x, self.weight * scale[:, None, None, None], offset)


def freeze_norms(network: nn.Module) -> None:
    """Make every batch norm of a network a constant of the convolution before it; the names stay."""
    for parent in list(network.modules()):
        before: tuple[str, nn.Module] | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                assert before is not None
                assert isinstance(before[1], nn.Conv2d)
                norm = FrozenNorm(child)
                setattr(parent, before[0], NormedConv2d(before[1], norm))
                setattr(parent, name, norm)
            before = name, child
