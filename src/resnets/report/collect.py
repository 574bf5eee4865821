"""Result files, found in files and folders and read; files that are no results are named."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from resnets.errors import RunError, UsageError
from resnets.records.analyses import Ablation, Gradients, Landscape
from resnets.records.audits import Audit
from resnets.records.base import read
from resnets.records.benchmarks import Benchmark
from resnets.records.costs import Cost, Costs
from resnets.records.evaluations import (
    DetectionEvaluation,
    DetectionTested,
    Errors,
    Evaluation,
    LocalisationEvaluation,
    ReproducedRun,
    Responses,
)
from resnets.records.image_parts import PartsManifest
from resnets.records.jobs import SubmittedJobs
from resnets.records.runs import ClassifierResult, DetectorResult, LocalisationScores, LocaliserResult
from resnets.records.shards import ShardIndex, ShardManifest, ShardPlan
from resnets.records.studies import StudyRecord
from resnets.report.measured import NotAResult, detection_tests, measured, measured_detector, measured_localiser
from resnets.report.runs import (
    Measured,
    MeasuredDetector,
    MeasuredLocaliser,
    MeasuredTest,
    Results,
    Run,
    by_seed,
    settings_of,
)
from resnets.specs import identify

T = TypeVar("T", MeasuredDetector, MeasuredLocaliser)
R = TypeVar("R", DetectorResult, LocaliserResult)

_NOT_RESULTS = ("run.json", "detections.json", "detections_*_results.json", "segmentations_*_results.json")
"""Patterns of names: of a run's record, next to its result, and of detections, whose formats are those of others."""

Found = (
    ClassifierResult
    | DetectorResult
    | LocaliserResult
    | ReproducedRun
    | Evaluation
    | Responses
    | DetectionEvaluation
    | LocalisationEvaluation
    | StudyRecord  # whose runs are in files of their own
    | Gradients  # of no error, and likewise
    | Landscape
    | Ablation
    | Costs
    | Benchmark
    | SubmittedJobs  # no result, but a file of this package, as those below
    | PartsManifest
    | Audit
    | ShardManifest
    | ShardPlan
    | ShardIndex
)


def collect(places: Iterable[Path]) -> Results:
    """Return what the files hold, and those in folders at any depth, also linked ones, in the order of their names.

    Raises: UsageError, if a place does not exist or no result is found in any.
    """
    runs: dict[object, Measured] = {}
    detectors: dict[object, MeasuredDetector] = {}
    localisers: dict[object, MeasuredLocaliser] = {}
    costs: dict[tuple[str, str | None, str | None], Cost] = {}
    benchmarks: dict[str, Benchmark] = {}
    tested: list[tuple[str, Evaluation]] = []
    problems: list[str] = []
    places = tuple(places)
    for file, path in _files(places).items():
        try:
            record = read(path, cast("type[Found]", Found))
            if isinstance(record, Benchmark):
                benchmarks[file] = record
            elif isinstance(record, Costs):
                costs |= {(cost.network, cost.shortcut, cost.data): cost for cost in record.networks}
            if isinstance(record, Evaluation) and (
                len(record.members) > 1 or [member.result for member in record.members] == [None]
            ):
                tested.append((file, record))
            for run in _runs(file, record):
                declared = isinstance(record, ReproducedRun)
                if isinstance(run, Measured):
                    _take(runs, run, declared=declared)
                elif isinstance(run, MeasuredDetector):
                    _take_tested(detectors, run, declared=declared)
                else:
                    _take_tested(localisers, run, declared=declared)
        except (RunError, NotAResult) as error:
            reason = str(error).removeprefix(f"{path}: ")
            problems.append(f"{file}: not shown: no result of train, evaluate, reproduce or the benchmarks: {reason}")
    if not (runs or detectors or localisers or tested or costs or benchmarks):
        where = ", ".join(map(str, places))
        reason = f" ({'; '.join(problems)})" if problems else ""
        raise UsageError(f"no results in {where}{reason}; `resnets train` writes result.json, `resnets reproduce` more")
    problems += [line for some in (runs, detectors, localisers) for line in _doubles(some.values())]
    tests = [_test(file, record, runs) for file, record in tested]
    return Results(
        runs=tuple(runs.values()),
        detectors=tuple(detectors.values()),
        localisers=tuple(localisers.values()),
        ensembles=tuple(test for test in tests if len(test.members) > 1),
        weights=tuple(test for test in tests if len(test.members) == 1),
        costs=tuple(costs.values()),
        benchmarks=benchmarks,
        problems=tuple(problems),
    )


