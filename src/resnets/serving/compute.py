"""Computation of a server's batches: by the engine, or by the network itself where that is faster for few images."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import numpy as np

from resnets.inference.model import Model
from resnets.serving.batches import Probabilities, Views

REPEATS = 3


def quickest(model: Model, batch_size: int) -> Callable[[Views], Probabilities]:
    """Return what computes the probabilities of images, at most `batch_size` at once.

    What torch.compile made takes the time of a whole batch for any number of images, so with that the network's own
    time is measured too, for one image and for a batch.

    Shape: (N, size, size, channels) uint8 -> (N, classes)
    Raises: WeightsError, as `probabilities` of a model.
    """
    engine = model.engine
    if engine is None or engine.name != "compile":
        return lambda views: model.probabilities(views).cpu().numpy()
    plain, whole = dataclasses.replace(model, engine=None), max(2, min(batch_size, engine.batch_size))
    one, many = (_seconds(plain, count) for count in (1, whole))

    def compute(views: Views) -> Probabilities:
        alone = one + (many - one) * (len(views) - 1) / (whole - 1)
        way = plain if alone < engine.seconds else model
        return way.probabilities(views, precision=engine.precision).cpu().numpy()

    return compute


def _seconds(model: Model, count: int) -> float:
    """Return the median time of some images."""
    _, spec = model.classes_and_input()
    views = np.zeros((count, spec.size, spec.size, spec.channels), np.uint8)
    times: list[float] = []
    while len(times) < REPEATS:
        start = time.perf_counter()
        model.probabilities(views).cpu()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
