"""Measured runs, and how they depart from what was declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

from resnets.paper.declarations import Column, DetectionTest
from resnets.paper.published.detection import VOC_NAMES
from resnets.records.benchmarks import Benchmark
from resnets.records.costs import Cost
from resnets.records.evaluations import Errors, Response
from resnets.records.runs import LocalisationScores, Provenance
from resnets.specs import Setting, default_shortcut

ShownScale = Literal["full", "short", "reduced", "smoke"]
"""Of runs that are shown: those of records, and `reduced`, shorter than `short` without being declared as `smoke`."""

SHOWN_SCALES: tuple[ShownScale, ...] = get_args(ShownScale)
SHORT = 16  # a short run has a sixteenth of the iterations, or more

R = TypeVar("R", bound="Run")

_RESNET = re.compile(r"(resnet|plain)([1-9][0-9]*)(_v1_5|_cifar)?")


@dataclass(frozen=True)
class Point:
    """Of a curve: errors in percent after some iterations; the training error is since the point before."""

    iteration: int
    training: float
    tested: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """A measured run; `declared` is the setting that it is compared with.

    `built` and `trained` are values that `declared` and `departures` leave open, as JSON: of the network, and of its
    training, such as the digest of the images and the weights of the classes. `files` are the SHA-256 of the weights
    that it starts or learns from.
    """

    file: str
    network: str
    shortcut: str | None
    recipe: str
    iterations: int
    declared_iterations: int  # of the declared recipe at its full length
    data: str  # with the split, where not all training images were trained on
    seed: int
    scale: ShownScale
    declared: Setting
    changes: tuple[str, ...] = ()  # from the declared network and recipe, but for the length
    recipe_departures: tuple[tuple[str, str], ...] = ()  # the recipe's from the paper: what, why
    precision: str = ""
    seconds: float = 0.0
    images_per_second: float = 0.0
    provenance: tuple[Provenance, ...] = ()
    fingerprint: str = ""  # of its record
    built: str = ""
    trained: str = ""
    files: tuple[str | None, ...] = ()

    @property
    def name(self) -> str:
        """Its file, or the folder where that is called result.json."""
        return self.file.removesuffix(".json").removesuffix("/result")

    @property
    def alike(self) -> tuple[object, ...]:
        """What all runs of one setting have alike, but for the files: `settings_of`."""
        return (self.declared, self.departures, self.precision, self.built, self.trained)

    @property
    def departures(self) -> tuple[str, ...]:
        """How it departs from what was declared; () for a run that may be compared with the paper."""
        found = []
        if self.data != self.declared.data:
            found.append(f"{self.data} instead of {self.declared.data}")
        if self.scale != "full":
            is_shorter = self.iterations < self.declared_iterations
            length = f"{self.iterations:,} of {self.declared_iterations:,} iterations"
            name = "" if self.scale == "reduced" else f"{self.scale}: "
            found.append(f"{name}{length}" if is_shorter else f"{self.scale} scale")
        return (*found, *self.changes)

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """How near it is to what was declared, the nearest first: data, recipe, scale, length."""
        return (self.data != self.declared.data, bool(self.changes), SHOWN_SCALES.index(self.scale), -self.iterations)


@dataclass(frozen=True, kw_only=True)
class Measured(Run):
    """A classifier's run. Errors in percent."""

    depth: int | None
    is_residual: bool  # whether it is a network with shortcuts
    errors: Mapping[str, Errors]  # by test protocol
    training_error: float
    training_images: int  # that it is of: those since the last but one test
    curve: tuple[Point, ...]
    curve_on: Literal["test", "validation"]
    best_validation: tuple[int, float] | None = None  # iteration and error
    responses: tuple[Response, ...] = ()

    @property
    def test_error(self) -> float:
        """The top-1 error of training's own test."""
        return next(iter(self.errors.values())).top1


def depth_of(network: str) -> int | None:
    """Return the weighted layers in a plain or residual network's name, or None."""
    match = _RESNET.fullmatch(network)
    return int(match[2]) if match else None


@dataclass(frozen=True)
class Scores:
    """What detections on a test split came to, in percent.

    `mean_50` is the mean AP at an IoU of .5, `mean` that over IoUs of .5 to .95, which only COCO's protocol has;
    `classes` is the AP of each class by the rules of the protocol; `masks` are both means of the masks, by COCO's.
    """

    mean_50: float
    mean: float | None
    classes: Mapping[str, float]
    masks: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class MeasuredDetector(Run):
    """A detector's run, with each test of it."""

    tests: Mapping[DetectionTest, Scores]

    def value(self, test: DetectionTest, column: Column) -> float | None:
        """Return what a test came to in a column of a table, or None where it was not made or has no such number."""
        scores = self.tests.get(test)
        if scores is None:
            return None
        if column.measure == "AP":
            return scores.classes.get(VOC_NAMES[column.name])
        if column.measure == "mAP@[.5, .95]":
            return scores.mean
        mean = "mAP@.5" if test.protocol in ("coco", "ilsvrc") else "mAP"
        return scores.mean_50 if column.measure == mean else None


