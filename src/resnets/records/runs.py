"""Records of runs: run.json, the lines of metrics.jsonl, and result.json."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from resnets.errors import UsageError
from resnets.records import base
from resnets.records.base import Record
from resnets.records.counts import Percent
from resnets.specs import DetectionRecipe, InputSpec, LocalisationRecipe, NetworkSpec, Precision, Recipe, Spec
from resnets.specs.base import Natural, Positive

R = TypeVar("R", bound="Result")

NO_EFFECT = ("source", "departures")
"""Fields of a recipe that are text, which another version may put differently."""


class NetworkRecord(Spec, frozen=True, kw_only=True):
    """The network of a run. `spec` is None for a custom module, `detector` for a classifier.

    A localiser is a per-class RPN or a per-class R-CNN.
    """

    name: str
    spec: NetworkSpec | None = None
    parameters: Natural
    detector: Literal["faster_rcnn", "rpn", "rcnn"] | None = None

    @property
    def depth(self) -> int | None:
        """Weighted layers; None for a custom module."""
        return None if self.spec is None else self.spec.depth


class DataRecord(Spec, frozen=True, kw_only=True):
    """The data of a run. `digest` is of all its images, None where their content is unknown.

    `source_digest` is that before photos were decoded for a network that keeps their pixels in memory: a run on the
    photos themselves has the same. It is None in records of an earlier version.
    """

    name: str
    source: str | None = None  # as it was named; None for data that was passed as an object
    split: str = "all"
    digest: str | None
    source_digest: str | None = None
    classes: tuple[str, ...]
    training_images: Natural
    test_images: Natural
    roles: str = ""  # what is trained, validated and tested on, where the source has found that out
    repairs: Natural = 0  # of boxes and sizes

    def in_words(self) -> str:
        """Return which images these are."""
        return images_in_words(self.name, self.training_images, self.test_images, self.digest)


class StartRecord(Spec, frozen=True, kw_only=True):
    """The weights file that a run starts or learns from; `classes` is their number, where it is known.

    `network` is the name of a teacher, None in records of an earlier version. `input` is that of the weights that a run
    starts from, which is not to fetch or read them again when it is resumed.
    """

    file: str
    sha256: str
    of: Literal["classifier", "detector", "localiser"] = "classifier"
    classes: Positive | None = None
    network: str | None = None
    input: InputSpec | None = None

    def in_words(self) -> str:
        """Return which file this is."""
        return f"{self.file}{_digest_in_words(self.sha256)}"


def images_in_words(name: str, training: int, test: int, digest: str | None) -> str:
    """Return which images a data set has, by their numbers and digest."""
    return f"{name}, {training:,} training and {test:,} test images{_digest_in_words(digest)}"


def _digest_in_words(digest: str | None) -> str:
    """Return the start of a digest, of images that of each split, since one alone may differ."""
    return f" (SHA-256 {'unknown' if digest is None else ':'.join(f'{part[:12]}...' for part in digest.split(':'))})"


class Provenance(Spec, frozen=True, kw_only=True):
    """Versions, hardware and commit of a result. `execution` says how training steps ran, once that is known."""

    versions: dict[str, str]
    hardware: dict[str, str | int | None]
    system: str
    commit: str | None = None
    execution: str | None = None


Sessions = Annotated[tuple[Provenance, ...], msgspec.Meta(min_length=1)]
"""Where the sessions of a run or a study ran: one for each change."""


class RunRecord(Record, frozen=True, kw_only=True, tag="run"):
    """What makes a run the one that it is, and where its sessions ran."""

    network: NetworkRecord
    recipe: Recipe | DetectionRecipe | LocalisationRecipe
    data: DataRecord
    seed: int
    precision: Precision
    start: StartRecord | None = None  # None: random weights
    teacher: StartRecord | None = None  # that the recipe's distillation is from
    rpn: StartRecord | None = None  # whose proposals a per-class R-CNN is trained on
    class_weights: dict[str, float] | None = None  # in the loss; None: all are 1
    workers: Natural
    accumulate: Positive = 1
    provenance: Sessions

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share, as JSON values: the rest may differ."""
        same = base.as_json(self)
        for name in ("kind", "version", "workers", "accumulate", "provenance"):
            del same[name]
        del same["data"]["source"], same["data"]["source_digest"]
        same["recipe"] = {name: value for name, value in same["recipe"].items() if name not in NO_EFFECT}
        for name, file in (("start", self.start), ("teacher", self.teacher), ("rpn", self.rpn)):
            same[name] = None if file is None else file.sha256
        if self.rpn is None:
            del same["rpn"]
        return same

    def in_result(self) -> RunRecord:
        """Return the record without what only a resumed run needs: the input of a start may have a mean image."""
        return self if self.start is None else self.with_changes(start=self.start.with_changes(input=None))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the identity, which each checkpoint of the run carries."""
        return hashlib.sha256(msgspec.json.encode(self.identity(), order="sorted")).hexdigest()

    def difference(self, other: RunRecord) -> tuple[str, str, str] | None:
        """Return where the identities of two runs first differ, and both values there, in words."""
        mine, theirs = self.identity(), other.identity()
        of_data = base.difference({"data": mine["data"]}, {"data": theirs["data"]})  # which the length may follow
        if (found := of_data or base.difference(mine, theirs)) is None:
            return None
        where, here, there = found
        if where in ("start", "teacher", "rpn"):  # files and images have names; a digest alone says nothing to anyone
            files: list[StartRecord | None] = [getattr(run, where) for run in (self, other)]
            none = "random weights" if where == "start" else "none"
            was, now = (none if file is None else file.in_words() for file in files)
            return where, was, now
        if where == "data.digest":
            return "data", self.data.in_words(), other.data.in_words()
        return where, reprlib.repr(here), reprlib.repr(there)

    def named_as(self, other: RunRecord) -> RunRecord:
        """Return this record with its data as the other names it, if it is the same data: a folder may have moved."""
        if self.data.digest is None or self.data.digest != other.data.digest:
            return self
        return self.with_changes(data=self.data.with_changes(name=other.data.name, roles=other.data.roles))


class LogLine(Spec, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a run's log: what was trained since the line before, and a test where one was due.

    Units: errors and mAP in percent; seconds of training and tests since the start of the run.
    """

    iteration: Natural
    lr: float
    loss: float
    losses: dict[str, float] = {}  # a detector's or localiser's, by part
    training_error: float  # of a detector or localiser: of what was drawn
    images: Natural
    test_error: float | None = None
    test_loss: float | None = None
    test_map: float | None = None
    validation_error: float | None = None
    validation_loss: float | None = None
    validation_map: float | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    note: str | None = None  # on the run, such as that it goes on without its display


