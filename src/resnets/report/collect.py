"""Result files, found in files and folders and read; files that are no results are named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from resnets.errors import UsageError
from resnets.report import detectors, measured
from resnets.report.detectors import is_detectors
from resnets.report.measured import NotAResult
from resnets.report.runs import (
    Benchmark,
    Comparison,
    Cost,
    Measured,
    MeasuredDetector,
    MeasuredEnsemble,
    Results,
    Run,
    Stage,
    default_shortcut,
)
from resnets.specs import identify

_NOT_RESULTS = ("run.json",)  # of a run's folder, next to result.json


def collect(places: Iterable[Path]) -> Results:
    """Return what the files hold, and those in folders at any depth, in the order of their names.

    Raises: UsageError, if a place does not exist or no result is found in any.
    """
    runs: dict[object, Measured] = {}
    found: dict[object, MeasuredDetector] = {}
    costs: dict[tuple[str, str | None], Cost] = {}
    benchmarks: list[Benchmark] = []
    tested: list[MeasuredEnsemble] = []
    problems: list[str] = []
    places = tuple(places)
    for file, path in _files(places).items():
        try:
            content = json.loads(path.read_text())
            if not isinstance(content, dict):
                raise NotAResult("it is no JSON object")
            if content.get("kind") == "study":  # its runs are in files of their own
                continue
            if content.get("kind") == "complexity":
                costs |= {(cost.network, cost.shortcut): cost for cost in _costs(content)}
            elif "rows" in content and "matrix_rates" in content:
                benchmarks.append(_benchmark(file, content))
            else:
                if _is_of_an_ensemble(content):
                    tested.append(_ensemble(file, content))
                for one in _results(content):
                    if is_detectors(one):
                        _take_detector(found, detectors.parse(file, one), declared="declared" in one)
                    else:
                        _take(runs, measured.parse(file, one), declared="declared" in one)
        except json.JSONDecodeError as error:
            problems.append(f"{file}: not shown, since it is no JSON ({error})")
        except UnicodeDecodeError:
            problems.append(f"{file}: not shown, since it is no text")
        except OSError as error:
            problems.append(f"{file}: not shown, since it cannot be read ({error.strerror or error})")
        except NotAResult as error:
            problems.append(f"{file}: not shown: no result of train, evaluate, reproduce or the benchmarks: {error}")
    if not (runs or found or tested or costs or benchmarks):
        where = ", ".join(map(str, places))
        reason = f" ({'; '.join(problems)})" if problems else ""
        raise UsageError(f"no results in {where}{reason}; `resnets train` writes result.json, `resnets reproduce` more")
    problems += [*_doubles(runs.values()), *_doubles(found.values())]
    return Results(
        runs=tuple(runs.values()),
        detectors=tuple(found.values()),
        ensembles=tuple(tested),
        costs=tuple(costs.values()),
        benchmarks=tuple(benchmarks),
        problems=tuple(problems),
    )


def _doubles(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a line for each run that was made as another was, of the same seed: of such runs the first one counts."""
    first: dict[object, Run] = {}
    for run in runs:
        counts = first.setdefault((run.declared, run.departures, run.precision, run.seed), run)
        if counts is not run:
            yield f"{run.file}: not counted, since {counts.file} has the same setting and seed"


def _is_of_an_ensemble(content: Mapping[str, Any]) -> bool:
    members = content.get("members")
    return content.get("kind") == "evaluation" and isinstance(members, list) and len(members) > 1