def _runs(file: str, record: Found | None) -> Iterator[Measured | MeasuredDetector | MeasuredLocaliser]:
    """Yield the runs of a record: its own, or those whose responses or other tests it holds."""
    answer, result = (record, record.result) if isinstance(record, ReproducedRun) else (None, record)
    if isinstance(result, ClassifierResult):
        yield measured(file, result, answer)
    elif isinstance(result, DetectorResult):
        yield measured_detector(file, result, answer)
    elif isinstance(result, LocaliserResult):
        yield measured_localiser(file, result, answer)
    elif isinstance(record, Responses):
        yield from _of_responses(file, record)
    elif isinstance(record, Evaluation):
        yield from _of_an_evaluation(file, record)
    elif isinstance(record, DetectionEvaluation):
        yield _of_a_detector(file, record)
    elif isinstance(record, LocalisationEvaluation):
        yield _of_a_localiser(file, record)


def _doubles(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a line for each run that was made as another was, of the same seed: of such runs the first one counts."""
    for group in settings_of(runs):
        counts = by_seed(group)
        for run in group:
            if (first := counts[run.seed]) is not run:
                yield f"{run.file}: not counted, since {first.file} has the same setting and seed"


def _of_responses(file: str, record: Responses) -> Iterator[Measured]:
    for one in record.networks:
        if one.result is None:
            continue
        if not _same_images(one.data, one.digest, one.images, one.result):
            raise NotAResult(
                f"responses of {one.network} to {one.images:,} images of {one.data}, and not to all test images of its "
                f"run"
            )
        yield dataclasses.replace(measured(file, one.result), responses=one.layers)


def _same_images(data: str, digest: str | None, images: int, result: ClassifierResult) -> bool:
    """Return whether a test is of the test images of a run: by their digest, where both have one, and else by name.

    A test of photos has the digest of their files, also where the run's network was trained on their pixels.
    """
    own = result.run.data
    known = digest is not None and own.digest is not None
    same = digest in (own.digest, own.source_digest) if known else data == own.name
    return same and images == result.test_samples


def _of_an_evaluation(file: str, record: Evaluation) -> Iterator[Measured]:
    """Yield the runs that were tested, where they are known: weights without one, and ensembles, are shown themselves.

    Raises: NotAResult, for a test of one network on other images than those of its run's test.
    """
    for member in record.members:
        if (result := member.result) is None:
            continue
        if not _same_images(record.data, record.digest, record.samples, result):
            if len(record.members) > 1:
                continue
            raise NotAResult(
                f"a test on other images ({record.samples:,} of {record.data}) than the test images of the run "
                f"({result.run.data.name}), or on images that are not known to be the same"
            )
        run = measured(file, result)
        if record.protocol not in run.errors:  # training's own test counts
            errors = Errors(member.top1_error, member.top5_error)
            run = dataclasses.replace(run, errors={**run.errors, record.protocol: errors})
        yield run


def _tested(record: DetectionEvaluation | LocalisationEvaluation, kind: str, *results: R | None) -> R:
    """Return the result of the one run whose test images were tested. Raises: NotAResult, for another test."""
    result = results[0] if len(results) == 1 else None
    if result is None:
        raise NotAResult(f"a test of an ensemble, or of a {kind} with no result.json of its run next to the weights")
    if record.split != "test" or record.digest is None or record.digest != result.run.data.digest:
        raise NotAResult(f"a test on other images than the test images of the run ({record.data})")
    return result


def _of_a_detector(file: str, record: DetectionEvaluation) -> MeasuredDetector:
    run = measured_detector(file, _tested(record, "detector", *record.results))
    test = DetectionTested(
        protocol=record.protocol,
        box_refinement=record.box_refinement,
        multi_scale=record.multi_scale,
        scores=record.scores,
    )
    return dataclasses.replace(run, tests={**run.tests, **dict(detection_tests([test]))})


def _of_a_localiser(file: str, record: LocalisationEvaluation) -> MeasuredLocaliser:
    result = _tested(record, "localiser", *record.results)
    if record.scales:
        raise NotAResult(f"a test at {', '.join(map(str, record.scales))} pixels, and not at the recipe's scales")
    if not record.voting:
        raise NotAResult("a test without voting, which is not that of a table")
    run = measured_localiser(file, result)
    return dataclasses.replace(run, tests=_all_tests({record.protocol: record.scores}, run.tests))


def _take(runs: dict[object, Measured], run: Measured, *, declared: bool) -> None:
    """Add a run; of two files of one run the one that says what it is declared to be counts, with what either adds."""
    same = _same_run(run)
    before = runs.get(same)
    chosen = run if declared or before is None else before
    errors = {} if before is None else before.errors
    measured = (chosen.responses, run.responses, before.responses if before else ())
    responses = max(measured, key=lambda layers: (len(layers), bool(layers) and layers[0].median is not None))
    runs[same] = dataclasses.replace(chosen, responses=responses, errors={**run.errors, **errors, **chosen.errors})


def _take_tested(runs: dict[object, T], run: T, *, declared: bool) -> None:
    """Add a detector's or a localiser's run, as `_take` does; its data has another name where it is an answer."""
    same = (run.fingerprint, run.seconds, run.images_per_second)
    before = runs.get(same)
    chosen = run if declared or before is None else before
    tests = _all_tests(chosen.tests, {} if before is None else before.tests, run.tests)
    runs[same] = dataclasses.replace(chosen, tests=tests)


def _all_tests(*several: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the tests of a run in several files; the first counts, and others add what a localiser's has not."""
    found: dict[Any, Any] = {}
    for test, scores in (item for tests in several for item in tests.items()):
        before = found.setdefault(test, scores)
        if isinstance(before, LocalisationScores):
            found[test] = before.completed(scores)
    return found


def _same_run(run: Measured) -> object:
    """Return what two files of one run have alike: a run's own result.json, and what `reproduce` made of it."""
    return (run.fingerprint, run.seconds, run.curve)


def _files(places: Iterable[Path]) -> dict[str, Path]:
    """Return the files by the names that the report gives them, which do not show where a folder is."""
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for place in places:
        if not place.exists():
            raise UsageError(f"{place}: no such file or folder; name result files, or folders that hold them")
        real = place.resolve()
        for path in _inside(place) if place.is_dir() else [place]:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            if place.is_dir():
                name = Path(real.name, path.relative_to(place)).as_posix()
            else:
                name = f"{real.parent.name}/{real.name}" if real.name == "result.json" else real.name
            found[name if name not in found else path.as_posix()] = path
    return found


def _inside(folder: Path) -> list[Path]:
    """Return the files in a folder that may be results, sorted; links to folders elsewhere are followed, each once."""
    found: list[Path] = []
    walked: set[Path] = set()
    real = folder.resolve()
    for where, folders, names in os.walk(folder, followlinks=True):
        parent, target = Path(where), Path(where).resolve()
        is_a_loop = parent.is_symlink() and (target.is_relative_to(real) or real.is_relative_to(target))
        if target in walked or (is_a_loop and parent != folder):
            folders.clear()
            continue
        walked.add(target)
        files = [parent / name for name in names if name.endswith(".json")]
        found += [file for file in files if not any(map(file.match, _NOT_RESULTS))]
    return sorted(found)


def _test(file: str, record: Evaluation, runs: Mapping[object, Measured]) -> MeasuredTest:
    same = [
        _same_run(measured(file, member.result))
        for member in record.members
        if member.result is not None and _same_images(record.data, record.digest, record.samples, member.result)
    ]
    known = len(same) == len(record.members) and all(one in runs for one in same)
    classes = len(record.class_errors)
    return MeasuredTest(
        file=file,
        members=tuple(member.network for member in record.members),
        weights=tuple(Path(member.weights).name for member in record.members),
        data=identify(record.data, digest=record.digest, train=None, test=record.samples, classes=classes),
        protocol=record.protocol,
        images=record.samples,
        top1=record.top1_error,
        top5=record.top5_error,
        interval=record.top1_interval,
        alone=tuple(member.top1_error for member in record.members),
        runs=tuple(runs[one] for one in same) if known else (),
    )