class CurvePoint(Spec, frozen=True, kw_only=True, omit_defaults=True):
    """A point of a classifier's curve, in percent; the training error is since the point before."""

    iteration: Natural
    training_error: Percent
    test_error: Percent | None = None
    validation_error: Percent | None = None


Curve = Annotated[tuple[CurvePoint, ...], msgspec.Meta(min_length=1)]
"""Of a classifier that was trained to the end."""


class ClassifierResult(Record, frozen=True, kw_only=True, tag="classifier result"):
    """The result of a classifier's run. Errors are in percent; `training_error` is since the last point of the curve
    but one.
    """

    test_error: Percent
    test_top5_error: Percent | None
    test_samples: Positive
    training_error: Percent
    validation_error: Percent | None = None
    majority_class_error: Percent | None = (
        None  # of always answering the most frequent training class, in the same test
    )
    unaveraged_test_error: Percent | None = None  # of the last weights, where their average is tested
    warm_up_end: Natural | None = None  # iteration
    seconds: float
    images_per_second: float
    curve: Curve
    run: RunRecord


class MaskScores(Spec, frozen=True, kw_only=True):
    """COCO's twelve numbers of masks on a split, in [0, 1], and the AP of each class."""

    numbers: dict[str, float]
    ap: dict[str, float | None]