def _results(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results that a file holds: itself, or those of the runs whose responses or other tests it holds."""
    if content.get("kind") == "responses":
        return _of_responses(content)
    if content.get("kind") == "detection evaluation":
        return _of_a_detector(content)
    return _of_an_evaluation(content) if content.get("kind") == "evaluation" else [dict(content)]


def _of_responses(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        found = []
        for one in content["networks"]:
            run = one["result"]
            if run is None:
                continue
            if not _same_images(one, one["images"], run):
                raise NotAResult(
                    f"responses of {one['network']} to {one['images']:,} images of {one['data']}, and not to all test "
                    f"images of its run"
                )
            found.append(run | {"responses": one["responses"]})
        return found
    except (KeyError, TypeError) as error:
        raise NotAResult(f"layer responses that cannot be read ({error!r})") from None


def _same_images(test: Mapping[str, Any], images: int, run: Mapping[str, Any]) -> bool:
    """Return whether a test is of the test images of a run: by their digest, where both have one, and else by name."""
    here, there = test.get("digest"), run["run"]["data"].get("digest")
    same = test["data"] == run["data"] if here is None or there is None else here == there
    return bool(same and images == run.get("test_samples", images))


def _of_an_evaluation(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs that were tested; of an ensemble, which is shown itself, those that are known."""
    try:
        found = []
        for member in content["members"]:
            run = member["result"]
            problem = None
            if run is None:
                problem = f"a test of {member['network']}, with no result.json of its run next to the weights"
            elif not _same_images({"data": content["data"], **member}, content["samples"], run):
                problem = (
                    f"a test on other images ({content['samples']:,} of {content['data']}) than the test images of the "
                    f"run ({run['data']})"
                )
            if problem and _is_of_an_ensemble(content):
                continue
            if problem:
                raise NotAResult(problem)
            errors = {"top1": member["top1_error"], "top5": member["top5_error"]}
            found.append(run | {"errors": (run.get("errors") or {}) | {content["protocol"]: errors}})
        return found
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAResult(f"a test that cannot be read ({error!r})") from None


def _of_a_detector(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        if len(content["results"]) != 1 or content["results"][0] is None:
            raise NotAResult(
                "a test of an ensemble, or of a detector with no result.json of its run next to the weights"
            )
        run = content["results"][0]
        same = content["digest"] is not None and content["digest"] == run["run"]["data"]["digest"]
        if content["split"] != "test" or not same:
            raise NotAResult(f"a test on other images than the test images of the run ({content['data']})")
        return [run | {"tests": [*(run.get("tests") or ()), content]}]
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAResult(f"a test that cannot be read ({error!r})") from None


def _take(runs: dict[object, Measured], run: Measured, *, declared: bool) -> None:
    """Add a run; of two files of one run the one that says what it is declared to be counts, with what either adds."""
    same = _same_run(run)
    before = runs.get(same)
    chosen = run if declared or before is None else before
    errors = {} if before is None else before.errors
    measured = (chosen.responses, run.responses, before.responses if before else ())
    responses = max(measured, key=lambda layers: (len(layers), bool(layers) and layers[0].median is not None))
    runs[same] = dataclasses.replace(chosen, responses=responses, errors={**run.errors, **errors, **chosen.errors})


def _take_detector(runs: dict[object, MeasuredDetector], run: MeasuredDetector, *, declared: bool) -> None:
    """Add a detector's run, as `_take` does; its data has another name where it is declared to be an answer."""
    same = (run.network, run.recipe, run.seed, run.seconds, run.images_per_second)
    before = runs.get(same)
    chosen = run if declared or before is None else before
    earlier = {} if before is None else before.tests
    runs[same] = dataclasses.replace(chosen, tests={**run.tests, **earlier, **chosen.tests})


def _same_run(run: Measured) -> object:
    """Return what two files of one run have alike: a run's own result.json, and what `reproduce` made of it."""
    return (run.network, run.shortcut, run.recipe, run.seed, run.seconds, run.curve)


def _files(places: Iterable[Path]) -> dict[str, Path]:
    """Return the files by the names that the report gives them, which do not tell where a folder lies."""
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for place in places:
        if not place.exists():
            raise UsageError(f"{place}: no such file or folder; name result files, or folders that hold them")
        inside = [path for path in sorted(place.rglob("*.json")) if path.name not in _NOT_RESULTS]
        for path in inside if place.is_dir() else [place]:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            top = place.resolve().parent if place.is_dir() or path.name != "result.json" else place.resolve().parents[1]
            name = path.resolve().relative_to(top).as_posix() if path.resolve().is_relative_to(top) else path.name
            found[name if name not in found else path.as_posix()] = path
    return found


def _costs(content: Mapping[str, Any]) -> list[Cost]:
    try:
        return [
            Cost(
                network=one["network"],
                shortcut=one.get("shortcut") or default_shortcut(one["network"]),
                depth=int(one["depth"]),
                parameters=int(one["parameters"]),
                macs=int(one["macs"]),
                stages=tuple(_stage(stage) for stage in one.get("stages", ())),
            )
            for one in content["networks"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAResult(f"costs of networks that cannot be read ({error!r})") from None


def _stage(stage: Mapping[str, Any]) -> Stage:
    size = stage["output_size"]
    side = int(size[0] if isinstance(size, list) else str(size).split("x")[0])
    return Stage(stage["name"], side, stage["layers"], int(stage["parameters"]), int(stage["macs"]))


def _ensemble(file: str, content: Mapping[str, Any]) -> MeasuredEnsemble:
    """Return the ensemble that a result file of `evaluate` describes.

    Raises: NotAResult, if it is none.
    """
    try:
        low, high = content["top1_interval"]
        return MeasuredEnsemble(
            file=file,
            members=tuple(str(member["network"]) for member in content["members"]),
            data=identify(
                str(content["data"]),
                digest=content.get("digest"),
                train=None,
                test=int(content["samples"]),
                classes=len(content["class_errors"]),
            ),
            protocol=str(content["protocol"]),
            images=int(content["samples"]),
            top1=float(content["top1_error"]),
            top5=float(content["top5_error"]),
            interval=(float(low), float(high)),
            alone=tuple(float(member["top1_error"]) for member in content["members"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAResult(f"a test of an ensemble that cannot be read ({error!r})") from None


def _benchmark(file: str, content: Mapping[str, Any]) -> Benchmark:
    """Return the benchmark that a file's content describes.

    Raises: NotAResult.
    """
    try:
        return Benchmark(
            file=file,
            comparisons=tuple(_comparison(row, claim) for row in content["rows"] for claim in row["claims"]),
            rounds=int(content["rounds"]),
            data=dict(content["data"]),
            machine=dict(content["machine"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAResult(f"a benchmark that cannot be read ({error!r})") from None


def _comparison(row: Mapping[str, Any], claim: Mapping[str, Any]) -> Comparison:
    alone = claim["over"] is None
    return Comparison(
        row=row["row"],
        what=row["what"],
        quantity=claim["quantity"],
        over=claim["over"],
        ours=float(claim["median"] if alone else claim["ours"]),
        theirs=None if alone else float(claim["theirs"]),
        ratio=None if alone else float(claim["median"]),
        lowest=None if alone else float(claim["lowest"]),
        highest=None if alone else float(claim["highest"]),
        at_least=claim["at_least"],
        aim=claim["aim"],
        verdict=claim["verdict"],
    )
