"""The localisation task: crops with anchors or warped regions, losses by part, and the error on the own class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.localisation.config import LocaliserTraining
from resnets.localisation.inference import LocalisationTest, locate_all
from resnets.localisation.localiser import Localiser, save_localiser
from resnets.localisation.networks import LOSSES, PerClassRCNN, PerClassRPN
from resnets.localisation.proposals import stored_proposals
from resnets.localisation.samples import AnchorSamples, RegionSamples, batches
from resnets.localisation.score import score, truth_of
from resnets.networks.fused import fusing
from resnets.records.runs import LocalisationScores, LocaliserResult
from resnets.runtime.device import fastest_convolutions
from resnets.specs import Precision
from resnets.training.box_task import BoxTask
from resnets.training.state import TrainingState
from resnets.training.step import Step

TEST = LocalisationTest(protocol="center-crop")
"""How a localiser is tested in its training, and at its end."""


class LocalisationTask(BoxTask[LocaliserTraining, LocalisationScores, LocaliserResult]):
    """The training of a localiser. An R-CNN's proposals are computed first, and kept in the run's folder."""

    metric, result = "error", LocaliserResult

    def __init__(
        self, training: LocaliserTraining, folder: Path, progress: Callable[[int, int], None] | None = None
    ) -> None:
        super().__init__(training, LOSSES)
        self.samples = self._samples(folder / "proposals", progress)

    def _samples(self, folder: Path, progress: Callable[[int, int], None] | None) -> AnchorSamples | RegionSamples:
        training, network = self.training, self.training.network
        if isinstance(network, PerClassRPN):
            return AnchorSamples(training.data.train, network)
        record, rpn = training.record, training.rpn
        assert rpn is not None and record.rpn is not None
        proposals = stored_proposals(
            folder,
            rpn,
            training.data.train,
            training.recipe.proposals,
            of=f"{record.rpn.sha256} on {record.data.digest}, {record.data.split}, seed {record.seed}",
            precision=training.precision,
            workers=record.workers,
            progress=progress,
        )
        return RegionSamples(training.data.train, proposals, training.recipe, network.input_spec)

    def batches(self, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
        """Yield what each step takes: images, and what is learnt of them."""
        record, device = self.training.record, self.training.device
        region = isinstance(self.samples, RegionSamples)
        for images, labels, drawn, targets, shifts in batches(
            self.samples, seed=record.seed, workers=record.workers, device=device, start=start, stop=stop
        ):
            yield (images, labels, targets, shifts) if region else (images, labels, drawn, targets, shifts)

    @contextmanager
    def stepping(self, state: TrainingState) -> Iterator[Step]:
        training = self.training
        training.network.train()
        state.execution = "eager"

        def step(*batch: Tensor) -> Tensor:
            state.optimizer.zero_grad(set_to_none=True)
            images = batch[0].contiguous(memory_format=torch.channels_last)
            with torch.autocast(training.device.type, torch.bfloat16, enabled=training.precision == "bf16"):
                parts = training.network(images, *batch[1:])
            loss = parts[: len(LOSSES)].sum()
            state.guard.watch(loss, state.iteration)
            loss.backward()
            state.optimizer.step()
            wrong = torch.zeros_like(state.meter.wrong)
            state.meter.add(parts, wrong, training.recipe.images)
            return wrong

        with fusing(training.network, training.device), fastest_convolutions(training.device):
            yield step

    def save(self, path: Path) -> None:
        localiser = self._localiser()
        save_localiser(path, localiser.rpn, localiser.rcnn, localiser.classes)

    def number(self, scores: LocalisationScores) -> float | None:
        return scores.true_class_error

    def scores(self, state: TrainingState, split: str, precision: Precision) -> LocalisationScores:
        training, images = self.training, self.training.data.of(split)
        if split == "test" and not training.data.test_annotated:
            return LocalisationScores(images=len(images))
        training.network.eval()
        own = [[label] for label in images.files.labels.tolist()]
        found = locate_all(
            [self._localiser()], images.files, own, TEST, precision=precision, workers=training.record.workers
        )
        boxes = [box[0] for box, _ in found]
        scores = score(truth_of(images), boxes=boxes, blacklist=training.data.blacklist_of(split))
        state.clock.lap(testing=True)
        return scores

    def _localiser(self) -> Localiser:
        training, network = self.training, self.training.network
        if isinstance(network, PerClassRPN):
            return Localiser(Path(), network, None, training.data.classes, training.device)
        assert training.rpn is not None and isinstance(network, PerClassRCNN)
        return Localiser(Path(), training.rpn.rpn, network, training.data.classes, training.device)