class DetectionScores(Spec, frozen=True, kw_only=True):
    """Scores of detections on a split, in [0, 1]; `mean_ap` is None where the boxes are with a server alone.

    `ap` is the average precision of each class, `numbers` are COCO's twelve; `masks` by a detector that has them.
    """

    protocol: str | None = None
    mean_ap: float | None
    ap: dict[str, float | None] = {}
    numbers: dict[str, float] | None = None
    masks: MaskScores | None = None


class DetectorResult(Record, frozen=True, kw_only=True, tag="detector result"):
    """The result of a detector's run."""

    test_images: Natural
    scores: DetectionScores
    validation_scores: DetectionScores | None = None
    seconds: float
    images_per_second: float
    curve: tuple[LogLine, ...]
    run: RunRecord


class LocalisationScores(Spec, frozen=True, kw_only=True):
    """Errors of localisation on a split, in percent; None where only a server knows classes and boxes.

    `true_class_error` is of one box for the image's own class, `errors` of its first 1 to 5 guesses of class and box,
    all without the blacklisted images; `class_errors` are of the classes alone, `true_class_error_of_all` is of the own
    class, both of all images.
    """

    images: Natural  # that count
    blacklisted: Natural = 0
    true_class_error: Percent | None = None
    true_class_error_of_all: Percent | None = None
    errors: Annotated[tuple[Percent, ...], msgspec.Meta(min_length=1)] | None = None
    class_errors: Annotated[tuple[Percent, ...], msgspec.Meta(min_length=1)] | None = None

    def completed(self, other: LocalisationScores) -> LocalisationScores:
        """Return these scores, with those of another test of the same images that are None here."""
        lacking = [name for name in self.__struct_fields__ if getattr(self, name) is None]
        return self.with_changes(**{name: getattr(other, name) for name in lacking})


class LocaliserResult(Record, frozen=True, kw_only=True, tag="localiser result"):
    """The result of a localiser's run; the scores are of the centre crop."""

    test_images: Natural
    scores: LocalisationScores
    validation_scores: LocalisationScores | None = None
    seconds: float
    images_per_second: float
    curve: tuple[LogLine, ...]
    run: RunRecord


Result = ClassifierResult | DetectorResult | LocaliserResult


def result_next_to(weights: Path, kind: type[R], network: NetworkSpec | None) -> R | None:
    """Return the result of the run whose weights these are; None for a file of another name or of another network.

    Raises: RunError.
    """
    found = base.read(weights.with_name("result.json"), kind) if weights.name == "weights.safetensors" else None
    return None if found is None or found.run.network.spec != network else found


def folder_of(path: Path) -> Path:
    """Return the folder of a run by that or its weights file."""
    return path if path.is_dir() else path.parent


def record_of(path: Path) -> RunRecord | None:
    """Return the record of a run by its folder or its weights file; None where they are of no run. Raises: RunError."""
    return base.read(folder_of(path) / "run.json", RunRecord)


def source_of_runs(paths: Iterable[Path]) -> str:
    """Return the source of the data that runs were trained on, each by its folder or its weights file.

    Raises: UsageError, if the data of one is not known or has no source, or if they are of several; RunError.
    """
    found: dict[str, Path] = {}
    for path in paths:
        run = record_of(path)
        if run is None:
            raise UsageError(f"{path} is not of a run, so its data is not known; name it with --data")
        if run.data.source is None:
            raise UsageError(f"{path} was trained on data that was passed as an object; pass it again")
        found.setdefault(run.data.source, path)
    if len(found) != 1:
        raise UsageError(f"the runs were trained on {' and '.join(found)}; name the data of all with --data")
    return next(iter(found))
