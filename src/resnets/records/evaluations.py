"""Records of tests of trained networks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from resnets.records.base import Record, in_short
from resnets.records.counts import Interval, Percent
from resnets.records.runs import (
    ClassifierResult,
    DetectionScores,
    DetectorResult,
    LocalisationScores,
    LocaliserResult,
    Provenance,
)
from resnets.specs import Setting, Spec
from resnets.specs.base import Natural, Positive

Scale = Literal["full", "short", "smoke"]
"""Of a run's length: the declared one, a sixteenth or more, or less."""

SCALES: tuple[Scale, ...] = get_args(Scale)


class Tested(Spec, frozen=True, kw_only=True):
    """Counts over a test set. Errors in percent; an interval is Wilson's, of 95 % confidence."""

    network: str
    samples: Positive
    top1_wrong: Natural
    top1_error: Percent
    top1_interval: Interval
    top5_wrong: Natural
    top5_error: Percent
    top5_interval: Interval
    loss: float | None  # null where it is not finite
    class_errors: dict[str, Percent | None]

    __repr__ = in_short


class Member(Tested, frozen=True, kw_only=True):
    """One of the networks that were tested, alone.

    `digest` is the evaluation's; `result` is that of the network's run, where it is next to the weights.
    """

    weights: str  # the file
    sha256: str | None  # of it
    scales: tuple[int, ...]
    digest: str | None = None
    result: ClassifierResult | None = None


class Agreement(Spec, frozen=True, kw_only=True):
    """How far an engine agrees with float32 on the first 1,000 test images, or all where there are fewer.

    `logit_difference` is the Euclidean norm of the difference of all logits over that of float32's.
    """

    engine: str
    precision: str
    samples: Positive
    same_top1: Natural  # samples of the same most probable class
    logit_difference: float


class Evaluation(Tested, frozen=True, kw_only=True, tag_field="kind", tag="evaluation"):
    """A test of one network, or of several as an ensemble, whose probabilities are averaged.

    `protocol` is the test's name, and what is unusual of it; `scales` are those of the first member in pixels, () but
    for 144 crops and dense testing. `digest` is the data's, of photos that of their files, also where a network was
    trained on their pixels. `confusion[i][j]` counts the images of class i taken for class j; it is in no file.
    `agreement` compares an engine with float32, where one ran on single views.
    """

    version: Literal[1] = 1
    data: str
    digest: str | None = None
    protocol: str
    flips: bool
    scales: tuple[int, ...]
    precision: str
    confusion: tuple[tuple[int, ...], ...] | UnsetType = UNSET
    members: tuple[Member, ...]
    agreement: Agreement | None = None
    provenance: Provenance


class Response(Spec, frozen=True, kw_only=False):
    """Standard deviation of a layer's response: over all images at once, and of the median image.

    The last two are by batch norm's statistics of each mini-batch instead of its running ones.
    """

    layer: str
    std: float
    median: float | None = None
    batch_std: float | None = None
    batch_median: float | None = None


class Calibration(Spec, frozen=True, kw_only=True):
    """The temperature of calibrated weights, and what it changed on test images; it is part of their last layer.

    Logits are those of training divided by `temperature`, which was fitted on `validation_images`. `ece` is the
    expected calibration error in percent, `nll` the mean negative log-likelihood in nats.
    """

    temperature: float
    data: str
    validation_images: Natural
    test_images: Natural
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float


class LayerResponses(Spec, frozen=True, kw_only=True):
    """How strongly the layers of a network respond: the first convolution and each other 3x3 one, in their order.

    `digest` is the data's, as that of an `Evaluation`, `images` how many test images it was measured on, `bn_group` how
    many of them at most shared batch statistics, `result` that of the network's run, None without one.
    """

    network: str
    source: str  # the run's folder, or the weights file
    data: str
    images: Natural
    device: str = "cpu"
    layers: Annotated[tuple[Response, ...], msgspec.Meta(min_length=1)]
    digest: str | None = None
    bn_group: Positive | None = None
    result: ClassifierResult | None = None

    @property
    def by_magnitude(self) -> tuple[Response, ...]:
        """The layers with the strongest response first, as in the lower panel of Figure 7."""
        return tuple(sorted(self.layers, key=lambda response: -response.std))

    @property
    def mean(self) -> Response:
        """Mean over the layers, of each number."""
        return mean_of(self.layers)


class Responses(Record, frozen=True, kw_only=True, tag="responses"):
    """Layer responses of one or more networks, and how they were measured."""

    protocol: str
    networks: tuple[LayerResponses, ...]
    provenance: Provenance


class DetectionEvaluation(Record, frozen=True, kw_only=True, tag="detection evaluation"):
    """The result of detectors on a split. `scores` are the protocol's numbers, in [0, 1].

    `digest` is the data's, in which `repairs` annotations had to be repaired, which the official tools take as they
    are; `results` are those of the detectors' runs, where they are next to the weights.
    """

    networks: tuple[str, ...]
    data: str
    digest: str | None = None
    split: str
    images: Natural
    repairs: Natural = 0
    protocol: str
    box_refinement: bool = False
    multi_scale: bool = False
    refinements: tuple[str, ...] = ()
    mean_ap: float | None
    scores: DetectionScores
    seconds_per_image: float
    results: tuple[DetectorResult | None, ...]
    provenance: Provenance


class LocalisationEvaluation(Record, frozen=True, kw_only=True, tag="localisation evaluation"):
    """The result of localisers on a split, and of classifiers that guess its classes, where there are any.

    `networks` are those of each localiser, its second stage after the first. `digest` is the data's; `results` are
    those of the localisers' runs, where they are next to the weights.
    """

    networks: tuple[tuple[str, ...], ...]
    classifiers: tuple[str, ...] = ()
    data: str
    digest: str | None = None
    split: str
    protocol: str
    scales: tuple[int, ...] = ()  # of dense testing, where they are not the recipe's
    voting: bool
    scores: LocalisationScores
    seconds_per_image: float
    results: tuple[LocaliserResult | None, ...]
    provenance: Provenance


class Errors(Spec, frozen=True, kw_only=False):
    """Of one test protocol, in percent."""

    top1: Percent
    top5: Percent | None = None


class DetectionTested(Spec, frozen=True, kw_only=True):
    """A test of a detector, and its scores."""

    protocol: str
    box_refinement: bool = False
    multi_scale: bool = False
    scores: DetectionScores


class LocalisationTested(Spec, frozen=True, kw_only=True):
    """A test of a localiser, and its scores."""

    protocol: str
    scores: LocalisationScores


class ReproducedRun(Record, frozen=True, kw_only=True, tag="reproduced run"):
    """A run of a reproduction: its result, what it answers, on which data, and further tests of it.

    `identity` is the SHA-256 of network, recipe, data, seed and version; `errors` are by test protocol, `tests` are a
    detector's and `localisations` a localiser's.
    """

    result: ClassifierResult | DetectorResult | LocaliserResult
    declared: Setting
    data: str
    scale: Scale
    identity: str
    errors: dict[str, Errors] = {}
    responses: tuple[Response, ...] = ()
    tests: tuple[DetectionTested, ...] = ()
    localisations: tuple[LocalisationTested, ...] = ()


def mean_of(layers: Sequence[Response]) -> Response:
    """Return the mean over the layers of each number that all of them have."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None

    return Response(
        "mean over the layers",
        statistics.fmean(layer.std for layer in layers),
        mean([layer.median for layer in layers]),
        mean([layer.batch_std for layer in layers]),
        mean([layer.batch_median for layer in layers]),
    )
