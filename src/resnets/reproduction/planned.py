"""One run of a plan: what it is, where it goes, how far it is, and what its result file tells of it already."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from resnets.files import writing
from resnets.paper.declarations import DetectionTest, Protocol
from resnets.records.base import as_json, read, read_valid
from resnets.records.evaluations import ReproducedRun, Scale
from resnets.records.runs import NO_EFFECT, Result
from resnets.reproduction import detectors, fitting
from resnets.reproduction.detectors import ResolvedDetectionData
from resnets.reproduction.fitting import ResolvedData
from resnets.reproduction.tasks import Task
from resnets.specs import Recipe, default_shortcut
from resnets.training.config import NetworkSettings
from resnets.training.run_folder import RunFolder
from resnets.version import __version__

State = Literal["to do", "begun", "done"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedRun:
    """A training of one seed, where it goes, how far it is, and what is left of it.

    Units: `seconds` of what is left, None where it was not measured; bytes at the end, and while it is going on.
    """

    name: str
    task: Task
    seed: int
    material: ResolvedData | ResolvedDetectionData
    recipe: Recipe
    scale: Scale
    identity: str  # SHA-256 of network, recipe, data, seed and version
    folder: Path  # weights, log, checkpoints
    file: Path  # the result
    tests: tuple[Protocol, ...]  # of a classifier, besides training's own
    state: State
    iteration: int  # reached
    seconds: float | None = None
    disk_bytes: int = 0
    peak_bytes: int = 0

    @property
    def short_name(self) -> str:
        """The network, of a detector also its data, and which of its runs."""
        return f"{self.task.name}, seed {self.seed}"


def planned(
    task: Task, seed: int, material: ResolvedData | ResolvedDetectionData, scale: Scale, out: Path
) -> PlannedRun:
    """Return a run as it stands; what it takes is not known yet."""
    training = task.training
    recipe: Recipe
    tests: tuple[Protocol, ...] = ()
    if isinstance(material, ResolvedData):
        recipe, tests = (
            fitting.fit_recipe(training, scale, material.splits),
            fitting.further_tests(task.protocols, material),
        )
    else:
        recipe = detectors.fit_recipe(training, scale)
    option = training.shortcut if training.shortcut != default_shortcut(training.network) else None
    data = material.splits.name
    if isinstance(material, ResolvedDetectionData):  # each declared data set has runs of its own on the same images
        data = f"{training.data} {data}"
    parts = (training.network, option, training.recipe, data, scale, f"seed{seed}")
    name = "-".join(re.sub(r"[^a-z0-9]+", "_", part.lower().replace("++", "_pp_")) for part in parts if part)
    identity = _identity(task, seed, material, recipe)
    folder = out / "runs" / f"{name}-{identity[:8]}"
    file = out / "results" / f"{name}.json"
    iteration = reached(folder)
    state: State = "to do" if iteration is None else "begun"
    if _is_result(file, identity, task, tests):
        state, iteration = "done", recipe.iterations
    return PlannedRun(
        name=name,
        task=task,
        seed=seed,
        material=material,
        recipe=recipe,
        scale=scale,
        identity=identity,
        folder=folder,
        file=file,
        tests=tests,
        state=state,
        iteration=iteration or 0,
    )


def _identity(task: Task, seed: int, material: ResolvedData | ResolvedDetectionData, recipe: Recipe) -> str:
    """Return the SHA-256 of what a run is: another one is another run, and is made anew.

    Where and how fast it is computed is no part of it, nor are a recipe's words.
    """
    training, splits = task.training, material.splits
    settings = {name: value for name, value in as_json(recipe).items() if name not in NO_EFFECT}
    same = {
        "network": {"name": training.network, "shortcut": training.shortcut},
        "recipe": settings,
        "data": {"name": material.name, "digest": splits.digest, "classes": splits.classes},
        "seed": seed,
        "version": __version__,
    }
    if isinstance(material, ResolvedDetectionData):
        same |= {"declared data": training.data, "start": material.start_digest}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def _is_result(file: Path, identity: str, task: Task, tests: tuple[Protocol, ...]) -> bool:
    """Return whether a file is the result of this run, with the layer responses and the tests that are requested."""
    record = read_valid(file, ReproducedRun)
    if record is None or record.identity != identity:
        return False
    tested = {*tests} <= {*record.errors} and all(is_tested(test, record) for test in task.detections)
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


def others(run: PlannedRun) -> list[str]:
    """Say which runs of the same name there are with other data or by another version: unfinished ones, a result."""
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


def options(task: Task) -> NetworkSettings:
    """Return the network's options, as `create` takes them."""
    return {} if task.training.shortcut is None else {"shortcut": task.training.shortcut}
