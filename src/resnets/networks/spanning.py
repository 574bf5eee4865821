"""Batch norm whose statistics are over images that several processes hold, differentiably, in float32.

torch's SyncBatchNorm does not do CPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def norm_across(x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: dist.ProcessGroup) -> tuple[Tensor, ...]:
    """Return the normalised images, and the mean and the unbiased variance of all that the group holds.

    Each process has equally many images. Its gradients of `weight` and `bias` are of its own outputs, as they are
    with any other layer: averaging them over the processes is left to the caller.

    Shape: (N, C, H, W), (C,), (C,) -> (N, C, H, W), (C,), (C,)
    """
    return _NormAcross.apply(x, weight, bias, eps, group)


class _NormAcross(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: dist.ProcessGroup
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.group, ctx.processes = group, dist.get_world_size(group)
        var, mean = torch.var_mean(_precise(x), (0, 2, 3), correction=0)
        # in float64, so that the mean's square, added to be summed, is subtracted again without harm
        moments = torch.stack([mean.double(), var.double() + mean.double().square()])
        dist.all_reduce(moments, group=group)
        moments /= ctx.processes
        mean, var = moments[0].to(mean.dtype), (moments[1] - moments[0].square()).clamp_(min=0).to(mean.dtype)
        y = F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps))
        count = ctx.processes * x.numel() // x.shape[1]
        unbiased = var * (count / max(count - 1, 1))
        ctx.mark_non_differentiable(mean, unbiased)
        return y, mean, unbiased

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, invstd = ctx.saved_tensors
        dy = _precise(gradient)
        normalised = (_precise(x) - _channels(mean)) * _channels(invstd)
        dbias, dweight = dy.sum((0, 2, 3)), (dy * normalised).sum((0, 2, 3))
        means = torch.stack([dbias, dweight]).double()
        dist.all_reduce(means, group=ctx.group)
        means /= ctx.processes * x.numel() // x.shape[1]
        shift, slope = means.to(dy.dtype)
        dx = (dy - _channels(shift) - normalised * _channels(slope)) * _channels(weight * invstd)
        return dx.to(x.dtype), dweight.to(weight.dtype), dbias.to(weight.dtype), None, None


def _precise(x: Tensor) -> Tensor:
    """Return x in float32, or better where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _channels(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
