"""Trainings at once on a device: which, and how long they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.complexity import measure, skeleton
from resnets.planning.memory import available_memory, training_memory
from resnets.training.config import Training

AT_ONCE = {"cpu": 1, "cuda": 10}  # by default: a GPU has room for all of Table 6 and Figure 6
MEMORY_SHARE = 0.8  # of the free memory, that they may take

T = TypeVar("T")


def require_together(together: int | None) -> None:
    """Verify a number of trainings at once. Raises: UsageError."""
    if together is not None and together < 1:
        raise UsageError(f"together is {together}; it must be 1 or more networks at once on each device")


def leaves_room(network: str, splits: DataSplits) -> bool:
    """Return whether a network can be trained at once with others.

    It is one for small images, which are in memory, since others fill a device; and it has no dropout, for on a GPU
    the random numbers of several networks in a process would depend on each other.
    """
    spec = registry.declare(network)
    return splits.train.kind == "arrays" and spec.type == "cifar" and not has_dropout(skeleton(spec))


def seed_groups(training: Training, seeds: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the seeds of a training in groups that are trained at once on its device."""
    spec = registry.spec_of(training.network)

    def memory(_: int) -> int | None:
        if spec is None or training.lesson is not None or not leaves_room(training.record.network.name, training.data):
            return None
        cost = measure(skeleton(spec), training.data.train.side)
        tested = len(training.data.test)
        needed = training_memory(cost, training.precision, training.device.type, images_bytes=0, test_images=tested)
        return needed.of(training.recipe.batch_size)

    return groups(seeds, memory, [training.device], None)


def has_dropout(network: nn.Module) -> bool:
    """Return whether a network draws random numbers in training."""
    return any(isinstance(module, _DropoutNd) for module in network.modules())


def groups(
    runs: Sequence[T],
    memory: Callable[[T], int | None],
    devices: Sequence[torch.device],
    together: int | None,
    free: float | None = None,
) -> tuple[tuple[T, ...], ...]:
    """Return runs in groups that are trained at once, as large as memory allows, in their order.

    Args:
        runs: what is to be trained.
        memory: returns the bytes that a run takes, or None for one that is trained alone.
        devices: of which each trains one group at a time; they are alike.
        together: runs at once, at most; None is the device's default.
        free: bytes of free memory of a device; None asks the first one, which is then of this machine.
    """
    needed = [memory(run) for run in runs]
    small = sum(bytes_ is not None for bytes_ in needed)
    most = min(together or AT_ONCE[devices[0].type], math.ceil(small / len(devices)))  # no device shall be idle
    room = 0.0
    if most > 1:
        room = MEMORY_SHARE * (available_memory(devices[0]) if free is None else free)
    found: list[list[T]] = []
    open_group: list[T] = []
    taken = 0
    for run, bytes_ in zip(runs, needed, strict=True):
        if bytes_ is None:
            found.append([run])
            continue
        if not open_group or len(open_group) == most or taken + bytes_ > room:
            open_group, taken = [], 0
            found.append(open_group)
        open_group.append(run)
        taken += bytes_
    return tuple(map(tuple, found))
