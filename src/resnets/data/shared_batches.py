"""Mini-batches of trainings that take turns in one process: each is made once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from resnets.data.loading import Batch, Batching
from resnets.data.splits import Split, TrainingBatches
from resnets.specs import Augmentation, InputSpec


class SharedBatches:
    """The mini-batches of one source, on its device, for any number of trainings that advance together.

    Only the newest is kept: a training that is behind the others makes those that it needs again.
    """

    def __init__(self, source: TrainingBatches, device: torch.device) -> None:
        self.source = source
        self.device = device
        self.made: Iterator[Batch] = iter(())
        self.iteration, self.stop = -1, 0  # of the newest mini-batch, and where `made` ends
        self.version = 0  # of its images, which changes where a network writes into them

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration in range(start, stop):
            if iteration != self.iteration or self.newest[0]._version != self.version:
                self._make(iteration, stop)
            images, labels = self.newest
            if self.device.type == "cuda":
                current = torch.cuda.current_stream(self.device)
                current.wait_event(self.ready)
                images.record_stream(current)  # whose work may outlast its turn
                labels.record_stream(current)
            yield images, labels

    def _make(self, iteration: int, stop: int) -> None:
        if iteration != self.iteration + 1 or iteration >= self.stop:
            self.close()
            self.made, self.stop = self.source.batches(iteration, stop), stop
        images, labels = next(self.made)
        self.newest = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        self.iteration, self.version = iteration, self.newest[0]._version
        if self.device.type == "cuda":
            self.ready = torch.cuda.Event()
            self.ready.record(torch.cuda.current_stream(self.device))

    def close(self) -> None:
        """End the processes that read images."""
        close = getattr(self.made, "close", None)  # of a generator
        if close is not None:
            close()
        self.iteration, self.stop = -1, 0


class BatchPool:
    """The mini-batches of several trainings: those of the same images, seed and augmentation are shared."""

    def __init__(self) -> None:
        self.shared: list[tuple[Split, object, SharedBatches]] = []

    def batches_of(
        self, split: Split, input_spec: InputSpec | None, augmentation: Augmentation | None, batching: Batching
    ) -> SharedBatches:
        """Return the mini-batches of a training, as `Split.training_batches`."""
        how = (input_spec, augmentation, batching)
        for other, its, shared in self.shared:
            if other is split and its == how:
                return shared
        shared = SharedBatches(split.training_batches(input_spec, augmentation, batching), batching.device)
        self.shared.append((split, how, shared))
        return shared

    def close(self) -> None:
        """End the processes that read images."""
        for _, _, shared in self.shared:
            shared.close()
