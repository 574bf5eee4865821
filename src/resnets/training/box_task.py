"""Common parts of detector and localiser trainings: losses by part, their log, and the choice of test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch

from resnets.records.runs import LogLine
from resnets.training.meter import Meter
from resnets.training.resolved import ResolvedTraining
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState

T = TypeVar("T", bound=ResolvedTraining)


class BoxTask(Generic[T]):
    """A training whose steps return losses by part and, last, the share of wrong answers among what was drawn.

    Its curve is on the validation images where there are some, so that the test images are seen once, at the end.
    """

    def __init__(self, training: T, losses: Sequence[str]) -> None:
        self.training, self.losses = training, tuple(losses)
        self.curve_on = "test" if training.data.validation is None else "validation"

    def start(self) -> TrainingState:
        training = self.training
        state = TrainingState.start(training.network, training.recipe, training.device, training.world)
        sums = torch.zeros(len(self.losses) + 1, dtype=torch.float64, device=training.device)
        state.meter = Meter(sums, state.meter.wrong)
        return state

    def log_line(self, state: TrainingState) -> LogLine:
        images = state.meter.images
        *losses, wrong = (state.meter.loss_sum / images).tolist()
        return LogLine(
            iteration=state.iteration,
            lr=state.lr,
            loss=sum(losses),
            losses=dict(zip(self.losses, losses, strict=True)),
            training_error=100.0 * wrong,  # of what was drawn
            images=images,
        )

    def time_and_curve(self, state: TrainingState, folder: RunFolder | None) -> dict[str, Any]:
        """Return the fields of a result that say how long the run took, and what its log has."""
        lines = () if folder is None else folder.logged()
        return {
            "seconds": round(state.clock.total, 1),
            "images_per_second": round(state.clock.rate(state.iteration * self.training.recipe.images), 3),
            "curve": tuple(line.with_changes(seconds=0.0, images_per_second=0.0) for line in lines),
        }
