"""One run of a reproduction: its task, seed and data, its folder and files, and its state."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from resnets.data.splits import DataSplits
from resnets.files import writing
from resnets.networks import complexity, registry
from resnets.paper.declarations import DetectionTest, Protocol
from resnets.records.base import as_json, read, read_valid
from resnets.records.evaluations import ReproducedRun, Scale
from resnets.records.runs import NO_EFFECT, Result
from resnets.reproduction import data_resolver, detection_data_resolver, localisation_data_resolver
from resnets.reproduction.data_resolver import ResolvedData, further_tests
from resnets.reproduction.detection_data_resolver import ResolvedDetectionData
from resnets.reproduction.localisation_data_resolver import ResolvedLocalisationData
from resnets.reproduction.tasks import Task
from resnets.specs import FunctionSpec, NetworkSettings, NetworkSpec, Recipe, default_shortcut
from resnets.training.run_folder import RunFolder
from resnets.version import __version__

State = Literal["to do", "started", "done"]
TaskData = ResolvedData | ResolvedDetectionData | ResolvedLocalisationData


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedRun:
    """A training of one seed, its folder, and what is left of it.

    Units: `seconds` that are left, None where they were not measured; bytes of memory, and of disk at the end and at
    most.
    """

    name: str
    task: Task
    seed: int
    data: TaskData
    recipe: Recipe
    scale: Scale
    identity: str  # SHA-256 of network, recipe, data, seed and version
    folder: Path  # weights, log, checkpoints
    file: Path  # the result
    tests: tuple[Protocol, ...]  # of a classifier besides training's own, of a localiser all
    teacher: PlannedRun | None  # that it learns from, and so is made before
    state: State
    iteration: int  # reached
    seconds: float | None = None
    memory_bytes: int = 0
    disk_bytes: int = 0
    peak_bytes: int = 0

    @property
    def short_name(self) -> str:
        """The network, of a detector also its data, and which of its runs."""
        return f"{self.task.name}, seed {self.seed}"


def plan_run(task: Task, seed: int, data: TaskData, scale: Scale, out: Path) -> PlannedRun:
    """Return a run in its present state, without its time and disk space."""
    training = task.training
    recipe: Recipe
    tests: tuple[Protocol, ...] = ()
    of_run = data.splits.name  # each declared data set has runs of its own on the same images
    if isinstance(data, ResolvedData):
        recipe = data_resolver.fit_recipe(training, scale, data.splits)
        tests = further_tests(task.protocols, data)
        if not data_resolver.is_declared(training, data):
            of_run = f"{training.data.rpartition('/')[2]} {of_run}"
    elif isinstance(data, ResolvedLocalisationData):
        recipe = localisation_data_resolver.fit_recipe(training, scale)
        tests = task.protocols
    else:
        recipe = detection_data_resolver.fit_recipe(training, scale)
        of_run = f"{training.data} {of_run}"
    name = f"{start_of_name(task)}-{_named(of_run, scale, f'seed{seed}')}"
    teacher = None
    if task.teacher is not None:
        teacher = plan_run(dataclasses.replace(task, training=task.teacher, teacher=None), seed, data, scale, out)
    identity = _identity(task, seed, data, recipe, teacher)
    folder = out / "runs" / f"{name}-{identity[:8]}"
    file = out / "results" / f"{name}.json"
    iteration = reached(folder)
    state: State = "to do" if iteration is None else "started"
    if _is_result(file, identity, task, tests):
        state, iteration = "done", recipe.iterations
    return PlannedRun(
        name=name,
        task=task,
        seed=seed,
        data=data,
        recipe=recipe,
        scale=scale,
        identity=identity,
        folder=folder,
        file=file,
        tests=tests,
        teacher=teacher,
        state=state,
        iteration=iteration or 0,
    )


def start_of_name(task: Task) -> str:
    """Return what the names of a task's runs start with, whatever its data."""
    training = task.training
    option = training.shortcut if training.shortcut != default_shortcut(training.network) else None
    return _named(training.network, option, training.recipe)


def _named(*parts: str | None) -> str:
    return "-".join(re.sub(r"[^a-z0-9]+", "_", part.lower().replace("++", "_pp_")) for part in parts if part)


