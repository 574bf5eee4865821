"""Joining the processes of a launcher, such as torchrun, each with a device and a share of the cores of its own."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, rendezvous  # type: ignore[attr-defined]

from resnets.errors import FailedElsewhere, Interrupted, UsageError
from resnets.runtime.failures import ending_together, is_first_to_fail, lost_process
from resnets.runtime.processes import TIMEOUT, World, new_group
from resnets.runtime.signals import StopRequest


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the other processes that torchrun, or whoever set its variables, started; without them, be alone.

    Raises: within the block, if it fails here first, what it fails with; if another process failed first,
    FailedElsewhere; ProcessLost, if another process was lost and did not say why.
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
                with StopRequest(alone=False):  # a launcher that has noticed it too ends the others
                    raise lost_process(_number("WORLD_SIZE", 1), str(error).splitlines()[0]) from error
            raise


def require_alone(call: str) -> None:
    """Check that a call for one process was not started in several, which would all do the same in the same folder.

    Raises: UsageError.
    """
    size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else _number("WORLD_SIZE", 1)
    if size > 1:
        raise UsageError(
            f"{call} is for one process, and here are {size}; torchrun is for train, evaluate, detect train, detect "
            f"evaluate, and for predict and embed into a folder"
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
    take_share_of_cores()
    backend = "cpu:gloo,cuda:nccl" if own.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT, store=_store(), rank=rank, world_size=size)
    atexit.register(_leave)  # and not sooner, for there may be more to do together, such as to test
    return World(rank, size, own, dist.group.WORLD)


def _store() -> Store:
    """Return the store that processes meet at, in which each start by torchrun on one machine has keys of its own.

    After a restart torchrun's store still holds the addresses of the processes before, where some would be looked for.
    Of several machines each counts its restarts by itself.
    """
    store: Store = next(rendezvous("env://", timeout=TIMEOUT))[0]
    alone = _number("LOCAL_WORLD_SIZE") == _number("WORLD_SIZE")
    return PrefixStore(f"start-{_number('TORCHELASTIC_RESTART_COUNT')}", store) if alone else store


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@cache
def _group_for_cpus() -> dist.ProcessGroup:
    """Return a group of all processes for tensors on CPUs, which a group that someone else made may not be for."""
    return new_group(None, "gloo")


def own_device(name: str, size: int) -> str:
    """Return the device of one of several processes: a GPU of its own where there are any.

    Raises: UsageError, if all were given one and the same, or this machine has fewer GPUs than processes.
    """
    if size == 1 or name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return name
    if name not in ("auto", "cuda"):
        raise UsageError(f"device is {name!r}; of {size} processes each takes its own: use auto, cuda or cpu")
    here, gpus = _number("LOCAL_RANK"), torch.cuda.device_count()
    if here >= gpus:
        raise UsageError(
            f"this machine has {gpus} GPUs, and its process number {here} (counted from 0) finds none left; "
            f"start one for each GPU, or use --device cpu"
        )
    return f"cuda:{here}"


def _number(name: str, default: int = 0) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"the environment variable {name} is {text!r}; it must be a number, as torchrun sets it")
    return int(text)


def take_share_of_cores() -> None:
    """Compute with this process's share of the machine's cores, unless the user gave a number of threads."""
    if "OMP_NUM_THREADS" in os.environ and not _threads_by_torchrun():
        return
    torch.set_num_threads(max(1, usable_cores() // max(1, _number("LOCAL_WORLD_SIZE", 1))))


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads_by_torchrun() -> bool:
    """Return whether torchrun set OMP_NUM_THREADS to 1, as it does unless the user has."""
    if os.environ["OMP_NUM_THREADS"] != "1" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    try:  # what torchrun itself was started with
        variables = Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return not any(variable.startswith(b"OMP_NUM_THREADS=") for variable in variables)
