"""Which runs of a reproduction are trained at once on a device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.planning.memory import available_memory
from resnets.reproduction.data_resolver import ResolvedData
from resnets.reproduction.planned_run import PlannedRun

AT_ONCE = {"cpu": 1, "cuda": 10}  # by default: a GPU has room for all of Table 6 and Figure 6
MEMORY_SHARE = 0.8  # of the free memory, that they may take


def require_together(together: int | None) -> None:
    """Verify a number of trainings at once. Raises: UsageError."""
    if together is not None and together < 1:
        raise UsageError(f"together is {together}; it must be 1 or more networks at once on each device")


def groups(
    runs: Iterable[PlannedRun], devices: Sequence[str], together: int | None
) -> tuple[tuple[PlannedRun, ...], ...]:
    """Return the runs in groups that are trained at once, as many as memory allows, in their order.

    Only networks for small images are: others fill a device. `together` is the most, None the device's default.
    """
    runs, device = list(runs), torch.device(devices[0])
    small = sum(map(_is_small, runs))
    most = min(together or AT_ONCE[device.type], math.ceil(small / len(devices)))  # no device shall be idle
    room = MEMORY_SHARE * available_memory(device) if most > 1 else math.inf
    found: list[list[PlannedRun]] = []
    open_group: list[PlannedRun] = []
    for run in runs:
        if not _is_small(run):
            found.append([run])
            continue
        full = len(open_group) >= most or sum(one.memory_bytes for one in (*open_group, run)) > room
        if not open_group or full:
            open_group = []
            found.append(open_group)
        open_group.append(run)
    return tuple(map(tuple, found))


def _is_small(run: PlannedRun) -> bool:
    """Return whether a run is of a network for small images, which are in memory."""
    if not isinstance(run.data, ResolvedData) or run.data.splits.train.kind != "arrays":
        return False
    return registry.declare(run.task.training.network).type == "cifar"
