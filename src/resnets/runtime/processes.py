"""Communication between the processes that train or test together, by torch.distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from resnets.errors import FailedElsewhere, UsageError
from resnets.runtime.failures import is_first_to_fail

TIMEOUT = timedelta(minutes=10)  # that one process may keep the others waiting; the end of one is noticed at once

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """One of `size` equal parts, numbered from 0; by default everything."""

    rank: int = 0
    size: int = 1

    def of_batch(self, batch_size: int) -> slice:
        """Return the consecutive images of each mini-batch that are this process's.

        Raises: UsageError, if a mini-batch is not divisible.
        """
        if batch_size % self.size:
            raise UsageError(
                f"a mini-batch of {batch_size} images is not divisible by {self.size} processes; "
                f"batch_size must be a multiple of {self.size}"
            )
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)


WHOLE = Share()


@dataclass(frozen=True, eq=False)
class World:
    """This process among all of them; by default it is alone."""

    rank: int = 0
    size: int = 1
    device: str = "auto"  # of this process, for the requested one
    group: dist.ProcessGroup | None = None  # of all, for tensors on CPUs

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        return Share(self.rank, self.size)

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """Return, on all processes, what `make` returns on the first, the only one that calls it.

        Raises: what `make` raises, on the first; FailedElsewhere on the others.
        """
        if self.size == 1:
            return make()
        sent: list[Any] = [None]
        if self.first:
            try:
                sent = [(make(),)]
            except BaseException:
                is_first_to_fail()
                with suppress(RuntimeError):  # that another one was lost, which hides no error of this one
                    dist.broadcast_object_list(sent, src=0, group=self.group)
                raise
        dist.broadcast_object_list(sent, src=0, group=self.group)
        if sent[0] is None:
            raise FailedElsewhere(f"process 0 of {self.size} has failed")
        return sent[0][0]

    def gather(self, own: Sequence[T]) -> list[T]:
        """Return, on all processes, a list of which each process made the items rank, rank + size, ..."""
        if self.size == 1:
            return list(own)
        sent: list[Any] = [None] * self.size
        dist.all_gather_object(sent, list(own), group=self.group)
        together: list[T] = [None] * sum(map(len, sent))  # type: ignore[list-item]
        for rank, part in enumerate(sent):
            together[rank :: self.size] = part
        return together

    def sum(self, tensor: Tensor) -> Tensor:
        """Add to a tensor, in place, those of all other processes, and return it."""
        if self.size > 1:
            dist.all_reduce(tensor, group=self._group_for(tensor))
        return tensor

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the values of the first, in place."""
        if self.size == 1:
            return
        for tensor in tensors:
            same = tensor.detach().clone(memory_format=torch.contiguous_format)
            dist.broadcast(same, src=0, group=self._group_for(tensor))
            tensor.detach().copy_(same)

    def seed_iteration(self, seed: int, iteration: int) -> None:
        """Let each of several processes draw its own random numbers, such as dropout's, the same after a resumption."""
        if self.size > 1:
            torch.manual_seed(hash((seed, iteration, self.rank)))

    def _group_for(self, tensor: Tensor) -> dist.ProcessGroup | None:
        return self.group if tensor.device.type == "cpu" else None


ALONE = World()


def new_group(ranks: list[int] | None, backend: str | None = None) -> dist.ProcessGroup:
    """Return a group of processes, by their ranks; None is all of them."""
    return dist.new_group(ranks, TIMEOUT, backend)  # type: ignore[return-value]  # or the constant for "not in it"
