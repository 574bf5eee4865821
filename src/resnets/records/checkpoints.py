"""Header of checkpoints: all that training changes and is no tensor."""

from __future__ import annotations

from resnets.records.base import Record
from resnets.records.runs import CurvePoint
from resnets.specs import Spec
from resnets.specs.base import Natural


class PlateauState(Spec, frozen=True, kw_only=True):
    """What is known of the training error for the drops on a plateau."""

    best: float | None = None
    stale: int = 0  # points of the curve since the best one or a drop
    drops: int = 0
    images: int = 0  # since the last point
    wrong: float = 0.0  # percent of them, times their number


class ScheduleState(Spec, frozen=True, kw_only=True):
    """State of a schedule: its warm-up with the last training errors, and its plateau, where the recipe has one."""

    warming: bool
    warmed_up_at: int | None
    errors: tuple[float, ...]
    plateau: PlateauState | None


class Progress(Spec, frozen=True, kw_only=True):
    """How far a training is. `clock` is in seconds of training and of tests, `images` those that the meter has summed.

    `since_point` are images, and percent of wrong answers times their number, since the last point of the curve.
    """

    iteration: Natural
    schedule: ScheduleState
    images: Natural
    clock: tuple[float, float]
    curve: tuple[CurvePoint, ...]
    since_point: tuple[Natural, float]


class CheckpointHeader(Record, frozen=True, kw_only=True, tag="checkpoint"):
    """What a checkpoint holds next to its tensors; `run` is the fingerprint of the run."""

    run: str
    progress: Progress
