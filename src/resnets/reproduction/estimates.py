"""What the runs of a reproduction take: disk, memory, and time from a second of each network's training here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from resnets.errors import first_line
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.planning import forecast
from resnets.planning.measure import QUICK_SECONDS, measure_quickly, measure_round
from resnets.planning.memory import training_memory
from resnets.planning.together import groups, leaves_room
from resnets.reproduction.data_resolver import ResolvedData, few
from resnets.reproduction.planned_run import PlannedRun
from resnets.reproduction.tasks import Task
from resnets.runtime.device import choose_precision
from resnets.training.checkpoint import KEEP
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.training.together import TRAINING_FAILURES


class Estimates:
    """Estimates for one device, on which each network is measured once, if they are `timed`.

    `notes` name the networks that could not be measured.
    """

    def __init__(self, device: str, *, timed: bool) -> None:
        self.device, self.timed = torch.device(device), timed
        self.rates: dict[Task, forecast.Rates] = {}
        self.notes: list[str] = []

    def of(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Return the runs of one task with what they take."""
        first, cost = runs[0], _cost(runs[0])
        if self.timed and isinstance(first.data, ResolvedData) and any(run.state != "done" for run in runs):
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
        found = groups(runs, _memory_among_others, [torch.device(name) for name in devices], together)
        return tuple(map(self._at_once, found))

    def _training(self, run: PlannedRun) -> Training:
        """Return the training of a run on as many images as some steps need."""
        assert isinstance(run.data, ResolvedData)
        config = TrainingConfig.from_settings(recipe=run.recipe, device=str(self.device), **run.task.network_options)
        return resolve(run.task.training.network, few(run.data.splits), config)

    def _at_once(self, group: tuple[PlannedRun, ...]) -> tuple[PlannedRun, ...]:
        if len(group) == 1 or self.device.type == "cpu" or any(run.task not in self.rates for run in group):
            return group  # on a CPU they take as long as one after the other
        try:
            at_once = measure_round([self._training(run) for run in group], seconds=QUICK_SECONDS)
        except TRAINING_FAILURES:  # which end no run for good either
            return group
        share = min(1.0, at_once / sum(self.rates[run.task].step for run in group))
        return tuple(dataclasses.replace(run, seconds=share * (run.seconds or 0.0)) for run in group)

    def _with_costs(self, run: PlannedRun, cost: Complexity) -> PlannedRun:
        tested, peak = len(run.data.splits.test), forecast.disk_bytes(run.recipe, cost)
        seconds = 0.0 if run.state == "done" else None
        if run.task in self.rates:
            left = 1 - run.iteration / run.recipe.iterations
            seconds = left * forecast.duration(run.recipe, self.rates[run.task], tested).total
        memory = training_memory(
            cost,
            choose_precision("auto", self.device),
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


def _cost(run: PlannedRun) -> Complexity:
    task, splits = run.task, run.data.splits
    spec = registry.declare(task.training.network, num_classes=len(splits.classes), **task.network_options)
    size = None
    if isinstance(run.data, ResolvedData) and run.data.splits.train.kind == "arrays":
        size = run.data.splits.train.side
    return complexity.measure(complexity.skeleton(spec), size)


def _memory_among_others(run: PlannedRun) -> int | None:
    """Return the bytes that a run takes, or None for one that is trained alone."""
    if not isinstance(run.data, ResolvedData) or not leaves_room(run.task.training.network, run.data.splits):
        return None
    return run.memory_bytes
