"""What a process knows of the others that train or test with it, and what they do together, by torch.distributed."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.data.share import Share
from resnets.errors import FailedElsewhere, Interrupted, TrainingError, UsageError
from resnets.evaluation.metrics import Counts
from resnets.networks.normalization import BatchNorm2d
from resnets.training.failures import ending_together, is_first_to_fail

TIMEOUT = timedelta(minutes=10)  # that one process may keep the others waiting; the end of one is heard of at once

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class World:
    """This process among all of them; by default it is alone."""

    rank: int = 0
    size: int = 1
    device: str = "auto"  # what this process takes of what was asked for
    group: dist.ProcessGroup | None = None  # of all, for tensors on CPUs

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        return Share(self.rank, self.size)

    def tell(self, make: Callable[[], T]) -> T:
        """Return, on all processes, what `make` returns on the first, the only one that calls it.

        Raises: what `make` raises, on the first; FailedElsewhere on the others.
        """
        if self.size == 1:
            return make()
        told: list[Any] = [None]
        if self.first:
            try:
                told = [(make(),)]
            except BaseException:
                is_first_to_fail()
                dist.broadcast_object_list(told, src=0, group=self.group)
                raise
        dist.broadcast_object_list(told, src=0, group=self.group)
        if told[0] is None:
            raise FailedElsewhere(f"process 0 of {self.size} has failed")
        return told[0][0]

    def in_turn(self, own: Sequence[T]) -> list[T]:
        """Return, on all processes, a list of which each process made the items rank, rank + size, ..."""
        if self.size == 1:
            return list(own)
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, list(own), group=self.group)
        together: list[T] = [None] * sum(map(len, told))  # type: ignore[list-item]
        for rank, part in enumerate(told):
            together[rank :: self.size] = part
        return together

    def sum(self, tensor: Tensor) -> Tensor:
        """Add to a tensor, in place, those of all other processes, and return it."""
        if self.size > 1:
            dist.all_reduce(tensor, group=self._group_for(tensor))
        return tensor

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the values of the first, in place."""
        if self.size == 1:
            return
        for tensor in tensors:
            same = tensor.detach().clone(memory_format=torch.contiguous_format)
            dist.broadcast(same, src=0, group=self._group_for(tensor))
            tensor.detach().copy_(same)

    def total(self, counts: Counts) -> Counts:
        """Return the counts over a split of which each process counted its share."""
        for each in counts.sums:
            self.sum(each)
        return counts

    def average_statistics(self, network: nn.Module) -> None:
        """Give all processes the mean of their batch norms' running statistics.

        These move linearly, so the mean over the processes is what one process has that sees all groups.
        """
        if self.size == 1:
            return
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        found = [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var)]
        statistics = [statistic for statistic in found if statistic is not None]
        if statistics:
            together = self.sum(torch.cat([statistic.double() for statistic in statistics])) / self.size
            for statistic, mean in zip(statistics, together.split([len(one) for one in statistics]), strict=True):
                statistic.copy_(mean)

    def seed_iteration(self, seed: int, iteration: int) -> None:
        """Let each of several processes draw its own random numbers, such as dropout's, the same after a resumption."""
        if self.size > 1:
            torch.manual_seed(hash((seed, iteration, self.rank)))

    def _group_for(self, tensor: Tensor) -> dist.ProcessGroup | None:
        return self.group if tensor.device.type == "cpu" else None


ALONE = World()


# ---------------------------------------------------------------- joining


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the other processes that torchrun, or whoever set its variables, started; without them, be alone.

    Raises: within the block, if it fails here first, what it fails with; if another process failed first,
    FailedElsewhere; TrainingError, if another process was lost and did not say why.
    """
    if not (dist.is_available() and (dist.is_initialized() or _number("WORLD_SIZE", 1) > 1)):
        yield World(device=device)
        return
    with ending_together():
        try:
            yield _join(device)
        except (Interrupted, FailedElsewhere):
            raise
        except BaseException as error:
            atexit.unregister(_leave)  # which would wait for the others
            if not is_first_to_fail():
                raise FailedElsewhere("another process has failed") from error
            if isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise TrainingError(f"another process was lost ({str(error).splitlines()[0]})") from error
            raise


def require_alone(call: str) -> None:
    """Check that a call for one process was not started in several, which would all do the same in the same folder.

    Raises: UsageError.
    """
    size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else _number("WORLD_SIZE", 1)
    if size > 1:
        raise UsageError(
            f"{call} is for one process, and here are {size}; torchrun is for train, evaluate and detect evaluate"
        )


def _join(device: str) -> World:
    if dist.is_initialized():
        rank, size, group = dist.get_rank(), dist.get_world_size(), _group_for_cpus()
        return World(rank, size, own_device(device, size), group)
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    if not os.environ.get("MASTER_ADDR") or not 0 <= rank < size:
        raise UsageError(
            f"WORLD_SIZE is {size} and RANK {rank}, MASTER_ADDR {os.environ.get('MASTER_ADDR', 'not set')}; "
            f"start several processes by torchrun"
        )
    own = own_device(device, size)
    if own.startswith("cuda"):
        torch.cuda.set_device(own)
    _take_share_of_cores()
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.startswith("cuda") else "gloo", timeout=TIMEOUT)
    atexit.register(_leave)  # and not sooner, for there may be more to do together, such as to test
    return World(rank, size, own, dist.group.WORLD)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@cache
def _group_for_cpus() -> dist.ProcessGroup:
    """Return a group of all processes for tensors on CPUs, which a group that someone else made may not be for."""
    return _new_group(None, "gloo")


def _new_group(ranks: list[int] | None, backend: str | None = None) -> dist.ProcessGroup:
    return dist.new_group(ranks, TIMEOUT, backend)  # type: ignore[return-value]  # or what stands for "not in it"


def own_device(name: str, size: int) -> str:
    """Return the device of one of several processes: a GPU of its own where there are any.

    Raises: UsageError, if all were given one and the same, or this machine has fewer GPUs than processes.
    """
    if size == 1 or name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return name
    if name not in ("auto", "cuda"):
        raise UsageError(f"device is {name!r}; of {size} processes each takes its own: say auto, cuda or cpu")
    here, gpus = _number("LOCAL_RANK"), torch.cuda.device_count()
    if here >= gpus:
        raise UsageError(
            f"this machine has {gpus} GPUs, and its process number {here} (counted from 0) finds none left; "
            f"start one for each GPU, or say --device cpu"
        )
    return f"cuda:{here}"


def _number(name: str, default: int = 0) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"the environment variable {name} is {text!r}; it must be a number, as torchrun sets it")
    return int(text)


def _take_share_of_cores() -> None:
    """Compute with this process's share of the machine's cores, unless the user gave a number of threads."""
    if "OMP_NUM_THREADS" in os.environ and not _threads_by_torchrun():
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // max(1, _number("LOCAL_WORLD_SIZE", 1))))


def _threads_by_torchrun() -> bool:
    """Tell whether it was torchrun that set OMP_NUM_THREADS, to 1, as it does where the user has not."""
    if os.environ["OMP_NUM_THREADS"] != "1" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    try:  # what torchrun itself was started with
        variables = Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return not any(variable.startswith(b"OMP_NUM_THREADS=") for variable in variables)


# ---------------------------------------------------------------- batch norm


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
        group = _new_group(ranks)  # which all processes must call for each
        if rank in ranks:
            own = group
    assert own is not None
    return own
