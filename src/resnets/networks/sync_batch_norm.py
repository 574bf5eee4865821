"""Batch normalisation over several processes: groups of images that are spread over them, and their statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.errors import UsageError
from resnets.networks.batch_norm import BatchNorm2d
from resnets.runtime.processes import World, new_group


def average_statistics(network: nn.Module, world: World) -> None:
    """Give all processes the mean of the running statistics of their batch norms.

    These move linearly, so the mean over the processes is what one process has that sees all groups.
    """
    if world.size == 1:
        return
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    found = [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var)]
    statistics = [statistic for statistic in found if statistic is not None]
    if statistics:
        together = world.sum(torch.cat([statistic.double() for statistic in statistics])) / world.size
        for statistic, mean in zip(statistics, together.split([len(one) for one in statistics]), strict=True):
            statistic.copy_(mean)


def processes_of_a_group(norm: BatchNorm2d, batch_size: int, size: int) -> int:
    """Return over how many consecutive processes a group of a batch norm is spread; 1 if each has whole groups.

    Raises: UsageError, if groups and shares do not nest.
    """
    if size == 1:  # whose last group of a mini-batch may be smaller
        return 1
    share = batch_size // size
    group = min(norm.group or batch_size, batch_size)
    if share % group == 0:
        return 1
    if group % share:
        raise UsageError(
            f"batch norm is over groups of {group} images, and of a mini-batch of {batch_size} each of {size} "
            f"processes has {share}: these must be whole groups, or a group whole shares; take another number of "
            f"processes or another batch size"
        )
    return group // share


def require_nesting(network: nn.Module, batch_size: int, size: int) -> None:
    """Check that each process has whole groups of each batch norm, or each group whole processes.

    Raises: UsageError.
    """
    for module in network.modules():
        if isinstance(module, BatchNorm2d):
            processes_of_a_group(module, batch_size, size)


@contextmanager
def norms_across(network: nn.Module, batch_size: int, world: World) -> Iterator[None]:
    """Let the batch norms of a network share the statistics of groups that are spread over processes.

    Raises: UsageError, if groups and shares do not nest.
    """
    changed = []
    try:
        for module in network.modules():
            if isinstance(module, BatchNorm2d) and (count := processes_of_a_group(module, batch_size, world.size)) > 1:
                module.across = _neighbours(count)
                changed.append(module)
        yield
    finally:
        for module in changed:
            module.across = None


@cache
def _neighbours(count: int) -> dist.ProcessGroup:
    """Return the group of `count` consecutive processes that this one is in (the last group may be smaller).

    Never the group of all, on which the gradients travel at the same time.
    """
    own: dist.ProcessGroup | None = None
    rank, size = dist.get_rank(), dist.get_world_size()
    for start in range(0, size, count):
        ranks = list(range(start, min(start + count, size)))
        group = new_group(ranks)  # which all processes must call for each
        if rank in ranks:
            own = group
    assert own is not None
    return own
