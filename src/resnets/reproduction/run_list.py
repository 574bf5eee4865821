"""The runs of a reproduction, and the rows that are left out."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnets.data.splits import DataSplits
from resnets.detection.annotations import DetectionSplits
from resnets.errors import ANOTHER_FOLDER, DataError, Interrupted, RunError, UsageError, nearest, public
from resnets.files import require_folder, writing
from resnets.localisation.boxed_images import LocalisationSplits
from resnets.planning.devices import DEVICES
from resnets.planning.together import require_together
from resnets.records.evaluations import SCALES, Scale
from resnets.reproduction.box_data_resolver import WithStart
from resnets.reproduction.data_resolver import Data, DataResolver, MissingData, ResolvedData, fit_recipe, is_declared
from resnets.reproduction.detection_data_resolver import DetectionDataResolver
from resnets.reproduction.estimates import Estimates
from resnets.reproduction.localisation_data_resolver import LocalisationDataResolver
from resnets.reproduction.planned_run import (
    PlannedRun,
    TaskData,
    declared_network,
    other_runs,
    plan_run,
    start_of_name,
)
from resnets.reproduction.protocols import require_possible
from resnets.reproduction.tasks import LeftOut, Selection, Task, select
from resnets.runtime.device import choose_device
from resnets.runtime.launch import require_alone
from resnets.runtime.signals import StopRequest

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
    device_kind: str | None = None  # of devices that are not here, by whose data sheet the time is estimated

    @property
    def todo(self) -> tuple[PlannedRun, ...]:
        """The runs that are not done."""
        return tuple(run for run in self.runs if run.state != "done")

    @property
    def seconds(self) -> float | None:
        """What those that were measured take together, on all devices, without further tests; None where none was."""
        if all(run.seconds is None for run in self.todo):
            return None
        free_at = [0.0] * len(self.devices)
        for group in self.groups:  # each goes to the device that is free first
            first = free_at.index(min(free_at))
            free_at[first] += sum(run.seconds or 0.0 for run in group)
        return max(free_at)

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
    device_kind: str | None = None,
    devices: int = 1,
    runs: Sequence[str] = (),
    notify: Callable[[str], None] | None = None,
) -> ReproductionPlan:
    """Return the runs of `reproduce` with the same arguments, and estimate their time and disk; nothing is started.

    Args:
        name, only, seeds, scale, data, weights, out, device, together, measure: as in `reproduce`.
        device_kind: a known device (`h100`, `t4` ...), which need not be here: its data sheet replaces measuring. Known
            data sets that `data` names without a path, or not at all, need not be here either, and are not read.
        devices: number of devices of that kind, each of which has one run, or one group of runs, at a time.
        runs: names of some of the runs; the others are no part of the plan.
        notify: is called with a sentence before each measurement.

    Raises: UsageError, DataError; RunError, if `out` is not usable; Interrupted after a signal.
    """
    require_alone("reproduce")
    known = None if device_kind is None else DEVICES.find(device_kind)
    if devices < 1 or (devices > 1 and known is None):
        right = "1 or more" if devices < 1 else "1 without a device kind: every GPU of this machine is used"
        raise UsageError(f"devices is {devices}; it must be {right}")
    places = devices_of(device) if known is None else tuple(f"{known.name}:{index}" for index in range(devices))
    chosen, out = _scale(scale), Path(out)
    require_folder(out)
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; it must be 1 or more: the number of runs of each row, seeded 0, 1, ...")
    require_together(together)
    selection = select([name] if isinstance(name, str) else name, [only] if isinstance(only, str) else only)
    if (out / "run.json").exists():
        raise RunError(f"{out} is the folder of a run; {ANOTHER_FOLDER}")
    given = [data] if isinstance(data, str | DataSplits | DetectionSplits | LocalisationSplits) else data
    planned: list[PlannedRun] = []
    is_timed = chosen != "smoke" and (measure or known is not None)
    estimates = Estimates(places[0], timed=is_timed, known=known, notify=notify or (lambda _: None))
    with StopRequest() as stop:
        named = [weights] if isinstance(weights, str) else weights
        detection = DetectionDataResolver(given, named, chosen, out)
        localisation = LocalisationDataResolver(given, named, chosen, out)
        classification = DataResolver(given, chosen, reads=known is None)
        resolved, left_out = _resolve(_tasks_of(selection, runs), classification, detection, localisation)
        _require_tests(selection, resolved, chosen)
        for number, (task, its_data) in enumerate(resolved.items(), 1):
            check(stop, planning=True)
            of_task = [plan_run(task, seed, its_data, chosen, out) for seed in range(seeds)]
            of_task = [run for run in of_task if not runs or run.name in runs]
            planned += estimates.of(of_task, f" ({number} of {len(resolved)})")
        _require_found(runs, planned)
        _require_names(planned)
        planned.sort(key=lambda run: run.seed)  # each network once before any a second time
        todo = [run for run in planned if run.state != "done"]
        grouped = tuple(
            group
            for taught in (False, True)  # teachers before those that learn from them
            for group in estimates.grouped(
                [run for run in todo if (run.teacher is not None) == taught], places, together
            )
        )
        check(stop, planning=True)
    timed = {run.name: run for group in grouped for run in group}
    return ReproductionPlan(
        selection=selection,
        scale=chosen,
        out=out,
        devices=places,
        runs=tuple(timed.get(run.name, run) for run in planned),
        groups=grouped,
        left_out=(*selection.left_out, *left_out),
        notes=(
            *_more_seeds(selection, seeds),
            *_unused(given, detection, resolved.values()),
            *estimates.notes,
            *_unidentified(resolved.values(), out),
            *(note for run in planned if _is_identified(run.data) for note in other_runs(run)),
        ),
        free_bytes=_free(out),
        device_kind=device_kind,
    )


def devices_of(name: str) -> tuple[str, ...]:
    """Return the devices of a name: of `auto` all GPUs, where there are any.

    Raises: UsageError, as `choose_device`.
    """
    chosen = choose_device(name)
    if name == "auto" and chosen.type == "cuda":
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return (str(chosen),)


def _tasks_of(selection: Selection, runs: Sequence[str]) -> list[Task]:
    """Return the tasks that may have runs of these names, without reading data; all tasks where none is named."""
    return [
        task for task in selection.tasks if not runs or any(run.startswith(f"{start_of_name(task)}-") for run in runs)
    ]


def _require_found(runs: Sequence[str], planned: Sequence[PlannedRun]) -> None:
    names = [run.name for run in planned]
    for run in runs:
        if run not in names:
            raise UsageError(f"there is no run {run!r} among those of this command{nearest(run, names)}")


def _require_names(planned: Iterable[PlannedRun]) -> None:
    """Verify that no two runs have one name, and so one file. Raises: UsageError."""
    found: dict[str, PlannedRun] = {}
    for run in planned:
        other = found.setdefault(run.name, run)
        if other is not run:
            rows = [f"{one.task.askers[0][1]} ({one.data.name})" for one in (other, run)]
            raise UsageError(
                f"the runs of {' and '.join(rows)} would both be in {run.file}; give one's folder, network or recipe "
                "another name"
            )


def _require_tests(selection: Selection, resolved: Mapping[Task, TaskData], scale: Scale) -> None:
    """Verify that the rows of custom tables can be tested by their protocols, but in a trial on other data.

    Raises: UsageError.
    """
    own = [(table.file, row) for table in selection.tables if table.file for row in table.rows if not row.cited]
    for task, data in resolved.items():
        if not isinstance(data, ResolvedData) or (scale == "smoke" and not is_declared(task.training, data)):
            continue
        network, kind = declared_network(task, data), data.splits.test.kind
        size = getattr(fit_recipe(task.training, scale, data.splits).augmentation, "crop", network.input_size)
        for file, row in own:
            if row.protocol is None or task.training not in row.trainings:
                continue
            try:
                require_possible(row.protocol, network, kind, size, ensemble=bool(row.members))
            except UsageError as error:
                raise UsageError(f"{file}: row {row.label!r} on {data.name}: {error}") from None


def _resolve(
    tasks: Iterable[Task],
    classification: DataResolver,
    detection: DetectionDataResolver,
    localisation: LocalisationDataResolver,
) -> tuple[dict[Task, TaskData], list[LeftOut]]:
    """Return the data of the tasks that can be run on what is given, and the rows and curves of the others.

    Raises: UsageError, DataError, also if all that is missing is what could not be fetched.
    """
    resolved: dict[Task, TaskData] = {}
    left_out: list[LeftOut] = []
    not_fetched: DataError | None = None
    for task in tasks:
        try:
            if task.localises:
                resolved[task] = localisation.resolve(task)
            elif task.detections:
                resolved[task] = detection.resolve(task)
            else:
                resolved[task] = classification.resolve(task.training, task.protocols)
        except MissingData as reason:
            left_out += [LeftOut(name, label, str(reason)) for name, label in task.askers]
            not_fetched = not_fetched or (reason.__cause__ if isinstance(reason.__cause__, DataError) else None)
    if not_fetched is not None and not resolved:
        raise not_fetched
    return resolved, left_out


def check(stop: StopRequest, *, planning: bool = False) -> None:
    """Raise Interrupted if a signal came since the last run, or since planning started."""
    if stop.signum is not None:
        what = " while planning; no run was started" if planning else "; what is done is saved"
        raise Interrupted(f"stopped by {signal.Signals(stop.signum).name}{what}", stop.signum, saved=not planning)


def _scale(name: str) -> Scale:
    if name not in SCALES:
        raise UsageError(f"scale is {name!r}{nearest(name, SCALES)}; it must be full, short or smoke")
    return SCALES[SCALES.index(name)]


def _unused(given: Iterable[Data], detection: DetectionDataResolver, resolved: Iterable[TaskData]) -> list[str]:
    """Return notes on the data and weights that were given and are not used."""
    resolved = list(resolved)
    sources = {(one.source or "").partition("@")[0] for one in resolved}
    starts = [one.start for one in resolved if isinstance(one, WithStart)]
    used = [start for start in starts if start is not None]
    notes = [
        f"--data {one} is not used: nothing that is run here is made on it"
        for one in given
        if isinstance(one, str) and one.partition("@")[0] not in sources
    ]
    return notes + [
        f"--weights {network}={path} is not used: nothing that is run here starts from it"
        for network, path in detection.weights
        if not any(path in (start, start.parent) for start in used)
    ]


def _is_identified(data: TaskData) -> bool:
    return not isinstance(data, ResolvedData) or data.identified


def _unidentified(resolved: Iterable[TaskData], out: Path) -> list[str]:
    """Return notes on data that was not read, so that its runs in `out`, if there are any, are not known by it."""
    if not (out / "runs").is_dir():
        return []
    names = dict.fromkeys(data.splits.name for data in resolved if not _is_identified(data))
    return [
        f"all runs on {name} count as to do: which of them {out} has is known by the images, which were not read; "
        f"--data {name}:PATH reads them"
        for name in names
    ]


def _more_seeds(selection: Selection, seeds: int) -> list[str]:
    return [
        f"of {task.training.network} {who} {runs} runs: --seeds {runs}"
        for task in selection.tasks
        for who, runs in (("the paper made", task.runs_in_the_paper), ("a custom table declares", task.runs_of_own))
        if runs > seeds
    ]


def _free(out: Path) -> int:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    with writing(out):
        return shutil.disk_usage(place).free
