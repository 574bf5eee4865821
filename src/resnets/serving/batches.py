"""Dynamic batching: images of many requests are computed together by one thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Views = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Job:
    view: Views
    answer: Future[Probabilities] = field(default_factory=Future)


class Batcher:
    """A thread that computes the images that wait, at most `batch_size` at once.

    With fewer than that it waits `max_wait` seconds, from the first image on, for more. `observe` is given the size of
    each batch.

    Shape: `compute` (N, size, size, channels) uint8 -> (N, classes)
    """

    def __init__(
        self,
        compute: Callable[[Views], Probabilities],
        *,
        batch_size: int,
        max_wait: float,
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._compute, self._observe = compute, observe
        self._batch_size, self._max_wait = batch_size, max_wait
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """The number of images that wait."""
        return self._jobs.qsize()

    def submit(self, view: Views) -> Future[Probabilities]:
        """Return the future probabilities of an image; one that is cancelled in time is not computed.

        Shape: (size, size, channels) uint8 -> (classes,)
        """
        job = _Job(view)
        self._jobs.put(job)
        return job.answer

    def close(self) -> None:
        """Compute what waits, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._next()
            batch = [job for job in batch if job.answer.set_running_or_notify_cancel()]
            if batch:
                self._observe(len(batch))
                self._answer(batch)

    def _next(self) -> tuple[list[_Job], bool]:
        """Return the next batch, and whether it is the last."""
        job = self._jobs.get()
        batch: list[_Job] = []
        until = time.monotonic() + self._max_wait
        while job is not None:
            batch.append(job)
            if len(batch) == self._batch_size:
                return batch, False
            try:
                job = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, False
        return batch, True

    def _answer(self, batch: list[_Job]) -> None:
        try:
            found = self._compute(np.stack([job.view for job in batch]))
        except Exception as error:  # of one of the images, or of the device: the others may still do
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for job in batch:
                self._answer([job])
            return
        for job, probabilities in zip(batch, found, strict=True):
            job.answer.set_result(probabilities)
