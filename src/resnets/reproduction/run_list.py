"""The runs of a reproduction, the rows that are left out, and the time and disk space that the runs take."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from resnets.data.splits import DataSplits
from resnets.detection.annotations import DetectionSplits
from resnets.errors import DataError, Interrupted, RunError, UsageError, first_line, nearest, public
from resnets.files import writing
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.planning import forecast
from resnets.planning.measure import QUICK_SECONDS, measure_quickly, measure_round
from resnets.planning.memory import training_memory
from resnets.planning.together import groups, leaves_room, require_together
from resnets.records.evaluations import Scale
from resnets.reproduction.data_resolver import Data, DataResolver, MissingData, ResolvedData, few
from resnets.reproduction.detection_data_resolver import DetectionDataResolver, ResolvedDetectionData
from resnets.reproduction.planned_run import PlannedRun, TaskData, other_runs, plan_run
from resnets.reproduction.tasks import LeftOut, Selection, Task, select
from resnets.runtime.device import choose_device, choose_precision
from resnets.runtime.launch import require_alone
from resnets.runtime.signals import StopRequest
from resnets.specs import Recipe
from resnets.training.checkpoint import KEEP
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.training.together import TRAINING_FAILURES

OUT = "reproduction"


@dataclass(frozen=True, kw_only=True, eq=False)
class ReproductionPlan:
    """The runs of a reproduction; `left_out` are the rows and curves that are not run, and why.

    `groups` are the runs that are not done, those in one that are trained at once on a device.
    """

    selection: Selection
    scale: Scale
    out: Path
    devices: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    groups: tuple[tuple[PlannedRun, ...], ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    free_bytes: int

    @property
    def todo(self) -> tuple[PlannedRun, ...]:
        """The runs that are not done."""
        return tuple(run for run in self.runs if run.state != "done")

    @property
    def seconds(self) -> float | None:
        """What those that were measured take together, on all devices, without further tests; None where none was."""
        parts = [run.seconds for run in self.todo if run.seconds is not None]
        return sum(parts) / len(self.devices) if parts else None

    @property
    def unmeasured(self) -> int:
        """How many of them were not measured."""
        return sum(run.seconds is None for run in self.todo)

    @property
    def disk_bytes(self) -> int:
        """The most that they take together; one that is finished keeps no checkpoints."""
        growing = [run.peak_bytes - run.disk_bytes for run in self.todo]
        at_once = len(self.devices) * max(map(len, self.groups), default=0)
        return sum(run.disk_bytes for run in self.todo) + sum(sorted(growing)[-at_once:])

    @property
    def results(self) -> Path:
        """The folder of the result files."""
        return self.out / "results"


@public
def plan_reproduction(
    name: str | Sequence[str],
    *,
    only: str | Sequence[str] = (),
    seeds: int = 1,
    scale: str = "full",
    data: Data | Sequence[Data] = (),
    weights: str | Sequence[str] = (),
    out: str | Path = OUT,
    device: str = "auto",
    together: int | None = None,
    measure: bool = True,
) -> ReproductionPlan:
    """Return the runs of `reproduce` with the same arguments, and estimate their time and disk; nothing is started.

    Args:
        name, only, seeds, scale, data, weights, out, device, together, measure: as in `reproduce`.

    Raises: UsageError, DataError; RunError, if `out` is not usable; Interrupted after a signal.
    """
    require_alone("reproduce")
    devices, chosen, out = devices_of(device), _scale(scale), Path(out)
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; it must be 1 or more: so many runs of each row, seeded 0, 1, ...")
    require_together(together)
    selection = select([name] if isinstance(name, str) else name, [only] if isinstance(only, str) else only)
    if (out / "run.json").exists():
        raise RunError(f"{out} is the folder of a run; name another with --out")
    given = [data] if isinstance(data, str | DataSplits | DetectionSplits) else data
    runs: list[PlannedRun] = []
    measured: dict[Task, forecast.Rates] = {}
    notes: list[str] = []
    with StopRequest() as stop:
        detection = DetectionDataResolver(given, [weights] if isinstance(weights, str) else weights, chosen, out)
        resolved, left_out = _resolve(selection.tasks, DataResolver(given, chosen), detection)
        for task, its_data in resolved.items():
            same = [plan_run(task, seed, its_data, chosen, out) for seed in range(seeds)]
            cost, rates = _cost(task, its_data), None
            timed = measure and chosen != "smoke" and any(run.state != "done" for run in same)
            if timed and isinstance(its_data, ResolvedData):
                _check(stop)
                try:
                    rates = measured[task] = _measure(task, its_data, same[0].recipe, devices[0], cost)
                except TRAINING_FAILURES as error:  # the others may still be
                    notes.append(f"{task.training.network} could not be measured: {first_line(error)}")
                torch.cuda.empty_cache()  # for the runs, which may be made by other processes
            runs += [_with_costs(run, rates, cost, devices[0]) for run in same]
            notes += [note for run in same for note in other_runs(run)]
        _check(stop)
        runs.sort(key=lambda run: run.seed)  # each network once before any a second time
        todo = [run for run in runs if run.state != "done"]
        grouped = groups(todo, _memory_among_others, [torch.device(name) for name in devices], together)
        grouped = tuple(_timed(group, measured, devices[0]) for group in grouped)
    return ReproductionPlan(
        selection=selection,
        scale=chosen,
        out=out,
        devices=devices,
        runs=tuple({run.name: run for run in (*runs, *(run for group in grouped for run in group))}.values()),
        groups=grouped,
        left_out=(*selection.left_out, *left_out),
        notes=(*_more_seeds(selection, seeds), *_unused(given, detection, resolved.values()), *notes),
        free_bytes=_free(out),
    )


def devices_of(name: str) -> tuple[str, ...]:
    """Return the devices of a name: of `auto` all GPUs, where there are any.

    Raises: UsageError, as `choose_device`.
    """
    chosen = choose_device(name)
    if name == "auto" and chosen.type == "cuda":
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return (str(chosen),)


def _resolve(
    tasks: Iterable[Task], classification: DataResolver, detection: DetectionDataResolver
) -> tuple[dict[Task, TaskData], list[LeftOut]]:
    """Return the data of the tasks that can be run on what is given, and the rows and curves of the others.

    Raises: UsageError, DataError, also if all that is missing is what could not be fetched.
    """
    resolved: dict[Task, TaskData] = {}
    left_out: list[LeftOut] = []
    not_fetched: DataError | None = None
    for task in tasks:
        try:
            if task.detections:
                resolved[task] = detection.resolve(task)
            else:
                resolved[task] = classification.resolve(task.training, task.protocols)
        except MissingData as reason:
            left_out += [LeftOut(name, label, str(reason)) for name, label in task.askers]
            not_fetched = not_fetched or (reason.__cause__ if isinstance(reason.__cause__, DataError) else None)
    if not_fetched is not None and not resolved:
        raise not_fetched
    return resolved, left_out


def check(stop: StopRequest) -> None:
    """Raise Interrupted if a signal came since the last run."""
    if stop.signum is not None:
        raise Interrupted(f"stopped by {signal.Signals(stop.signum).name}; what is done is saved", stop.signum)


def _check(stop: StopRequest) -> None:
    """Raise Interrupted if a signal came since planning began."""
    if stop.signum is not None:
        name = signal.Signals(stop.signum).name
        raise Interrupted(f"stopped by {name} while planning; no run was started", stop.signum, saved=False)


def _scale(name: str) -> Scale:
    known: tuple[Scale, ...] = get_args(Scale)
    for scale in known:
        if scale == name:
            return scale
    raise UsageError(f"scale is {name!r}{nearest(name, known)}; it must be full, short or smoke")


def _unused(given: Iterable[Data], detection: DetectionDataResolver, resolved: Iterable[TaskData]) -> list[str]:
    """Return notes on the data and weights that were given and are not used."""
    resolved = list(resolved)
    sources = {(one.source or "").partition("@")[0] for one in resolved}
    starts = [one.start for one in resolved if isinstance(one, ResolvedDetectionData) and one.start is not None]
    notes = [
        f"--data {one} is not used: nothing that is run here is made on it"
        for one in given
        if isinstance(one, str) and one.partition("@")[0] not in sources
    ]
    return notes + [
        f"--weights {network}={path} is not used: no detector that is run here begins with it"
        for network, path in detection.weights
        if not any(path in (start, start.parent) for start in starts)
    ]


def _more_seeds(selection: Selection, seeds: int) -> list[str]:
    return [
        f"of {task.training.network} the paper made {task.runs_in_the_paper} runs: --seeds {task.runs_in_the_paper}"
        for task in selection.tasks
        if task.runs_in_the_paper > seeds
    ]


def _free(out: Path) -> int:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    with writing(out):
        return shutil.disk_usage(place).free


# ---------------------------------------------------------------- what a run takes


def _cost(task: Task, data: TaskData) -> Complexity:
    spec = registry.declare(task.training.network, num_classes=len(data.splits.classes), **task.network_options)
    size = None
    if isinstance(data, ResolvedData) and data.splits.train.kind == "arrays":
        size = data.splits.train.side
    return complexity.measure(complexity.skeleton(spec), size)


def _measure(task: Task, data: ResolvedData, recipe: Recipe, device: str, cost: Complexity) -> forecast.Rates:
    return measure_quickly(_training(task, data, recipe, device), cost)


def _training(task: Task, data: TaskData, recipe: Recipe, device: str) -> Training:
    """Return a training on as many images as some steps need."""
    assert isinstance(data, ResolvedData)
    config = TrainingConfig.from_settings(recipe=recipe, device=device, **task.network_options)
    return resolve(task.training.network, few(data.splits), config)


def _timed(
    group: tuple[PlannedRun, ...], measured: Mapping[Task, forecast.Rates], device: str
) -> tuple[PlannedRun, ...]:
    """Return the runs of a group, each with its share of the time that all take at once on a GPU."""
    if len(group) == 1 or torch.device(device).type == "cpu" or any(run.task not in measured for run in group):
        return group  # on a CPU they take as long as one after the other
    trainings = [_training(run.task, run.data, run.recipe, device) for run in group]
    try:
        share = measure_round(trainings, seconds=QUICK_SECONDS) / sum(measured[run.task].step for run in group)
    except TRAINING_FAILURES:  # which end no run for good either
        return group
    return tuple(dataclasses.replace(run, seconds=min(1.0, share) * (run.seconds or 0.0)) for run in group)


def _memory_among_others(run: PlannedRun) -> int | None:
    """Return the bytes that a run takes, or None for one that is trained alone."""
    if not isinstance(run.data, ResolvedData) or not leaves_room(run.task.training.network, run.data.splits):
        return None
    return run.memory_bytes


def _with_costs(run: PlannedRun, rates: forecast.Rates | None, cost: Complexity, device: str) -> PlannedRun:
    peak = forecast.disk_bytes(run.recipe, cost)
    seconds = 0.0 if run.state == "done" else None
    if rates is not None:
        left = 1 - run.iteration / run.recipe.iterations
        seconds = left * forecast.duration(run.recipe, rates, len(run.data.splits.test)).total
    memory = training_memory(
        cost,
        choose_precision("auto", torch.device(device)),
        torch.device(device).type,
        images_bytes=0,  # which all runs have in common
        test_images=len(run.data.splits.test),
    )
    return dataclasses.replace(
        run,
        seconds=seconds,
        memory_bytes=memory.of(run.recipe.batch_size),
        disk_bytes=peak - (KEEP + 1) * forecast.checkpoint_bytes(cost),
        peak_bytes=peak,
    )
