"""Batch norm with the addition and the ReLU that follow it, in one pass over memory each way, in training on a CPU.

A CPU spends a third of a training step in carrying activations to and from memory for these three, one after the
other. The compiled kernels do them at once (`runtime.kernels`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from resnets.networks.batch_norm import BatchNorm2d
from resnets.runtime.kernels import NAMES, library, unavailable


@contextmanager
def fusing(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let the batch norms of a network run fused in training, where the kernel is available.

    Those whose groups are spread over processes do not.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm2d) and module.across is None]
    for norm in norms:
        norm.fused = None if unavailable(device) else norm_add_relu
    try:
        yield
    finally:
        for norm in norms:
            norm.fused = None


def norm_add_relu(norm: BatchNorm2d, x: Tensor, skip: Tensor | None, relu: bool) -> Tensor | None:
    """Return relu(norm(x) + skip) in training mode, or None where the kernel is not made for such an input.

    Shape: (N, C, H, W), (N, C, H, W) -> (N, C, H, W), channels last in memory
    """
    if x.device.type != "cpu" or (skip is not None and not relu) or x.numel() == 0 or not _fits(norm, x, skip):
        return None
    return _NormAddRelu.apply(x, skip, norm.weight, norm.bias, norm, relu)


def _fits(norm: BatchNorm2d, x: Tensor, skip: Tensor | None) -> bool:
    """Return whether the kernel may read and write what it is given: it trusts every shape and every pointer.

    What does not fit goes torch's way, which says what is wrong with it, or computes it.
    """
    shaped = x.dim() == 4 and x.shape[1] == norm.num_features and (skip is None or skip.shape == x.shape)
    weighted = norm.affine and norm.weight.dtype == torch.float32 and x.dtype in NAMES
    tracked = norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None
    return shaped and weighted and tracked and norm.momentum is not None


class _NormAddRelu(torch.autograd.Function):
    """The kernel's two passes as one differentiable function of x, skip, weight and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, skip: Tensor | None, weight: Tensor, bias: Tensor, norm: BatchNorm2d, relu: bool
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if skip is not None:
            skip = skip.to(x.dtype).contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        ctx.group, ctx.relu = min(norm.group or images, images), relu
        y = torch.empty_like(x)
        mean = torch.empty(-(-images // ctx.group), channels)
        invstd = torch.empty_like(mean)
        assert norm.num_batches_tracked is not None and norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        _call(
            f"forward_{NAMES[x.dtype]}",
            (x, skip, y, weight, bias, mean, invstd, norm.running_mean, norm.running_var),
            (images, ctx.group, height * width, channels),
            (norm.eps, norm.momentum),
            relu,
        )
        ctx.save_for_backward(x, None if skip is None else y, weight, bias, mean, invstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, bias, mean, invstd = ctx.saved_tensors
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        dskip = None if y is None else torch.empty_like(x)
        _call(
            f"backward_{NAMES[x.dtype]}",
            (gradient, x, y, dskip, dx, weight, bias, mean, invstd, dweight, dbias),
            (images, ctx.group, height * width, channels),
            (),
            ctx.relu,
        )
        return dx, dskip, dweight, dbias, None, None


def _call(
    name: str, tensors: tuple[Tensor | None, ...], sizes: tuple[int, ...], numbers: tuple[float, ...], relu: bool
) -> None:
    loaded = library()
    assert not isinstance(loaded, str)
    pointers = [None if tensor is None else ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    getattr(loaded, name)(
        *pointers,
        *map(ctypes.c_long, sizes),
        *map(ctypes.c_double, numbers),
        ctypes.c_int(relu),
        ctypes.c_int(torch.get_num_threads()),
    )
