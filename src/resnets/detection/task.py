"""The detection task: images one by one, losses by part, and average precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnets.data.randomness import sample_bits
from resnets.detection.config import DetectorTraining
from resnets.detection.detector import save_detector
from resnets.detection.pixels import Sample, TrainingSamples
from resnets.detection.predict import detect_by_all
from resnets.records.runs import DetectionScores, DetectorResult
from resnets.specs import Precision
from resnets.training.box_task import BoxTask
from resnets.training.state import TrainingState
from resnets.training.step import Step, averaging, unsent


class DetectionTask(BoxTask[DetectorTraining, DetectionScores, DetectorResult]):
    """The training of a detector. Raises: UsageError, if a mini-batch cannot be shared evenly."""

    metric, result = "map", DetectorResult

    def __init__(self, training: DetectorTraining) -> None:
        super().__init__(training, training.network.losses)
        record = training.record
        self.samples = TrainingSamples(
            training.data.train,
            training.recipe,
            seed=record.seed,
            workers=record.workers,
            share=training.world.share,
        )

    def batches(self, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
        return ((images,) for images in self.samples.batches(start, stop))

    @contextmanager
    def stepping(self, state: TrainingState) -> Iterator[Step]:
        training, device = self.training, self.training.device
        training.network.train().lay_out_for(device, training.precision)
        state.execution = "eager"
        network: nn.Module = training.network
        if training.world.size > 1:
            network = averaging(network, device, all_used=True)

        def step(images: Sequence[Sample]) -> Tensor:
            state.optimizer.zero_grad(set_to_none=True)
            parts = torch.zeros_like(state.meter.loss_sum)
            for number, sample in enumerate(images, 1):  # the gradients add up, and no image is padded
                last = number == len(images)
                self._seed_draws(state.iteration, number)
                with nullcontext() if last else unsent(network):
                    with torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16"):
                        answers = network(*sample.to(device))
                    parts += answers.detach() / len(images)
                    if last:  # before the other processes get any gradient
                        state.guard.watch(parts[:-1].sum(), state.iteration)
                    (answers[:-1].sum() / len(images)).backward()
            state.optimizer.step()
            wrong = torch.zeros_like(state.meter.wrong)
            state.meter.add(parts, wrong, len(images))
            return wrong

        yield step

    def _seed_draws(self, iteration: int, number: int) -> None:
        """Seed what is drawn for an image, which depends on neither the images before it nor the process."""
        place = np.array([self.samples.places.start + number])
        torch.manual_seed(int(sample_bits(self.training.record.seed, np.array([iteration]), place)[0]))

    def save(self, path: Path) -> None:
        save_detector(path, self.training.network, self.training.data.classes)

    def number(self, scores: DetectionScores) -> float | None:
        return None if scores.mean_ap is None else 100.0 * scores.mean_ap

    def scores(self, state: TrainingState, split: str, precision: Precision) -> DetectionScores:
        training, world = self.training, self.training.world
        if split == "test" and not training.data.test_annotated:
            return DetectionScores(mean_ap=None)
        images = training.data.of(split)
        found = detect_by_all(
            world,
            [training.network],
            images,
            device=training.device,
            precision=precision,
            workers=training.record.workers,
        )
        scores = world.broadcast_object(lambda: training.score(images, found))
        state.clock.lap(testing=True)
        return scores
