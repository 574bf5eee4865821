"""The detection task: images one by one, losses by part, and average precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from resnets.detection.annotations import AnnotatedImage
from resnets.detection.config import DetectorTraining
from resnets.detection.detector import save_detector
from resnets.detection.pixels import TrainingSamples
from resnets.detection.predict import detect_all
from resnets.files import writing
from resnets.records.runs import DetectionScores, DetectorResult, LogLine
from resnets.specs import Precision
from resnets.training.meter import Meter
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState
from resnets.training.step import Step


class DetectionTask:
    """The training of a detector, whose curve is on the validation images where there are some.

    So the test images are seen once, at the end.
    """

    def __init__(self, training: DetectorTraining) -> None:
        self.training = training
        self.curve_on = "test" if training.data.validation is None else "validation"

    def start(self) -> TrainingState:
        training = self.training
        state = TrainingState.start(training.network, training.recipe, training.device)
        count = len(training.network.losses) + 1  # and the wrong regions' share
        sums = torch.zeros(count, dtype=torch.float64, device=training.device)
        state.meter = Meter(sums, state.meter.wrong)
        return state

    def batches(self, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
        training, record = self.training, self.training.record
        samples = TrainingSamples(training.data.train, training.recipe, seed=record.seed, workers=record.workers)
        return ((images,) for images in samples.batches(start, stop))

    @contextmanager
    def stepping(self, state: TrainingState) -> Iterator[Step]:
        training = self.training
        training.network.train().lay_out_for(training.device, training.precision)
        state.execution = "eager"

        def step(images: Sequence[Any]) -> Tensor:
            state.optimizer.zero_grad(set_to_none=True)
            parts = torch.zeros_like(state.meter.loss_sum)
            for sample in images:  # one after the other: the gradients add up, and no image is padded
                with torch.autocast(training.device.type, torch.bfloat16, enabled=training.precision == "bf16"):
                    answers = training.network(*sample.to(training.device))
                (answers[:-1].sum() / len(images)).backward()
                parts += answers.detach() / len(images)
            state.guard.watch(parts[:-1].sum(), state.iteration)
            state.optimizer.step()
            wrong = torch.zeros_like(state.meter.wrong)
            state.meter.add(parts, wrong, len(images))
            return wrong

        yield step

    def log_line(self, state: TrainingState) -> LogLine:
        images = state.meter.images
        *losses, wrong = (state.meter.loss_sum / images).tolist()
        return LogLine(
            iteration=state.iteration,
            lr=state.lr,
            loss=sum(losses),
            losses=dict(zip(self.training.network.losses, losses, strict=True)),
            training_error=100.0 * wrong,  # of the regions that were drawn
            images=images,
        )

    def test(self, state: TrainingState) -> dict[str, float]:
        """Return the mAP in percent during training; at the end there is the final test."""
        training, data = self.training, self.training.data
        if state.iteration == training.recipe.iterations:
            return {}
        scores = self._scores(state, data.test if data.validation is None else data.validation, training.precision)
        training.network.train()
        return {} if scores.mean_ap is None else {f"{self.curve_on}_map": 100.0 * scores.mean_ap}

    def finish(self, state: TrainingState, folder: RunFolder | None) -> DetectorResult:
        assert folder is not None
        training, data = self.training, self.training.data
        with writing(folder.weights):
            save_detector(folder.weights, training.network, data.classes)
        state.clock.start()
        images = state.iteration * training.recipe.batch_size
        return DetectorResult(
            test_images=len(data.test),
            scores=self._scores(state, data.test, "fp32"),
            validation_scores=None if data.validation is None else self._scores(state, data.validation, "fp32"),
            seconds=round(state.clock.total, 1),
            images_per_second=round(state.clock.rate(images), 3),
            curve=tuple(line.with_changes(seconds=0.0, images_per_second=0.0) for line in folder.logged()),
            run=training.record,
        )

    def _scores(self, state: TrainingState, split: Sequence[AnnotatedImage], precision: Precision) -> DetectionScores:
        """Return the scores on a split; where only a server knows its boxes, there are none."""
        training = self.training
        if split is training.data.test and not training.data.test_annotated:
            return DetectionScores(mean_ap=None)
        found = detect_all(
            [training.network], split, device=training.device, precision=precision, workers=training.record.workers
        )
        scores = training.score(split, list(found))
        state.clock.lap(testing=True)
        return scores
