"""One run of a plan: trained in its folder from wherever it stands, and told by one small result file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import msgspec

from resnets.detection.evaluate import evaluate_detector
from resnets.detection.train import train_detector
from resnets.evaluation.evaluate import evaluate
from resnets.evaluation.responses import responses
from resnets.files import write_json, writing
from resnets.reproduction.detectors import DetectionMaterial
from resnets.reproduction.fitting import Material
from resnets.reproduction.planned import PlannedRun, made, options, put_aside, told
from resnets.runtime.provenance import provenance
from resnets.specs import DetectionRecipe
from resnets.training.config import Resolved, resolve
from resnets.training.run import RunFolder
from resnets.training.stretch import Observer
from resnets.training.train import carry_out, describe


def make(run: PlannedRun, *, device: str, workers: int, observers: Iterable[Observer] = ()) -> None:
    """Train a run to its end and test it; its checkpoints are then of no more use, and removed.

    Its result file is written after each test, and what it has of this run already is not made again. The file of
    another run, of other data or another version, is put aside.

    Raises: RunError, TrainingError, CheckpointError, DataError; Interrupted after a signal.
    """
    if isinstance(run.material, Material):
        _classifier(run, run.material, device=device, workers=workers, observers=observers)
    else:
        _detector(run, run.material, device=device, workers=workers, observers=observers)
    with writing(run.folder):
        for path in RunFolder(run.folder).checkpoints.paths():
            path.unlink(missing_ok=True)


def _classifier(
    run: PlannedRun, material: Material, *, device: str, workers: int, observers: Iterable[Observer]
) -> None:
    todo = _resolve(run, material, device)
    description = describe(todo, seed=run.seed, split="all") | {
        "source": material.source,
        "workers": workers,
        "provenance": [provenance(todo.device)],
    }
    carry_out(
        todo,
        description,
        run.folder,
        resume=True,
        keep_precision=True,
        save_every=None,
        observers=observers,
    )
    content = _content(run, ("errors", "responses"))
    write_json(run.file, content)
    if run.task.responses and "responses" not in content:
        (of_run,) = responses([run.folder], material.splits, device=device, workers=workers)
        content["responses"] = [msgspec.to_builtins(one) for one in of_run.layers]
        write_json(run.file, content)
    tested = content.setdefault("errors", {})
    for protocol in run.tests:
        if protocol not in tested:
            found = evaluate(run.folder, material.splits, protocol=protocol, device=device, workers=workers)
            tested[protocol] = {"top1": found.top1_error, "top5": found.top5_error}
            write_json(run.file, content)


def _detector(
    run: PlannedRun, material: DetectionMaterial, *, device: str, workers: int, observers: Iterable[Observer]
) -> None:
    assert isinstance(run.recipe, DetectionRecipe)
    with warnings.catch_warnings():
        if run.scale == "smoke":  # which is no more than a trial
            warnings.filterwarnings("ignore", message="a detector that starts from random weights")
        train_detector(
            run.task.training.network,
            material.splits,
            weights=material.start,
            recipe=run.recipe,
            out=run.folder,
            resume=True,
            seed=run.seed,
            device=device,
            workers=workers,
            observers=observers,
        )
    content = _content(run, ("tests",))
    write_json(run.file, content)
    tested = content.setdefault("tests", [])
    for test in run.task.detections:
        if made(test, tested):
            continue
        scores = content["scores"]
        if test.refinements or test.protocol != material.splits.protocol or not material.splits.test_annotated:
            scores = evaluate_detector(
                run.folder,
                material.splits,
                **msgspec.to_builtins(test),
                out=run.folder / "-".join(("detections", test.protocol, *test.refinements)),  # for a server, too
                device=device,
                workers=workers,
            ).scores
        tested.append(msgspec.to_builtins(test) | {"scores": scores})
        write_json(run.file, content)


def _resolve(run: PlannedRun, material: Material, device: str) -> Resolved:
    with warnings.catch_warnings():
        if run.scale == "smoke":  # which is no more than a trial, also where photos are small images
            warnings.filterwarnings("ignore", message=".* is made for photos")
        return resolve(
            run.task.training.network,
            material.splits,
            recipe=run.recipe,
            seed=run.seed,
            device=device,
            network_options=options(run.task),
        )


def _content(run: PlannedRun, tests: Iterable[str]) -> dict[str, Any]:
    """Return what the run's own result says, on which data really, at which scale and in answer to what.

    With it come the tests that an earlier call made of the same run, which its result file has by these names; the
    file of another run is put aside.
    """
    result = RunFolder(run.folder).result() or {}
    content = result | {
        "data": run.material.name,
        "scale": run.scale,
        "declared": msgspec.to_builtins(run.task.training),
        "identity": run.identity,
    }
    validated = [point for point in result["curve"] if "validation_error" in point]
    if validated:
        best = min(validated, key=lambda point: point["validation_error"])
        content["best_validation"] = {"iteration": best["iteration"], "error": best["validation_error"]}
    earlier = told(run.file)
    if earlier.get("identity") not in (None, run.identity):
        put_aside(run.file, earlier["identity"])
    elif all(earlier.get(name) == content[name] for name in ("identity", "seconds", "curve")):
        content |= {name: earlier[name] for name in tests if name in earlier}
    return content
