"""The plan of a reproduction: its runs, what is left out, and what all that will take on this machine."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from resnets.data.splits import DataSplits
from resnets.detection.annotations import DetectionSplits
from resnets.errors import DataError, Interrupted, RunError, UsageError, nearest
from resnets.files import writing
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.planning import forecast, measure
from resnets.records.evaluations import Scale
from resnets.reproduction import fitting
from resnets.reproduction.detectors import DetectionDataResolver, ResolvedDetectionData, is_detection_data, is_detectors
from resnets.reproduction.fitting import DataResolver, MissingData, ResolvedData
from resnets.reproduction.planned import PlannedRun, options, others, planned
from resnets.reproduction.tasks import LeftOut, Selection, Task, select
from resnets.runtime.signals import StopRequest
from resnets.specs import Recipe
from resnets.training.checkpoint import KEEP
from resnets.training.config import TrainingConfig, resolve
from resnets.training.train import TRAINING_FAILURES


@dataclass(frozen=True, kw_only=True, eq=False)
class ReproductionPlan:
    """What a reproduction is made of. `left_out` is what is not run, `notes` what else there is to know."""

    selection: Selection
    scale: Scale
    out: Path
    devices: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
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
        return sum(run.disk_bytes for run in self.todo) + sum(sorted(growing)[-len(self.devices) :])

    @property
    def results(self) -> Path:
        """The folder of the result files."""
        return self.out / "results"


def make_plan(
    name: str,
    *,
    only: Sequence[str],
    seeds: int,
    scale: str,
    data: Sequence[str | DataSplits | DetectionSplits],
    weights: Sequence[str],
    out: Path,
    devices: tuple[str, ...],
    measure: bool,
    stop: StopRequest,
) -> ReproductionPlan:
    """Return the plan; with `measure`, a second of each network's training is measured for it, but for smoke runs.

    Raises: UsageError, DataError; RunError, if `out` is no place for it; Interrupted.
    """
    chosen = _scale(scale)
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; it must be 1 or more: so many runs of each row, seeded 0, 1, ...")
    selection = select(name, only)
    if (out / "run.json").exists():
        raise RunError(f"{out} is the folder of a run; name another with --out")
    photos = [one for one in data if not isinstance(one, DetectionSplits) and not is_detection_data(one)]
    shelf, boxes = DataResolver(photos, chosen), DetectionDataResolver(data, weights, chosen, out)
    runs: list[PlannedRun] = []
    left_out = list(selection.left_out)
    material: dict[Task, ResolvedData | ResolvedDetectionData] = {}
    not_fetched: DataError | None = None
    for task in selection.tasks:
        try:
            material[task] = (
                boxes.material(task) if is_detectors(task) else shelf.material(task.training, task.protocols)
            )
        except MissingData as reason:
            left_out += [LeftOut(name, label, str(reason)) for name, label in task.askers]
            not_fetched = not_fetched or (reason.__cause__ if isinstance(reason.__cause__, DataError) else None)
    if not_fetched is not None and not material:
        raise not_fetched
    begun: list[str] = []
    for task, one in material.items():
        same = [planned(task, seed, one, chosen, out) for seed in range(seeds)]
        rates = None
        if measure and chosen != "smoke" and isinstance(one, ResolvedData) and any(run.state != "done" for run in same):
            check(stop)
            try:
                rates = _measure(task, one, same[0].recipe, devices[0])
            except TRAINING_FAILURES as error:  # the others may still be
                begun.append(f"{task.training.network} could not be measured: {str(error).splitlines()[0]}")
            torch.cuda.empty_cache()  # for the runs, which may be made by other processes
        cost = _cost(task, one)
        runs += [_with_costs(run, rates, cost) for run in same]
        begun += [note for run in same for note in others(run)]
    runs.sort(key=lambda run: run.seed)  # each network once before any a second time
    return ReproductionPlan(
        selection=selection,
        scale=chosen,
        out=out,
        devices=devices,
        runs=tuple(runs),
        left_out=tuple(left_out),
        notes=(*_more_seeds(selection, seeds), *_unused(data, boxes, material.values()), *begun),
        free_bytes=_free(out),
    )


def check(stop: StopRequest) -> None:
    """Raise Interrupted if a signal came since the last run."""
    if stop.signum is not None:
        raise Interrupted(f"stopped by {signal.Signals(stop.signum).name}; what is done is saved", stop.signum)


def _scale(name: str) -> Scale:
    known: tuple[Scale, ...] = get_args(Scale)
    for scale in known:
        if scale == name:
            return scale
    raise UsageError(f"scale is {name!r}{nearest(name, known)}; it must be full, short or smoke")


def _unused(
    data: Iterable[object], boxes: DetectionDataResolver, material: Iterable[ResolvedData | ResolvedDetectionData]
) -> list[str]:
    """Say what was given and nothing that is run is made of."""
    material = list(material)
    sources = [one.source or "" for one in material]
    starts = [one.start for one in material if isinstance(one, ResolvedDetectionData) and one.start is not None]
    notes = [
        f"--data {one} is not used: nothing that is run here is made on it"
        for one in data
        if isinstance(one, str) and not any(source.partition("@")[0] == one.partition("@")[0] for source in sources)
    ]
    return notes + [
        f"--weights {network}={path} is not used: no detector that is run here begins with it"
        for network, path in boxes.weights
        if not any(path in (start, start.parent) for start in starts)
    ]


def _more_seeds(selection: Selection, seeds: int) -> list[str]:
    several = [task for task in selection.tasks if task.runs_in_the_paper > seeds]
    return [
        f"of {task.training.network} the paper made {task.runs_in_the_paper} runs: --seeds {task.runs_in_the_paper}"
        for task in several
    ]


def _free(out: Path) -> int:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    with writing(out):
        return shutil.disk_usage(place).free


# ---------------------------------------------------------------- what a run takes


def _cost(task: Task, material: ResolvedData | ResolvedDetectionData) -> Complexity:
    spec = registry.declare(task.training.network, num_classes=len(material.splits.classes), **options(task))
    size = None
    if isinstance(material, ResolvedData) and material.splits.train.kind == "arrays":
        size = material.splits.train.side
    return complexity.measure(complexity.skeleton(spec), size)


def _measure(task: Task, material: ResolvedData, recipe: Recipe, device: str) -> forecast.Rates:
    config = TrainingConfig(recipe=recipe, device=device, network_options=options(task))
    todo = resolve(task.training.network, fitting.few(material.splits), config)  # of as many as some steps need
    return measure.measure_quickly(todo, _cost(task, material))


def _with_costs(run: PlannedRun, rates: forecast.Rates | None, cost: Complexity) -> PlannedRun:
    peak = forecast.disk_bytes(run.recipe, cost)
    seconds = 0.0 if run.state == "done" else None
    if rates is not None:
        left = 1 - run.iteration / run.recipe.iterations
        seconds = left * forecast.duration(run.recipe, rates, len(run.material.splits.test)).total
    return dataclasses.replace(
        run,
        seconds=seconds,
        disk_bytes=peak - (KEEP + 1) * forecast.checkpoint_bytes(cost),
        peak_bytes=peak,
    )
