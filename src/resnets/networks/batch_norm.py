"""Batch normalisation over groups of images, as over the paper's several GPUs, on one process or over several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.fx import Proxy
from torch.nn.modules.module import _has_any_global_hook


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that, in training, normalises each `group` consecutive images by their own mean and variance.

    One device then gives the statistics that several gave: 128 images in groups of 64 are the paper's two GPUs on
    CIFAR-10, 256 in groups of 32 its eight on ImageNet. The last group of a batch may be smaller. The running
    statistics move once a batch, towards the mean of the groups' (weighted by their images). In evaluation, and
    without a group, it is `nn.BatchNorm2d`, and its state_dict is the same.

    Shape: (N, C, H, W) -> (N, C, H, W)
    Paper: section 4.2 ("a mini-batch size of 128 on two GPUs"); the follow-up's 32 images a GPU on ImageNet.
    """

    fused: Callable[[BatchNorm2d, Tensor, Tensor | None, bool], Tensor | None] | None = None
    """What computes relu(norm(x) + skip) at once, where it can (see `networks.fused`); None: one after the other."""

    across: dist.ProcessGroup | None = None
    """The processes over which each group's images are spread in equal shares; None: this one has whole groups."""

    def __init__(self, num_features: int, group: int | None = None, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.group = group

    def forward(self, input: Tensor) -> Tensor:
        if _is_traced(input):
            return _recorded(self, input)
        if self.training and self.across is not None:
            return self._forward_across(input, self.across)
        if self.training and self.fused is not None and (out := self.fused(self, input, None, False)) is not None:
            return out
        if not self.training or self.group is None or input.shape[0] <= self.group:
            return super().forward(input)
        out, mean, var = (self._at_once if self.groups_at_once(input) else self._one_by_one)(input, self.group)
        self._track(mean, var)
        return out

    def groups_at_once(self, input: Tensor) -> bool:
        """Return whether all groups are normalised by one reduction: on a GPU, where launching kernels takes the time.

        On a CPU torch's own kernel, group by group, takes half the time.
        """
        return input.device.type != "cpu" and input.shape[0] % (self.group or 1) == 0

    def _one_by_one(self, input: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, and the mean and unbiased variance over the groups, by torch's kernel for each group."""
        mean, var = (torch.zeros(self.num_features, dtype=self.weight.dtype, device=input.device) for _ in range(2))
        outputs = []
        for part in input.split(group):  # (n, C, H, W)
            # With momentum 1 the "running" statistics come back as this group's own.
            part_mean, part_var = torch.zeros_like(mean), torch.zeros_like(var)
            outputs.append(F.batch_norm(part, part_mean, part_var, self.weight, self.bias, True, 1.0, self.eps))
            share = part.shape[0] / input.shape[0]
            mean.add_(part_mean, alpha=share)
            var.add_(part_var, alpha=share)
        return torch.cat(outputs), mean, var

    def _at_once(self, input: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same with one reduction for all groups, which must be whole."""
        x = input.unflatten(0, (-1, group)).to(self.weight.dtype)  # (groups, n, C, H, W)
        var, mean = torch.var_mean(x, dim=(1, 3, 4), correction=0, keepdim=True)  # (groups, 1, C, 1, 1)
        scale = self.weight[:, None, None] * torch.rsqrt(var + self.eps)
        out = ((x - mean) * scale + self.bias[:, None, None]).flatten(0, 1).to(input.dtype)  # not a view in bf16
        values = x[0].numel() // self.num_features
        unbiased = var.detach().mean(0).flatten() * (values / max(1, values - 1))
        return out, mean.detach().mean(0).flatten(), unbiased

    def _forward_across(self, input: Tensor, processes: dist.ProcessGroup) -> Tensor:
        """Normalise by statistics over the images of several processes; the group is all that they hold."""
        out, mean, var = norm_across(input, self.weight, self.bias, self.eps, processes)
        self._track(mean, var)
        return out

    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics, where there are any: by the momentum, or to the mean of all batches so far."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)

    def extra_repr(self) -> str:
        return super().extra_repr() if self.group is None else f"{super().extra_repr()}, group={self.group}"


def _is_traced(x: Any) -> bool:
    """Report whether x is not a tensor but torch.fx's placeholder for one."""
    return isinstance(x, Proxy)


def _recorded(module: nn.Module, x: Any) -> Any:
    """Record the call of a module as one node of torch.fx's graph, as it does by itself for modules of `torch.nn`.

    The graph is then the same in training, where what is inside depends on the number of images.
    """
    return x.tracer.create_proxy("call_module", x.tracer.path_of_module(module), (x,), {})


def is_heard(module: nn.Module) -> bool:
    """Return whether a module, or all modules, have forward or backward hooks."""
    own = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(own) or _has_any_global_hook()


def norm_add_relu(norm: nn.Module, relu: nn.Module, x: Tensor, skip: Tensor | None = None) -> Tensor:
    """Return relu(norm(x) + skip), at once where the norm knows how and nobody listens to what is in between.

    Shape: (N, C, H, W), (N, C, H, W) -> (N, C, H, W)
    Paper: Figure 2; section 3.4 (batch norm before activation).
    """
    at_once = norm.fused if isinstance(norm, BatchNorm2d) and norm.training else None
    if at_once is not None and not (_is_traced(x) or is_heard(norm) or is_heard(relu)):
        assert isinstance(norm, BatchNorm2d)
        if (fused := at_once(norm, x, skip, True)) is not None:
            return fused
    out = norm(x)
    if skip is not None:
        out += skip
    return relu(out)


# ---------------------------------------------------------------- statistics over several processes


def norm_across(x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: dist.ProcessGroup) -> tuple[Tensor, ...]:
    """Return the normalised images, and the mean and the unbiased variance of all that the group holds, in float32.

    torch's SyncBatchNorm does not do CPUs. Each process has equally many images. Its gradients of `weight` and `bias`
    are of its own outputs, as with any other layer: averaging them over the processes is left to the caller.

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
