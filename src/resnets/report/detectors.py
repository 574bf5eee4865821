"""Result files of detectors, read as measured runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resnets.detection.recipes import all_recipes
from resnets.paper.declarations import SCORED_BY, DetectionTest
from resnets.paper.detection_data import after, identify
from resnets.report.measured import (
    NotAResult,
    declared_in,
    number,
    other_network,
    other_recipe,
    places,
    positive,
    scale_of,
)
from resnets.report.runs import MeasuredDetector, Scores

IMAGENET_CLASSES = 1_000  # that the paper's backbones know


def is_detectors(content: Mapping[str, Any]) -> bool:
    """Return whether a result file's content is of a detector."""
    return "scores" in content


def parse(file: str, content: Mapping[str, Any]) -> MeasuredDetector:
    """Return the run that a detector's result file describes.

    Raises: NotAResult, saying what is missing or is no number.
    """
    try:
        return _parse(file, content)
    except KeyError as error:
        raise NotAResult(f"it has no {error}") from None
    except (TypeError, AttributeError, IndexError, ValueError) as error:
        raise NotAResult(str(error)) from None


def _parse(file: str, content: Mapping[str, Any]) -> MeasuredDetector:
    run = content["run"]
    network, recipe, start = run["network"], run["recipe"], run.get("weights")
    data = content["data"] if "declared" in content else _data(run["data"], start)
    declared = declared_in(content, network.get("shortcut"), data)
    iterations, name = positive(content["iterations"]), str(content["network"])
    named = all_recipes().get(declared.recipe)
    full = iterations if named is None else named.iterations
    known = named is not None and content["recipe"] == named.name
    return MeasuredDetector(
        file=file,
        network=name,
        shortcut=network.get("shortcut"),
        recipe=content["recipe"],
        iterations=iterations,
        declared_iterations=full,
        data=data,
        seed=int(content["seed"]),
        scale=scale_of(content.get("scale"), iterations, full, known=known),
        declared=declared,
        changes=(
            *other_network(name, network, declared),
            *_other_start(start),
            *other_recipe(recipe, network, declared),
        ),
        deviations=tuple((one["what"], one["why"]) for one in recipe.get("deviations", ())),
        precision=run.get("precision", ""),
        seconds=number(content["seconds"]),
        images_per_second=number(content["images_per_second"]),
        provenance=places(run["provenance"]),
        tests=dict(_tests(content)),
    )


def _data(data: Mapping[str, Any], start: Mapping[str, Any] | None) -> str:
    """Return the declared data set's name if there are as many images and classes, and the data's own otherwise."""
    name = identify(str(data["name"]), data["training_images"], data["test_images"], len(data["classes"]))
    return after(name, start["classes"]) if start and start.get("kind") == "detector" else name


def _other_start(start: Mapping[str, Any] | None) -> list[str]:
    """Return how a detector's start weights differ from an ImageNet classifier's."""
    if start is None:
        return ["started from random weights instead of an ImageNet classifier's"]
    if start.get("kind") == "detector":  # which is in the data's name
        return []
    classes = start.get("classes")
    if classes == IMAGENET_CLASSES:
        return []
    what = "weights of unknown classes" if classes is None else f"a classifier of {classes:,} classes"
    return [f"started from {what} instead of ImageNet's {IMAGENET_CLASSES:,}"]


def _tests(content: Mapping[str, Any]) -> Iterator[tuple[DetectionTest, Scores]]:
    plain = {"protocol": content["scores"].get("protocol"), "scores": content["scores"]}
    for test in (plain, *(content.get("tests") or ())):
        scores, protocol = test["scores"], test["protocol"]
        if scores["mean_ap"] is None:  # only a server knows these boxes
            continue
        if protocol not in SCORED_BY.values():
            raise NotAResult(f"a test by the protocol {protocol!r}")
        refined, scales = bool(test.get("box_refinement")), bool(test.get("multi_scale"))
        yield DetectionTest(protocol=protocol, box_refinement=refined, multi_scale=scales), _scores(scores)


def _scores(scores: Mapping[str, Any]) -> Scores:
    numbers = scores.get("numbers")
    classes = {name: 100 * number(ap) for name, ap in scores["ap"].items() if ap is not None}
    if numbers is None:
        return Scores(100 * number(scores["mean_ap"]), None, classes)
    return Scores(100 * number(numbers["AP50"]), 100 * number(numbers["AP"]), classes)
