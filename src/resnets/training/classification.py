"""The classification task: mini-batches, tests during training, and the result of a classifier's run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from resnets.data.arrays import ResidentBatches
from resnets.data.loading import Batching
from resnets.data.shared_batches import BatchPool
from resnets.data.splits import Split, TrainingBatches
from resnets.evaluation.metrics import Counts
from resnets.evaluation.single_view import SingleView
from resnets.files import writing
from resnets.networks.fused import fusing
from resnets.networks.sync_batch_norm import average_statistics, norms_across
from resnets.records.runs import ClassifierResult, LogLine
from resnets.runtime.device import fastest_convolutions
from resnets.specs import Precision
from resnets.training.config import Training
from resnets.training.recalibration import recompute_statistics
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState
from resnets.training.step import Step, make_step
from resnets.weights import weights_file


class ClassificationTask:
    """The training of a classifier, whose curve is on the validation images where there are some.

    So the test images are seen once, at the end. `train` are the mini-batches, by default those of the training images,
    from a pool where there is one.

    Raises: UsageError, if a mini-batch cannot be shared evenly.
    """

    def __init__(self, training: Training, train: TrainingBatches | None = None, pool: BatchPool | None = None) -> None:
        self.training = training
        recipe, record = training.recipe, training.record
        batching = Batching(
            batch_size=recipe.batch_size,
            seed=record.seed,
            workers=record.workers,
            device=training.device,
            iterations=recipe.iterations,
            share=training.world.share,
        )
        images = training.data.train
        how = training.input_spec, recipe.augmentation, batching
        if train is None:
            train = images.training_batches(*how) if pool is None else pool.batches_of(images, *how)
        self.train = train
        self.curve_on = "test" if training.data.validation is None else "validation"

    def start(self) -> TrainingState:
        data, state = self.training.data, self.initial_state()
        self.final_test = self._test_of(state.tested, data.test)
        self.curve_test = self.final_test if data.validation is None else self._test_of(state.tested, data.validation)
        return state

    def initial_state(self) -> TrainingState:
        """Return the state before the first iteration, without preparing any test."""
        training, lesson = self.training, self.training.lesson
        if lesson is not None:
            lesson.place(training.device)
        regressor = None if lesson is None else lesson.regressor
        return TrainingState.start(training.network, training.recipe, training.device, training.world, regressor)

    def batches(self, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
        """Yield what each step takes, on the device: a draw of resident images, or images and labels."""
        if isinstance(self.train, ResidentBatches):
            yield from ((draw,) for draw in self.train.draws(start, stop))
            return
        device = self.training.device
        for images, labels in self.train.batches(start, stop):
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    @contextmanager
    def stepping(self, state: TrainingState) -> Iterator[Step]:
        training = self.training
        network, recipe, device, world = state.network, training.recipe, training.device, training.world
        network.train()
        gather = self.train.gather if isinstance(self.train, ResidentBatches) else None
        record = training.record
        weights = None if record.class_weights is None else tuple(record.class_weights.values())
        lesson, precision = training.lesson, training.precision
        step = make_step(state, recipe, device, precision, record.accumulate, weights, world, gather, lesson)
        across = norms_across(network, recipe.batch_size, world)
        listening = nullcontext() if lesson is None else lesson.listening(network)
        with across, fusing(network, device), fastest_convolutions(device), listening:
            yield step

    def log_line(self, state: TrainingState) -> LogLine:
        images = state.meter.images
        return LogLine(
            iteration=state.iteration,
            lr=state.lr,
            loss=state.meter.loss_sum.item() / images,
            training_error=100.0 * state.meter.wrong.item() / images,
            images=images,
        )

    def test(self, state: TrainingState) -> dict[str, float]:
        """Return error and loss on the validation images, or without them on the test images."""
        counts = self._counts(state, self.curve_test, self.training.precision)
        return {f"{self.curve_on}_error": counts.top1_error, f"{self.curve_on}_loss": counts.loss}

    def finish(self, state: TrainingState, folder: RunFolder | None) -> ClassifierResult:
        training, recipe = self.training, self.training.recipe
        if recipe.bn_images is not None:
            self._recalibrate(state, recipe.bn_images)
        if folder is not None:
            with writing(folder.weights):
                weights_file.save(
                    folder.weights, state.tested, classes=training.data.classes, input_spec=training.input_spec
                )
        state.clock.start()
        counts = self._counts(state, self.final_test, "fp32")  # as `evaluate` does, whatever training computed in
        unaveraged: Counts | None = None
        if state.average is not None:  # the last weights themselves, for comparison; then the module gets what is saved
            averaged, state.average = state.average, None
            unaveraged = self._counts(state, self._test_of(training.network, training.data.test), "fp32")
            training.network.load_state_dict(averaged.network.state_dict())
        last = state.curve[-1]
        return ClassifierResult(
            test_error=counts.top1_error,
            test_top5_error=counts.top5_error,
            test_samples=counts.samples,
            training_error=last.training_error,
            validation_error=last.validation_error,
            unaveraged_test_error=None if unaveraged is None else unaveraged.top1_error,
            majority_class_error=self._majority_class_error(counts),
            warm_up_end=state.schedule.warmed_up_at,
            seconds=round(state.clock.total, 1),
            images_per_second=round(state.clock.rate(state.iteration * recipe.batch_size), 1),
            curve=tuple(state.curve),
            run=training.record,
        )

    def _majority_class_error(self, counts: Counts) -> float:
        """Return the test error of always answering the most frequent training class, in percent."""
        labels, tested = self.training.data.train.labels, counts.confusion.sum(1)
        frequent = tested if labels is None else torch.bincount(torch.from_numpy(labels), minlength=len(tested))
        return 100.0 * (1.0 - tested[frequent.argmax()].item() / counts.samples)

    def _recalibrate(self, state: TrainingState, images: int) -> None:
        """Recalibrate batch norm's statistics on the mini-batches after the last one."""
        training = self.training
        enough = -(-images // training.recipe.batch_size)
        batches = self.train.batches(state.iteration, state.iteration + enough)
        recompute_statistics(
            state.tested, batches, images, training.device, training.world, accumulate=training.record.accumulate
        )
        state.clock.lap()

    def _test_of(self, network: nn.Module, split: Split) -> SingleView:
        """Return the test of a network on this process's share of a split."""
        training = self.training
        return SingleView(
            network,
            split.take(training.world.share),
            training.input_spec,
            classes=len(training.data.classes),
            device=training.device,
            workers=training.record.workers,
        )

    def _counts(self, state: TrainingState, test: SingleView, precision: Precision) -> Counts:
        """Test on this process's share of a split, and return the counts over all of it."""
        average_statistics(test.network, self.training.world)
        counts = test(precision).summed(self.training.world)
        state.clock.lap(testing=True)
        return counts
