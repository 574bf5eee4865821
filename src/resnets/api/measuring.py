"""What a plan measures on this machine: a few steps, tests and checkpoints of what `train` would begin."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import TensorDataset

from resnets.api.resolution import Resolved
from resnets.data import kinds
from resnets.data.datasets import ImageArrays, ImageFiles, Images
from resnets.data.pipeline import TrainingBatches, single_pass, training_batches
from resnets.data.streams import some_of
from resnets.errors import UsageError
from resnets.networks.complexity import Complexity
from resnets.runtime.device import Precision
from resnets.specs import AreaCropFlip
from resnets.training.forecast import DISK_RATE, LOG_SECONDS, Rates, checkpoint_bytes
from resnets.training.measure import StepTime, measure_saving, measure_steps, measure_test
from resnets.training.state import TrainingState

WORKERS = 2  # processes that read image files, as `train` has by default
STEP_MACS = 7e10  # of the images of a step on a CPU, in the forward pass: some two seconds a step
SECONDS = 6.0  # of steps that are timed, after three that are not
QUICK_SECONDS = 1.0  # likewise, where one of many runs is measured
TEST_SECONDS = 1.0  # of images that are tested, several times


@dataclass(frozen=True)
class Measurement:
    """The steps as they were timed, on `batch_size` images each, and the rates of a run that follow from them."""

    steps: StepTime
    rates: Rates


def loading_rate(todo: Resolved, batch_size: int) -> float:
    """Return the images a second that one core of this machine makes ready for training."""
    if isinstance(todo.data.train, ImageFiles):
        batch_size = min(batch_size, 16)  # to be done soon
    return kinds.loading_rate(_batches(todo, batch_size, workers=0), batch_size)


def measure(
    todo: Resolved,
    batch_size: int,
    *,
    largest: int,
    macs: int,
    loading: float,
    folder: Path,
    seconds: float = SECONDS,
    workers: int = WORKERS,
) -> Measurement:
    """Return what a device takes for its `batch_size` images of a step, and for tests and checkpoints.

    Where they are more than fit in memory (`largest`) or, on a CPU, than can be done in some two seconds, fewer are
    measured and the time is taken in proportion. `loading` is in images a second of one core, `seconds` are those of
    the steps that are timed, and `workers` the processes that read image files.

    Raises: UsageError, if not even one image fits; TrainingError, DataError.
    """
    if largest < 1:
        raise UsageError("not even one image fits in this machine's memory; --device-kind plans for another")
    steps, state = _measure_steps(todo, batch_size, largest=largest, macs=macs, seconds=seconds, workers=workers)
    test, final_test = _test_seconds(todo, steps, loading, workers)
    save, log = measure_saving(state, folder / "run")
    step = steps.step * batch_size / steps.batch_size
    return Measurement(steps, Rates(step=step, start=steps.start, test=test, final_test=final_test, save=save, log=log))


def measure_quickly(todo: Resolved, cost: Complexity) -> Rates:
    """Return the rates of a run from a second of its steps; tests and checkpoints are taken in proportion to them.

    Raises: TrainingError, DataError.
    """
    batch_size = todo.recipe.batch_size
    steps, _ = _measure_steps(todo, batch_size, largest=batch_size, macs=cost.macs, seconds=QUICK_SECONDS)
    image = steps.step / steps.batch_size
    precise = 2 if todo.precision == "bf16" else 1  # times as long in float32
    return Rates(
        step=image * batch_size,
        start=steps.start,
        test=image / 3,  # the forward pass
        final_test=precise * image / 3,
        save=checkpoint_bytes(cost) / DISK_RATE,
        log=LOG_SECONDS,
    )


def _measure_steps(
    todo: Resolved, batch_size: int, *, largest: int, macs: int, seconds: float, workers: int = WORKERS
) -> tuple[StepTime, TrainingState]:
    measured = batch_size
    while measured > 1 and (measured > largest or (todo.device.type == "cpu" and measured * macs > STEP_MACS)):
        measured = math.ceil(measured / 2)
    return measure_steps(
        todo.network,
        dataclasses.replace(todo.recipe, batch_size=measured),
        _batches(todo, measured, workers=workers),
        device=todo.device,
        precision=todo.precision,
        seconds=seconds,
    )


def _batches(todo: Resolved, batch_size: int, *, workers: int) -> TrainingBatches:
    augmentation = todo.recipe.augmentation
    if isinstance(augmentation, AreaCropFlip):  # that grow are measured at their largest
        augmentation = dataclasses.replace(augmentation, growing_from=None)
    return training_batches(
        todo.data.train,
        todo.convention,
        batch_size=batch_size,
        seed=0,
        augmentation=augmentation,
        workers=workers,
        device=todo.device,
    )


def _test_seconds(todo: Resolved, steps: StepTime, loading: float, workers: int) -> tuple[float, float]:
    """Return the seconds of an image in a test of the curve, and in the final one, which is in float32."""
    split = todo.data.test
    rate = steps.batch_size / steps.step
    count = min(256, len(split), max(8, round(TEST_SECONDS * rate)))  # type: ignore[arg-type]
    reading = 0.0
    prepared: Images = some_of(split, count)
    if not isinstance(split, ImageArrays):  # read before, since starting processes for so few would count too much
        images, labels = next(single_pass(prepared, todo.convention, batch_size=count))
        prepared = TensorDataset(images, labels)
        reading = 1 / (loading * max(1, min(workers, os.cpu_count() or 1)))

    def seconds(precision: Precision) -> float:
        passing = measure_test(
            todo.network,
            prepared,
            todo.convention,
            classes=len(todo.data.classes),
            device=todo.device,
            precision=precision,
        )
        # a CPU does either, a GPU passes what others read meanwhile
        return passing + reading if todo.device.type == "cpu" else max(passing, reading)

    return seconds(todo.precision), seconds("fp32")
