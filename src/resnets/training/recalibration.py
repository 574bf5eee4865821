"""Batch-norm statistics recalibrated on training images: exact ones in place of a moving average.

Paper: the authors' released models have them so, as the page that they are on says; appendix A computes them before
batch norm is frozen for detection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.data.loading import Batch
from resnets.errors import UsageError
from resnets.networks.modes import in_mode
from resnets.networks.sync_batch_norm import norms_across
from resnets.runtime.device import forward
from resnets.runtime.processes import ALONE, World

AT_ONCE = 16  # images whose values are taken in together


class _Moments:
    """Count, mean and sum of squared deviations of each channel, in float64, over all that a batch norm is given."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.mean)

    def add(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Add a batch, as a hook, some images at a time: in float64 all of them may not fit. Shape: ((N, C, ...),)."""
        for some in inputs[0].detach().split(AT_ONCE):
            self._add(some.transpose(0, 1).flatten(1).double())

    def _add(self, values: Tensor) -> None:
        """Add what each channel is given. Shape: (C, values of it)"""
        count, mean = values.shape[1], values.mean(1)
        away = mean - self.mean
        total = self.count + count
        self.squares += (values - mean[:, None]).square().sum(1) + away.square() * (self.count * count / total)
        self.mean += away * (count / total)
        self.count = total

    def gather(self, world: World) -> None:
        """Take in what all other processes were given."""
        sums = torch.stack([torch.full_like(self.mean, self.count), self.count * self.mean, self.squares])
        sums[2] += self.count * self.mean.square()
        count, total, squares = world.sum(sums)
        self.count, self.mean = int(count[0]), total / count
        self.squares = squares - count * self.mean.square()

    @property
    def variance(self) -> Tensor:
        """Unbiased, as torch keeps it."""
        return self.squares / max(1, self.count - 1)


def norms_of(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms of a network.

    Raises: UsageError, if it has none.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise UsageError("bn_images is given, and this network has no batch norm")
    return norms


@torch.no_grad()
def recompute_statistics(
    network: nn.Module,
    batches: Iterable[Batch],
    count: int,
    device: torch.device,
    world: World = ALONE,
    *,
    accumulate: int = 1,
) -> None:
    """Set each batch norm's mean and variance to those of its input over the first `count` of these images.

    Upstream, images are normalised as in training, in the groups of their mini-batch, so that each layer is given what
    it was trained on, and each mini-batch in as many parts. Everything else is in evaluation mode, and is left as it
    was. Where the last image would be alone in its group, it is one more. Of several processes each is given its share
    of the mini-batches, and they take whole ones.
    """
    norms = norms_of(network)
    moments = [_Moments(norm.num_features, device) for norm in norms]
    kept = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    left = count
    with in_mode(network, training=False), contextlib.ExitStack() as hooks:
        for norm, its in zip(norms, moments, strict=True):
            norm.train()
            hooks.callback(norm.register_forward_pre_hook(its.add).remove)
        parts = (part for images, _ in batches for part in images.split(len(images) // accumulate))
        for images in parts:
            some = images[: _with_company(left, norms)] if world.size == 1 else images
            with norms_across(network, len(images) * world.size, world):
                forward(network, some.to(device), "fp32")
            left -= len(images) * world.size
            if left <= 0:
                break
    if world.size > 1:
        for its in moments:
            its.gather(world)
    for norm, its, before in zip(norms, moments, kept, strict=True):
        if its.count:
            before |= {"running_mean": its.mean, "running_var": its.variance}
        for name, buffer in norm.named_buffers():
            buffer.copy_(before[name])


def _with_company(images: int, norms: list[_BatchNorm]) -> int:
    """Return a number of images, or one more where a batch norm would get a single one, which has no variance."""
    groups = {getattr(norm, "group", None) or images for norm in norms}
    return images + (images == 1 or any(images % group == 1 for group in groups))
