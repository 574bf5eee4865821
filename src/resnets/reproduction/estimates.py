"""Estimates of a reproduction's runs: disk, memory, and time from a second of each network's training here.

For a device of another machine the time is estimated from its data sheet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

from resnets.errors import first_line
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.planning import forecast
from resnets.planning.devices import KnownDevice
from resnets.planning.measure import QUICK_SECONDS, measure_quickly, measure_round
from resnets.planning.memory import training_memory
from resnets.planning.together import groups, leaves_room
from resnets.reproduction.data_resolver import ResolvedData, few
from resnets.reproduction.planned_run import PlannedRun, declared_network
from resnets.reproduction.tasks import Task
from resnets.runtime.device import choose_precision
from resnets.training.checkpoint import KEEP
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.training.together import TRAINING_FAILURES


class Estimates:
    """Estimates for one device, on which each network is measured once, if they are `timed`.

    Of a `known` device, which need not be here, nothing is measured. `notify` is called before each measurement,
    `notes` name the networks that could not be measured.
    """

    def __init__(
        self,
        device: str,
        *,
        timed: bool,
        known: KnownDevice | None = None,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.device, self.timed = torch.device("cuda" if known is not None else device), timed
        self.known, self.notify = known, notify
        self.rates: dict[Task, forecast.Rates] = {}
        self.notes: list[str] = []

    def of(self, runs: Sequence[PlannedRun], place: str = "") -> list[PlannedRun]:
        """Return the runs of one task with what they take; `place` is which task of how many it is."""
        first, cost = runs[0], _cost(runs[0])
        if self.timed and isinstance(first.data, ResolvedData) and any(run.state != "done" for run in runs):
            if self.known is not None:
                self.rates[first.task] = _known_rates(first, cost, self.known)
                return [self._with_costs(run, cost) for run in runs]
            self.notify(f"measuring a second of the training of {first.task.training.network}{place}")
            try:
                self.rates[first.task] = measure_quickly(self._training(first), cost)
            except TRAINING_FAILURES as error:  # the others may still be
                self.notes.append(f"{first.task.training.network} could not be measured: {first_line(error)}")
            torch.cuda.empty_cache()  # for the runs, which may be made by other processes
        return [self._with_costs(run, cost) for run in runs]

    def grouped(
        self, runs: Sequence[PlannedRun], devices: Sequence[str], together: int | None
    ) -> tuple[tuple[PlannedRun, ...], ...]:
        """Return the runs in groups that are trained at once, each with its share of the time of its group."""
        free = None if self.known is None else self.known.memory
        found = groups(runs, _memory_among_others, [self.device] * len(devices), together, free)
        return tuple(map(self._at_once, found))

    def _training(self, run: PlannedRun) -> Training:
        """Return the training of a run on as many images as some steps need."""
        assert isinstance(run.data, ResolvedData)
        alone = run.recipe.with_changes(distillation=None)  # the teacher is not trained yet
        config = TrainingConfig.from_settings(recipe=alone, device=str(self.device), **run.task.network_options)
        return resolve(run.task.training.network, few(run.data.splits), config)

    def _at_once(self, group: tuple[PlannedRun, ...]) -> tuple[PlannedRun, ...]:
        if len(group) == 1 or self.device.type == "cpu" or any(run.task not in self.rates for run in group):
            return group  # on a CPU they take as long as one after the other
        if self.known is not None:
            each = [(cost := _cost(run), _depth(run, cost), run.recipe.batch_size) for run in group]
            return self._shared(group, forecast.estimated_step(each, self.known))
        self.notify(f"measuring {len(group)} networks at once")
        try:
            at_once = measure_round([self._training(run) for run in group], seconds=QUICK_SECONDS)
        except TRAINING_FAILURES:  # which end no run for good either
            return group
        return self._shared(group, at_once)

    def _shared(self, group: tuple[PlannedRun, ...], at_once: float) -> tuple[PlannedRun, ...]:
        """Return a group with each run's share of its time; `at_once` are the seconds of a step of each.

        Some may have fewer iterations left: the others go on without them. None is faster than it would be alone.
        """
        share = min(1.0, at_once / sum(self.rates[run.task].step for run in group))
        left = {run.name: run.recipe.iterations - run.iteration for run in group}
        steps = {run.name: (run.seconds or 0.0) / max(1, left[run.name]) for run in group}  # with tests and checkpoints
        total = 0.0
        for start, end in pairwise(sorted({0, *left.values()})):
            active = [steps[name] for name, iterations in left.items() if iterations >= end]
            total += (end - start) * max(share * sum(active), *active)
        alone = sum(run.seconds or 0.0 for run in group)
        return tuple(dataclasses.replace(run, seconds=total * (run.seconds or 0.0) / (alone or 1.0)) for run in group)

    def _with_costs(self, run: PlannedRun, cost: Complexity) -> PlannedRun:
        tested, peak = len(run.data.splits.test), forecast.disk_bytes(run.recipe, cost)
        seconds = 0.0 if run.state == "done" else None
        if run.task in self.rates:
            left = 1 - run.iteration / run.recipe.iterations
            seconds = left * forecast.duration(run.recipe, self.rates[run.task], tested).total
        memory = training_memory(
            cost,
            choose_precision("auto", self.device) if self.known is None else self.known.precision,
            self.device.type,
            images_bytes=0,  # which all runs have in common
            test_images=tested,
        )
        return dataclasses.replace(
            run,
            seconds=seconds,
            memory_bytes=memory.of(run.recipe.batch_size),
            disk_bytes=peak - (KEEP + 1) * forecast.checkpoint_bytes(cost),
            peak_bytes=peak,
        )


def _known_rates(run: PlannedRun, cost: Complexity, known: KnownDevice) -> forecast.Rates:
    """Return the rates of a run that is trained alone, by the data sheet of a device."""
    return forecast.estimated_rates(cost, _depth(run, cost), run.recipe.batch_size, known)


def _depth(run: PlannedRun, cost: Complexity) -> int:
    return registry.declare(run.task.training.network).depth or cost.depth


def _cost(run: PlannedRun) -> Complexity:
    size = None
    if isinstance(run.data, ResolvedData) and run.data.splits.train.kind == "arrays":
        size = run.data.splits.train.side
    return complexity.measure(complexity.skeleton(declared_network(run.task, run.data)), size)


def _memory_among_others(run: PlannedRun) -> int | None:
    """Return the bytes that a run takes, or None for one that is trained alone."""
    if not isinstance(run.data, ResolvedData) or not leaves_room(run.task.training.network, run.data.splits):
        return None
    return run.memory_bytes
