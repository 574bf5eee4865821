"""Runs of a reproduction: trained in their folders, resumed where they were started, written to result files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch

from resnets.data.splits import DataSplits
from resnets.detection.evaluate import evaluate_detector
from resnets.detection.train import train_detector
from resnets.errors import DataError, TrainingError, UsageError, WeightsError, first_line
from resnets.evaluation.evaluate import evaluate
from resnets.evaluation.responses import responses
from resnets.files import writing
from resnets.localisation.evaluate import evaluate_localiser
from resnets.localisation.train import train_localiser
from resnets.networks import registry
from resnets.paper.declarations import Protocol
from resnets.records.base import read_valid, write
from resnets.records.evaluations import DetectionTested, Errors, Evaluation, LocalisationTested, ReproducedRun
from resnets.records.runs import ClassifierResult, DetectorResult, LocaliserResult, Result
from resnets.reproduction.data_resolver import ResolvedData
from resnets.reproduction.detection_data_resolver import ResolvedDetectionData
from resnets.reproduction.localisation_data_resolver import ResolvedLocalisationData
from resnets.reproduction.planned_run import PlannedRun, archive, is_tested
from resnets.reproduction.protocols import parse_protocol
from resnets.runtime.device import choose_device
from resnets.runtime.turns import Session
from resnets.training.config import TrainingConfig, resolve
from resnets.training.observers import Observer
from resnets.training.run_folder import RunFolder
from resnets.training.together import Process, train_together
from resnets.training.train import session

R = TypeVar("R")


def train_and_test(
    runs: Sequence[PlannedRun], *, device: str, workers: int, observe: Callable[[PlannedRun], Observer] | None = None
) -> list[str | None]:
    """Train runs to their ends, several of them together, and test them; return for each None, or why it failed.

    Checkpoints of finished runs are of no more use, and removed. A result file is written after each test, and tests
    that it has of this run already are not repeated. The file of another run, of other data or another version, is
    archived. What is left too little memory by the others is trained alone afterwards.

    Raises: RunError, CheckpointError, DataError; Interrupted after a signal.
    """

    def session_of(run: PlannedRun, process: Process) -> Session[None]:
        watching = [observe(run)] if observe else []
        return (yield from _session(run, process, device=device, workers=workers, observers=watching))

    depths = [registry.declare(run.task.training.network).depth or 0 for run in runs]
    outcomes = train_together([partial(session_of, run) for run in runs], choose_device(device), depths)
    failed = [None if outcome is None else first_line(outcome) for outcome in outcomes]
    for number, outcome in enumerate(outcomes):
        if len(runs) > 1 and isinstance(outcome, MemoryError | torch.OutOfMemoryError):
            (failed[number],) = train_and_test([runs[number]], device=device, workers=workers, observe=observe)
    return failed


def _session(
    run: PlannedRun, process: Process, *, device: str, workers: int, observers: Iterable[Observer]
) -> Session[None]:
    """Make a run, and yield how many iterations are done after each; a detector's or localiser's are done at once."""
    if isinstance(run.data, ResolvedData):
        yield from _classifier(run, run.data, process, device=device, workers=workers, observers=observers)
    elif isinstance(run.data, ResolvedLocalisationData):
        _localiser(run, run.data, device=device, workers=workers, observers=observers)
    else:
        _detector(run, run.data, device=device, workers=workers, observers=observers)
    with writing(run.folder):
        for path in RunFolder(run.folder).checkpoints.paths():
            path.unlink(missing_ok=True)


def _classifier(
    run: PlannedRun,
    data: ResolvedData,
    process: Process,
    *,
    device: str,
    workers: int,
    observers: Iterable[Observer],
) -> Session[None]:
    config = TrainingConfig.from_settings(
        recipe=run.recipe,
        seed=run.seed,
        device=device,
        workers=workers,
        teacher=None if run.teacher is None else _trained(run.teacher),
        **run.task.network_options,
    )
    with warnings.catch_warnings():
        if run.scale == "smoke":  # which is no more than a trial, also where photos are small images
            warnings.filterwarnings("ignore", message=".* is made for photos")
        training = resolve(run.task.training.network, data.splits, config).from_source(data.source)
    yield from session(training, run.folder, process, resume=True, observers=observers)
    result = _required(RunFolder(run.folder).result(ClassifierResult))
    record = _record(run, result)
    write(run.file, record)
    if run.task.responses and not record.responses:
        (of_run,) = responses([run.folder], data.splits, device=device, workers=workers)
        record = record.with_changes(responses=of_run.layers)
        write(run.file, record)
    for protocol in run.tests:
        if protocol not in record.errors:
            with testing(protocol):
                found = evaluate_by(protocol, run.folder, data.splits, device=device, workers=workers)
            errors = record.errors | {protocol: Errors(found.top1_error, found.top5_error)}
            record = record.with_changes(errors=errors)
            write(run.file, record)


def _train(
    run: PlannedRun,
    data: ResolvedDetectionData | ResolvedLocalisationData,
    train: Callable[..., object],
    **settings: Any,
) -> None:
    """Train a detector or a localiser, or go on with it."""
    with warnings.catch_warnings():
        if run.scale == "smoke":  # which is no more than a trial
            warnings.filterwarnings("ignore", message="a (detector|localiser) that starts from random|.* of an epoch")
        how = settings | {"weights": data.start, "recipe": run.recipe, "seed": run.seed}
        train(run.task.training.network, data.splits, out=run.folder, resume=True, **how)


def _detector(
    run: PlannedRun, data: ResolvedDetectionData, *, device: str, workers: int, observers: Iterable[Observer]
) -> None:
    _train(run, data, train_detector, device=device, workers=workers, observers=observers)
    result = _required(RunFolder(run.folder).result(DetectorResult))
    record = _record(run, result)
    write(run.file, record)
    for test in run.task.detections:
        if is_tested(test, record):
            continue
        scores = result.scores
        if test.refinements or test.protocol != data.splits.protocol or not data.splits.test_annotated:
            with testing(" ".join((test.protocol, *test.refinements))):
                scores = evaluate_detector(
                    run.folder,
                    data.splits,
                    **msgspec.to_builtins(test),
                    out=run.folder / "-".join(("detections", test.protocol, *test.refinements)),  # for a server, too
                    device=device,
                    workers=workers,
                ).scores
        tested = DetectionTested(**msgspec.to_builtins(test), scores=scores)
        record = record.with_changes(tests=(*record.tests, tested))
        write(run.file, record)


def _trained(teacher: PlannedRun) -> Path:
    """Return the folder of a run to learn from. Raises: TrainingError, if it did not come to its end."""
    if not RunFolder(teacher.folder).weights.is_file():
        raise TrainingError(f"it learns from {teacher.name}, which is not trained")
    return teacher.folder


def _localiser(
    run: PlannedRun, data: ResolvedLocalisationData, *, device: str, workers: int, observers: Iterable[Observer]
) -> None:
    rpn = None if run.teacher is None else _trained(run.teacher)
    _train(run, data, train_localiser, rpn=rpn, device=device, workers=workers, observers=observers)
    record = _record(run, _required(RunFolder(run.folder).result(LocaliserResult)))
    write(run.file, record)
    for protocol in run.tests:
        if any(one.protocol == protocol for one in record.localisations):
            continue
        with testing(protocol):
            scores = evaluate_localiser(
                run.folder,
                data.splits,
                classifier=() if data.start is None else data.start,
                protocol=protocol,
                out=run.folder / f"guesses-{protocol}" if data.splits.class_ids else None,
                device=device,
                workers=workers,
            ).scores
        tested = LocalisationTested(protocol=protocol, scores=scores)
        record = record.with_changes(localisations=(*record.localisations, tested))
        write(run.file, record)


def evaluate_by(
    protocol: Protocol, weights: Path | Sequence[Path], splits: DataSplits, *, device: str, workers: int
) -> Evaluation:
    """Return the test of a network, or of an ensemble, by a declared protocol, which may name its scales."""
    name, scales = parse_protocol(protocol)
    return evaluate(weights, splits, protocol=name, scales=scales, device=device, workers=workers)


@contextmanager
def testing(protocol: str) -> Iterator[None]:
    """Make an error of a test after a training a failure of that run alone. Raises: TrainingError."""
    try:
        yield
    except (DataError, UsageError, WeightsError) as error:
        raise TrainingError(f"trained, and not tested by {protocol}: {first_line(error)}") from error


def _required(result: R | None) -> R:
    assert result is not None  # of a run that is finished
    return result


def _record(run: PlannedRun, result: Result) -> ReproducedRun:
    """Return the record of a run: its result, the declared setting, the data and the scale.

    The tests that an earlier call made of the same run are kept; the file of another run is archived.
    """
    record = ReproducedRun(
        result=result,
        declared=run.task.training,
        data=run.data.name,
        scale=run.scale,
        identity=run.identity,
    )
    earlier = read_valid(run.file, ReproducedRun)
    if earlier is None:
        return record
    if earlier.identity != run.identity:
        archive(run.file, earlier.identity)
        return record
    if (earlier.result.seconds, earlier.result.curve) != (result.seconds, result.curve):
        return record
    return record.with_changes(
        errors=earlier.errors, responses=earlier.responses, tests=earlier.tests, localisations=earlier.localisations
    )
