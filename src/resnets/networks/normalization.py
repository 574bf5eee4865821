"""Batch normalisation: its statistics over groups of images, as over the paper's several GPUs, and its faster way."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.networks.spanning import norm_across


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
        if self.training and self.across is not None:
            return self._forward_across(input, self.across)
        if self.training and self.fused is not None and (out := self.fused(self, input, None, False)) is not None:
            return out
        if not self.training or self.group is None or input.shape[0] <= self.group:
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        outputs = []
        for part in input.split(self.group):  # (n, C, H, W)
            # With momentum 1 the "running" statistics come back as this group's own.
            part_mean, part_var = torch.zeros_like(mean), torch.zeros_like(var)
            outputs.append(F.batch_norm(part, part_mean, part_var, self.weight, self.bias, True, 1.0, self.eps))
            share = part.shape[0] / input.shape[0]
            mean.add_(part_mean, alpha=share)
            var.add_(part_var, alpha=share)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        self.num_batches_tracked.add_(1)
        return torch.cat(outputs)

    def _forward_across(self, input: Tensor, processes: dist.ProcessGroup) -> Tensor:
        """Normalise by statistics over the images of several processes; the group is all that they hold."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        out, mean, var = norm_across(input, self.weight, self.bias, self.eps, processes)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        self.num_batches_tracked.add_(1)
        return out

    def extra_repr(self) -> str:
        return super().extra_repr() if self.group is None else f"{super().extra_repr()}, group={self.group}"


def norm_add_relu(norm: nn.Module, relu: nn.Module, x: Tensor, skip: Tensor | None = None) -> Tensor:
    """Return relu(norm(x) + skip), at once where the norm knows how and nobody listens to what is in between.

    Shape: (N, C, H, W), (N, C, H, W) -> (N, C, H, W)
    Paper: Figure 2; section 3.4 (batch norm before activation).
    """
    if isinstance(norm, BatchNorm2d) and norm.training and norm.fused is not None:
        heard = norm._forward_hooks or norm._forward_pre_hooks or relu._forward_hooks or relu._forward_pre_hooks
        if not heard and (fused := norm.fused(norm, x, skip, True)) is not None:
            return fused
    out = norm(x)
    if skip is not None:
        out += skip
    return relu(out)
