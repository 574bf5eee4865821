"""Records of studies, which compare networks by their depth: study.json."""

from __future__ import annotations

from collections.abc import Iterable

from resnets.records.base import Record
from resnets.records.counts import Interval, Percent
from resnets.records.runs import Sessions
from resnets.specs import Recipe, Spec
from resnets.specs.base import Natural, Positive

CurvePoints = tuple[tuple[Natural, Percent, Percent], ...]
"""Of a training: iteration, training error since the point before, and tested error, in percent."""


class DepthRow(Spec, frozen=True, kw_only=True):
    """One trained network. Errors in percent; `training_images` are those that the training error is of."""

    network: str
    depth: int
    residual: bool | None  # None: a registered network
    training_error: Percent
    training_images: Positive
    test_error: Percent
    seconds: float
    curve: CurvePoints


class StudyRow(DepthRow, frozen=True, kw_only=True):
    """One network of a study; its curve is of the validation images, and `test_error` has no part in any choice.

    `interval` is the 95 % confidence interval of the validation error. Units: seconds of the whole run; bytes of
    memory, estimated as a plan does.
    """

    validation_error: Percent
    validation_images: Positive
    interval: Interval
    parameters: Natural
    macs: Natural
    memory: Natural


class StudyRequest(Spec, frozen=True, kw_only=True):
    """What is studied; a study is continued with the same. None is the default; `budget` is in seconds."""

    data: str  # the digest, or the name of data without one
    depths: tuple[int, ...] | None
    kinds: tuple[str, ...]
    networks: tuple[str, ...] | None
    budget: float
    recipe: Recipe | None
    seed: int
    precision: str


class PlannedNetwork(Spec, frozen=True, kw_only=True):
    """One network of a study. Units: estimated seconds of the whole run; bytes of estimated memory."""

    network: str
    depth: int
    residual: bool | None  # None: a registered network
    parameters: Natural
    macs: Natural
    memory: Natural
    seconds: float


class StudyPlan(Spec, frozen=True, kw_only=True):
    """What a study does: the same iterations for each network, within a budget in seconds, on the same images.

    `split` is how the validation images are drawn from the training images, `all` where the data has its own.
    `majority_class_error` is the validation error, in percent, of always naming the most frequent class.
    """

    data: str
    classes: Positive
    training_images: Positive
    validation_images: Positive
    majority_class_error: Percent
    test_images: Natural
    split: str
    recipe: str
    iterations: Positive
    batch_size: Positive
    first_drop: Natural  # the iteration at which the learning rate is lowered first; half of all where it never jumps
    seed: int
    budget: float
    networks: tuple[PlannedNetwork, ...]
    left_out: dict[str, str] = {}  # networks whose first steps failed, and why

    @property
    def seconds(self) -> float:
        """The estimated time of all runs."""
        return sum(network.seconds for network in self.networks)


class Recommendation(Spec, frozen=True, kw_only=False):
    """The network to take, why, and what to beware of, in sentences; `network` is None where it is too early to say."""

    network: str | None
    headline: str
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]


class StudyRecord(Record, frozen=True, kw_only=True, tag="study"):
    """A study: its plan, which it is continued by, and its results once all networks are trained.

    `failed` gives the error of each network that could not be trained.
    """

    request: StudyRequest
    plan: StudyPlan
    rows: tuple[StudyRow, ...] = ()
    failed: dict[str, str] = {}
    recommendation: Recommendation | None = None
    degradation: tuple[str, ...] = ()
    provenance: Sessions


def last_images(iterations: Iterable[int], batch_size: int) -> int:
    """Return the number of images that the last training error of a curve with these points is of."""
    *_, before, last = (0, *iterations)
    return (last - before) * batch_size