@dataclass(frozen=True, kw_only=True)
class MeasuredLocaliser(Run):
    """A localiser's run, with each test of it by protocol."""

    tests: Mapping[str, LocalisationScores]

    def value(self, protocol: str, column: Column) -> float | None:
        """Return what a test came to in a column of a table, or None where it was not made or has no such number."""
        scores = self.tests.get(protocol)
        if scores is None:
            return None
        if column.measure == "localisation error":
            return scores.true_class_error
        found = {"top-5 localisation error": scores.errors, "top-5 error": scores.class_errors}.get(column.measure)
        return None if found is None else found[-1]


@dataclass(frozen=True, kw_only=True)
class MeasuredTest:
    """A test of an ensemble, or of weights whose run is not known, such as converted ones. Errors in percent.

    `members` are the networks, `weights` the names of their files, and `alone` their top-1 errors, in one order; `runs`
    are theirs, () where one is not known.
    """

    file: str
    members: tuple[str, ...]
    weights: tuple[str, ...]
    data: str
    protocol: str
    images: int
    top1: float
    top5: float
    interval: tuple[float, float]  # of `top1`, with 95 % confidence
    alone: tuple[float, ...]
    runs: tuple[Measured, ...] = ()

    @property
    def alike(self) -> frozenset[tuple[object, ...]]:
        """What its members' runs have alike with those of other seeds."""
        return frozenset(run.alike for run in self.runs)

    @property
    def departures(self) -> tuple[str, ...]:
        """How its members depart from what was declared."""
        return tuple(dict.fromkeys(departure for run in self.runs for departure in run.departures))

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """That of the member which is least near to what was declared."""
        return max(run.rank for run in self.runs)


def settings_of(runs: Iterable[R], key: Callable[[R], object] = lambda run: run.alike) -> list[list[R]]:
    """Return the runs of each setting together, in their order; `key` gives what they have alike.

    The files that they start or learn from are of the setting, too, unless each seed has one of its own.
    """
    groups: dict[object, list[R]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    found: dict[object, list[R]] = {}
    for alike, group in groups.items():
        seeds, files = {run.seed for run in group}, {run.files for run in group}
        of_seeds = len(seeds) == len(files) == len({(run.seed, run.files) for run in group})
        for run in group:
            found.setdefault((alike, None if of_seeds else run.files), []).append(run)
    return list(found.values())


def by_seed(runs: Iterable[R]) -> dict[int, R]:
    """Return the first run of each seed."""
    found: dict[int, R] = {}
    for run in runs:
        found.setdefault(run.seed, run)
    return found


@dataclass(frozen=True)
class Results:
    """All that was found. `keys` are the runs' names on the page, `problems` a line for each file that is no result,
    and for each run that does not count, since an earlier file has its setting and seed.
    """

    runs: tuple[Measured, ...] = ()  # of classifiers
    detectors: tuple[MeasuredDetector, ...] = ()
    localisers: tuple[MeasuredLocaliser, ...] = ()
    ensembles: tuple[MeasuredTest, ...] = ()  # of classifiers
    weights: tuple[MeasuredTest, ...] = ()  # of one classifier each
    costs: tuple[Cost, ...] = ()
    benchmarks: Mapping[str, Benchmark] = field(default_factory=dict)  # by file
    problems: tuple[str, ...] = ()

    def cost(self, network: str | None, shortcut: str | None, data: str | None) -> Cost | None:
        """Return what a network costs on some data or, where no file has that, by default; None if it has neither."""
        if network is None:
            return None
        default = default_shortcut(network)
        requested = (network, shortcut or default)
        found = {cost.data: cost for cost in self.costs if (cost.network, cost.shortcut or default) == requested}
        return found.get(data, found.get(None))

    @property
    def everything(self) -> tuple[Run, ...]:
        """All runs: of classifiers, detectors and localisers."""
        return (*self.runs, *self.detectors, *self.localisers)

    def key(self, run: Run) -> str:
        """Return a run's name on the page: its file's, with a number where two have the same."""
        slug = _slug(run)
        same = [other for other in self.everything if _slug(other) == slug]
        return slug if same[0] is run else f"{slug}-{1 + next(i for i, one in enumerate(same) if one is run)}"


def _slug(run: Run) -> str:
    return "run-" + re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-")