def declared_network(task: Task, data: TaskData) -> NetworkSpec:
    """Return a task's network as it is on its data."""
    options: NetworkSettings = {**fitting(task.training.network, data), **task.network_options}
    return registry.declare(task.training.network, **options)


def fitting(network: str, data: TaskData) -> NetworkSettings:
    """Return the options by which a network fits its data: classes and, where its function takes them, channels."""
    splits = data.splits
    options: NetworkSettings = {"num_classes": len(splits.classes)}
    if isinstance(splits, DataSplits):
        fixed = registry.find_family(network).fixed if splits.train.kind == "tensors" else ()
        if "in_channels" not in fixed:
            options["in_channels"] = splits.train.channels
    return options


def _identity(task: Task, seed: int, data: TaskData, recipe: Recipe, teacher: PlannedRun | None) -> str:
    """Return the SHA-256 of what a run is: another one is another run, and is trained again.

    Where and how fast it is computed is no part of it, nor are a recipe's words.
    """
    training, splits = task.training, data.splits
    network: dict[str, Any] = {"name": training.network, "shortcut": training.shortcut}
    if isinstance(declared := declared_network(task, data), FunctionSpec):  # whose code may have changed
        network["parameters"] = sum(weights.numel() for weights in complexity.skeleton(declared).parameters())
    settings = {name: value for name, value in as_json(recipe).items() if name not in NO_EFFECT}
    same = {
        "network": network,
        "recipe": settings,
        "data": {"name": data.name, "digest": splits.digest, "classes": splits.classes},
        "seed": seed,
        "version": __version__,
    }
    if isinstance(data, ResolvedDetectionData):
        same |= {"declared data": training.data, "start": data.start_digest}
    elif isinstance(data, ResolvedLocalisationData):
        same |= {"start": data.start_digest}
    if teacher is not None:
        same["teacher"] = teacher.identity
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def is_done(run: PlannedRun) -> bool:
    """Return whether a run is done by now."""
    return _is_result(run.file, run.identity, run.task, run.tests)


def _is_result(file: Path, identity: str, task: Task, tests: tuple[Protocol, ...]) -> bool:
    """Return whether a file is the result of this run, with the layer responses and the tests that are requested."""
    record = read_valid(file, ReproducedRun)
    if record is None or record.identity != identity:
        return False
    made = {*record.errors, *(one.protocol for one in record.localisations)}
    tested = {*tests} <= made and all(is_tested(test, record) for test in task.detections)
    return tested and bool(record.responses or not task.responses)


def is_tested(test: DetectionTest, record: ReproducedRun) -> bool:
    """Return whether a test is among those of a detector's record."""
    made = [(one.protocol, one.box_refinement, one.multi_scale) for one in record.tests]
    return (test.protocol, test.box_refinement, test.multi_scale) in made


def archive(file: Path, identity: str) -> None:
    """Move the result file of another run, of other data or another version, to where the page does not look."""
    earlier = file.parent.with_name("earlier")
    with writing(earlier):
        earlier.mkdir(exist_ok=True)
        file.replace(earlier / f"{file.stem}-{identity[:8]}.json")


def reached(folder: Path) -> int | None:
    """Return the iteration that a run's folder can go on from, or None where there is nothing yet."""
    if not folder.is_dir():
        return None
    run = RunFolder(folder)
    result: Result | None = read(folder / "result.json", cast("type[Result]", Result))
    if result is not None:
        return result.run.recipe.iterations
    paths = run.checkpoints.paths()
    return int(paths[0].stem.partition("-")[2]) if paths else None


def other_runs(run: PlannedRun) -> list[str]:
    """Return notes on runs of the same name with other data or by another version: unfinished ones, a result."""
    archived = []
    record = read_valid(run.file, ReproducedRun)
    if record is not None and record.identity != run.identity:
        where = run.file.parents[1] / "earlier"
        archived = [f"{run.file} is of another recipe, other data or another version, and will be archived in {where}/"]
    return archived + [
        f"{folder} was started with another recipe, other data or another version, and is left as it is"
        for folder in sorted(run.folder.parent.glob(f"{run.name}-*"))
        if folder != run.folder and not (folder / "result.json").exists()
    ]
