"""Records of networks that are compared by their depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnets.records.counts import Interval, wilson

CurvePoints = Sequence[tuple[int, float, float]]
"""Of a training: iteration, training error since the point before, and tested error, in percent."""


@dataclass(frozen=True, kw_only=True)
class DepthRow:
    """One trained network. Errors in percent; `training_images` are those that the training error is of."""

    network: str
    depth: int
    residual: bool | None  # None: a registered network
    training_error: float
    training_images: int
    test_error: float
    seconds: float
    curve: CurvePoints


@dataclass(frozen=True, kw_only=True)
class StudyRow(DepthRow):
    """One network of a study; its curve is of the validation images, and `test_error` has no part in any choice.

    Units: seconds of the whole run; bytes of memory, estimated as a plan does.
    """

    validation_error: float
    validation_images: int
    parameters: int
    macs: int
    memory: int

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of the validation error, by the number of images."""
        return wilson(self.validation_error, self.validation_images)


def last_images(curve: CurvePoints, batch_size: int) -> int:
    """Return the number of images that the last training error of a curve is of."""
    *_, before, last = (0, *(point[0] for point in curve))
    return (last - before) * batch_size
