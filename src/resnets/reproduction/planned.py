"""One run of a plan: what it is, where it goes, how far it is, and what its result file tells of it already."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from resnets.files import read_object, writing
from resnets.paper.declarations import DetectionTest, Protocol
from resnets.report.runs import Scale, default_shortcut
from resnets.reproduction import detectors, fitting
from resnets.reproduction.detectors import DetectionMaterial
from resnets.reproduction.fitting import Material
from resnets.reproduction.tasks import Task
from resnets.specs import Recipe
from resnets.training.run import RunFolder, fingerprint
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
    material: Material | DetectionMaterial
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


def planned(task: Task, seed: int, material: Material | DetectionMaterial, scale: Scale, out: Path) -> PlannedRun:
    """Return a run as it stands; what it takes is not known yet."""
    training = task.training
    recipe: Recipe
    tests: tuple[Protocol, ...] = ()
    if isinstance(material, Material):
        recipe, tests = (
            fitting.fit_recipe(training, scale, material.splits),
            fitting.further_tests(task.protocols, material),
        )
    else:
        recipe = detectors.fit_recipe(training, scale)
    option = training.shortcut if training.shortcut != default_shortcut(training.network) else None
    data = material.splits.name
    if isinstance(material, DetectionMaterial):  # each declared data set has runs of its own on the same images
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


def _identity(task: Task, seed: int, material: Material | DetectionMaterial, recipe: Recipe) -> str:
    """Return the SHA-256 of what a run is: another one is another run, and is made anew.

    Where and how fast it is computed is no part of it, nor are a recipe's words.
    """
    training, splits = task.training, material.splits
    same = fingerprint(
        {
            "network": {"name": training.network, "shortcut": training.shortcut},
            "recipe": msgspec.to_builtins(recipe),
            "data": {"name": material.name, "digest": splits.digest, "classes": list(splits.classes)},
            "seed": seed,
        }
    )
    if isinstance(material, DetectionMaterial):
        same += f" {training.data} {material.start_digest}"
    return hashlib.sha256(f"{same} {__version__}".encode()).hexdigest()


def _is_result(file: Path, identity: str, task: Task, tests: tuple[Protocol, ...]) -> bool:
    """Tell whether a file is the result of this run, with the layer responses and the tests that are wanted."""
    content = told(file)
    tested = {*tests} <= {*(content.get("errors") or {})}
    tested = tested and all(made(test, content.get("tests") or ()) for test in task.detections)
    return content.get("identity") == identity and tested and bool(content.get("responses") or not task.responses)


def told(file: Path) -> dict[str, Any]:
    """Return what a result file tells; nothing, where there is none or it is damaged."""
    return read_object(file) or {}


def made(test: DetectionTest, tests: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a test is among those that a detector's result file tells."""
    return any(msgspec.to_builtins(test).items() <= one.items() for one in tests)


def put_aside(file: Path, identity: str) -> None:
    """Move the result file of another run, of other data or another version, to where the page does not look."""
    aside = file.parent.with_name("earlier")
    with writing(aside):
        aside.mkdir(exist_ok=True)
        file.replace(aside / f"{file.stem}-{identity[:8]}.json")


def reached(folder: Path) -> int | None:
    """Return the iteration that a run's folder can go on from, or None where there is nothing yet."""
    if not folder.is_dir():
        return None
    run = RunFolder(folder)
    if (result := run.result()) is not None:
        return int(result["iterations"])
    paths = run.checkpoints.paths()
    return int(paths[0].stem.partition("-")[2]) if paths else None


def others(run: PlannedRun) -> list[str]:
    """Say which runs of the same name there are with other data or by another version: unfinished ones, a result."""
    aside = []
    if told(run.file).get("identity") not in (None, run.identity):
        where = run.file.parents[1] / "earlier"
        aside = [f"{run.file} is of another recipe, other data or another version, and will be put aside in {where}/"]
    return aside + [
        f"{folder} was begun with another recipe, other data or another version, and is left as it is"
        for folder in sorted(run.folder.parent.glob(f"{run.name}-*"))
        if folder != run.folder and not (folder / "result.json").exists()
    ]


def options(task: Task) -> dict[str, Any]:
    """Return the network's options, as `create` takes them."""
    return {} if task.training.shortcut is None else {"shortcut": task.training.shortcut}
