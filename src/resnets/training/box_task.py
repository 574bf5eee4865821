"""Common parts of detector and localiser trainings: losses by part, their log, their tests and their result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import torch

from resnets.files import writing
from resnets.records.runs import LogLine, Result
from resnets.specs import Precision
from resnets.training.meter import Meter
from resnets.training.resolved import ResolvedTraining
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState

T = TypeVar("T", bound=ResolvedTraining)
S = TypeVar("S")
R = TypeVar("R", bound=Result)


class BoxTask(ABC, Generic[T, S, R]):
    """A training whose steps return losses by part and, last, the share of wrong answers among what was drawn.

    Its curve, of the number that `metric` names, is on the validation images where there are some, so that the test
    images are seen once, at the end.
    """

    metric: ClassVar[str]
    result: Callable[..., R]

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

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the weights file."""

    @abstractmethod
    def scores(self, state: TrainingState, split: str, precision: Precision) -> S:
        """Return the scores on a split, on all processes; where only a server knows its boxes, there are none."""

    @abstractmethod
    def number(self, scores: S) -> float | None:
        """Return the number of the curve, in percent; None where there are no scores."""

    def test(self, state: TrainingState) -> dict[str, float]:
        """Return the number of the curve during training; at the end there is the final test."""
        if state.iteration == self.training.recipe.iterations:
            return {}
        number = self.number(self.scores(state, self.curve_on, self.training.precision))
        self.training.network.train()
        return {} if number is None else {f"{self.curve_on}_{self.metric}": number}

    def finish(self, state: TrainingState, folder: RunFolder | None) -> R:
        training, data = self.training, self.training.data
        if folder is not None:
            with writing(folder.weights):
                self.save(folder.weights)
        state.clock.start()
        scores = self.scores(state, "test", "fp32")
        validation_scores = None if data.validation is None else self.scores(state, "validation", "fp32")
        lines = () if folder is None else folder.logged()
        return self.result(
            test_images=len(data.test),
            scores=scores,
            validation_scores=validation_scores,
            seconds=round(state.clock.total, 1),
            images_per_second=round(state.clock.rate(state.iteration * training.recipe.images), 3),
            curve=tuple(line.with_changes(seconds=0.0, images_per_second=0.0) for line in lines),
            run=training.record,
        )
