"""Measurement of a few steps, tests and checkpoints on this machine, with the code of a run."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from resnets.data.loading import Batching
from resnets.data.map_datasets import MapSplit
from resnets.data.shared_batches import BatchPool
from resnets.data.splits import Split
from resnets.errors import UsageError
from resnets.evaluation.single_view import SingleView
from resnets.networks.complexity import Complexity
from resnets.networks.cuda_graph import WARM_UP
from resnets.planning import dataset_stats
from resnets.planning.forecast import DISK_RATE, LOG_SECONDS, Rates, checkpoint_bytes
from resnets.records.runs import LogLine
from resnets.runtime.device import keep_freed_memory, place
from resnets.runtime.turns import Session
from resnets.specs import AreaCropFlip, InputSpec, Precision
from resnets.training.classification import ClassificationTask
from resnets.training.config import Training
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState
from resnets.training.step import COMPILE_FROM, depth_of
from resnets.training.together import Process, train_together
from resnets.training.trainer import iterate

WORKERS = 2  # processes that read image files, as `train` has by default
STEP_MACS = 7e10  # of the images of a step on a CPU, in the forward pass: some two seconds a step
SECONDS = 6.0  # of steps that are timed, after three that are not
QUICK_SECONDS = 1.0  # likewise, where one of many runs is measured
QUICK_STEP_MACS = 2e10  # and the images of its steps
QUICK_LIMIT = 20.0  # seconds, after which its measurement ends with the first step that is timed
TEST_SECONDS = 1.0  # of images that are tested, several times
INTERVALS = 5  # in which steps are timed


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """What a step of `batch_size` images takes, and what the first ones took beyond that.

    `step` is the median over the intervals that were timed; `spread` is from the fastest to the slowest of them,
    as a share of it.

    Units: seconds.
    """

    batch_size: int
    step: float
    start: float
    spread: float
    steps: int


class _Stopwatch:
    """Times intervals of steps, after a warm-up; called after each step, it returns whether all are done.

    A GPU is waited for at the end of an interval only, so that within one it works as in a run.
    """

    def __init__(self, device: torch.device, warm_up: int, seconds: float, limit: float = math.inf) -> None:
        self.device = device
        self.end = time.perf_counter() + limit
        self.warm_up, self.interval = warm_up, seconds / INTERVALS
        self.done = 0
        self.steps = 0  # of this interval
        self.intervals: list[tuple[int, float]] = []  # steps, seconds
        self.mark = time.perf_counter()

    def after_step(self) -> bool:
        self.done += 1
        self.steps += 1
        late = time.perf_counter() > self.end
        waiting = self.done < self.warm_up or (self.intervals and time.perf_counter() - self.mark < self.interval)
        if waiting and not late:
            return False
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.intervals.append((self.steps, now - self.mark))
        self.steps, self.mark = 0, now
        return len(self.intervals) > (1 if late else INTERVALS)  # the warm-up is the first


def measure_steps(
    training: Training, *, warm_up: int = 3, seconds: float = 5.0, limit: float = math.inf
) -> tuple[StepTime, TrainingState]:
    """Train for a few steps, as a run would, and return what one takes and the state that they led to.

    After `warm_up` steps, `seconds` are timed in five intervals of one step or more each. After `limit` seconds a
    single step that was timed is enough.

    Raises: TrainingError, DataError, as a run.
    """
    device = training.device
    task, state = _endless(training)
    stopwatch = _Stopwatch(device, _warm_up(warm_up, device), seconds, limit)
    with closing(iterate(task, state)) as steps:
        for _ in steps:
            if stopwatch.after_step():
                break
    (first, first_seconds), *timed = stopwatch.intervals
    means = [elapsed / steps for steps, elapsed in timed]
    step = statistics.median(means)
    found = StepTime(
        batch_size=training.recipe.batch_size,
        step=step,
        start=max(0.0, first_seconds - first * step),
        spread=(max(means) - min(means)) / step,
        steps=sum(steps for steps, _ in timed),
    )
    return found, state


def timed_batch(
    batch_size: int, macs: int, device: torch.device, *, step_macs: float, largest: float = math.inf
) -> int:
    """Return how many images of a mini-batch are timed at once: all, or it halved until they are at most `largest`.

    On a CPU, an image of which takes `macs` multiply-adds, it is also halved until they take at most `step_macs`.
    """
    most = min(largest, step_macs / macs) if device.type == "cpu" else largest
    while batch_size > max(1, most):
        batch_size = math.ceil(batch_size / 2)
    return batch_size


def measure_round(trainings: Sequence[Training], *, seconds: float = 5.0) -> float:
    """Return the seconds in which several trainings that take turns in one process do a step each.

    Raises: TrainingError, MemoryError or torch.OutOfMemoryError, DataError, as a run.
    """
    device = trainings[0].device
    stopwatch = _Stopwatch(device, _warm_up(3, device), seconds, QUICK_LIMIT)
    done = False

    def run(training: Training, process: Process) -> Session[None]:
        nonlocal done
        task, state = _endless(training, process.pool)
        for iteration in iterate(task, state):
            yield iteration
            if training is trainings[0]:  # whose turn comes once a round
                done = stopwatch.after_step()
            if done:
                return

    depths = [depth_of(training.network) for training in trainings]
    for outcome in train_together([partial(run, training) for training in trainings], device, depths):
        if outcome is not None:
            raise outcome
    return statistics.median(elapsed / rounds for rounds, elapsed in stopwatch.intervals[1:])


def _endless(training: Training, pool: BatchPool | None = None) -> tuple[ClassificationTask, TrainingState]:
    """Return the task and the start of a training that is as long as is needed, and that no loss ends."""
    network, recipe, device = training.network, training.recipe, training.device
    keep_freed_memory()
    place(network, device)
    depth = depth_of(network)
    long = recipe.iterations * depth >= COMPILE_FROM  # a GPU compiles for long runs alone
    many = 10**9 if long else (COMPILE_FROM - 1) // depth
    augmentation = recipe.augmentation
    if isinstance(augmentation, AreaCropFlip):  # that grow are measured at their largest
        augmentation = augmentation.with_changes(start_crop=None)
    # at so small a rate no loss grows out of bounds, whatever the images are
    endless = recipe.with_changes(iterations=many, lr=1e-6, augmentation=augmentation)
    task = ClassificationTask(dataclasses.replace(training, recipe=endless), pool=pool)
    return task, task.initial_state()


def _warm_up(steps: int, device: torch.device) -> int:
    """Return the steps before the first that is timed: on a GPU with the recording of a graph."""
    return max(steps, WARM_UP + 2) if device.type == "cuda" else steps


def measure_test(
    network: nn.Module,
    split: Split,
    input_spec: InputSpec | None,
    *,
    classes: int,
    device: torch.device,
    precision: Precision,
) -> float:
    """Return the seconds that one image of a split takes to test, from its second and third pass."""
    test = SingleView(network, split, input_spec, classes=classes, device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        samples = test(precision).samples
        times.append((time.perf_counter() - start) / samples)
    return min(times[1:])


def measure_saving(state: TrainingState, folder: Path) -> tuple[float, float]:
    """Return the seconds that a checkpoint of the state and a line of the log take to be on the disk of a folder."""
    saving, logging = [], []
    with RunFolder(folder) as run:
        for iteration in (1, 2):
            state.iteration = iteration
            start = time.perf_counter()
            run.checkpoints.save(state, "measured")
            saving.append(time.perf_counter() - start)
        for iteration in range(5):
            start = time.perf_counter()
            run.log(LogLine(iteration=iteration, lr=0.1, loss=1 / 3, training_error=100 / 3, images=128))
            logging.append(time.perf_counter() - start)
    return min(saving), statistics.median(logging)


@dataclass(frozen=True)
class Measurement:
    """The steps as they were timed, on `batch_size` images each, and the rates of a run that follow from them."""

    steps: StepTime
    rates: Rates


def loading_rate(todo: Training, batch_size: int) -> float:
    """Return the images a second that one core of this machine makes ready for training."""
    if todo.data.train.kind == "photos":
        batch_size = min(batch_size, 16)  # to be done soon
    batching = Batching(batch_size=batch_size, seed=0, device=todo.device, iterations=todo.recipe.iterations)
    batches = todo.data.train.training_batches(todo.input_spec, todo.recipe.augmentation, batching)
    return dataset_stats.loading_rate(batches, batch_size)


def measure(
    todo: Training,
    batch_size: int,
    *,
    largest: int,
    macs: int,
    loading: float,
    folder: Path,
    seconds: float | None = None,
    workers: int = WORKERS,
) -> Measurement:
    """Return what a device takes for its `batch_size` images of a step, and for tests and checkpoints.

    Where they are more than fit in memory (`largest`) or, on a CPU, than can be done in some two seconds, fewer are
    measured and the time is taken in proportion. `loading` is in images a second of one core, `seconds` are those of
    the steps that are timed (None: `SECONDS`), and `workers` the processes that read image files.

    Raises: UsageError, if not even one image fits; TrainingError, DataError.
    """
    if largest < 1:
        raise UsageError(
            "not even one image fits in this machine's memory; `resnets plan --device-kind` is for another"
        )
    seconds = SECONDS if seconds is None else seconds
    steps, state = _measure_steps(todo, batch_size, largest=largest, macs=macs, seconds=seconds, workers=workers)
    test, final_test = _test_seconds(todo, steps, loading, workers)
    save, log = measure_saving(state, folder / "run")
    step = steps.step * batch_size / steps.batch_size
    return Measurement(steps, Rates(step=step, start=steps.start, test=test, final_test=final_test, save=save, log=log))


def measure_quickly(todo: Training, cost: Complexity) -> Rates:
    """Return the rates of a run from a second of its steps; tests and checkpoints are taken in proportion to them.

    On a slow machine it is one step, after some 20 seconds.

    Raises: TrainingError, DataError.
    """
    batch_size = todo.recipe.batch_size
    steps, _ = _measure_steps(
        todo,
        batch_size,
        largest=batch_size,
        macs=cost.macs,
        seconds=QUICK_SECONDS,
        step_macs=QUICK_STEP_MACS,
        limit=QUICK_LIMIT,
    )
    return rates_of(steps, batch_size, todo.precision, cost)


def rates_of(steps: StepTime, batch_size: int, precision: Precision, cost: Complexity) -> Rates:
    """Return the rates of a run with mini-batches of `batch_size` from its steps alone."""
    image = steps.step / steps.batch_size
    precise = 2 if precision == "bf16" else 1  # times as long in float32
    return Rates(
        step=image * batch_size,
        start=steps.start,
        test=image / 3,  # the forward pass
        final_test=precise * image / 3,
        save=checkpoint_bytes(cost) / DISK_RATE,
        log=LOG_SECONDS,
    )


def _measure_steps(
    todo: Training,
    batch_size: int,
    *,
    largest: int,
    macs: int,
    seconds: float,
    workers: int = WORKERS,
    step_macs: float | None = None,
    limit: float = math.inf,
) -> tuple[StepTime, TrainingState]:
    step_macs = STEP_MACS if step_macs is None else step_macs
    measured = timed_batch(batch_size, macs, todo.device, step_macs=step_macs, largest=largest)
    recipe = todo.recipe.with_changes(batch_size=measured)
    record = todo.record.with_changes(workers=workers)
    return measure_steps(dataclasses.replace(todo, recipe=recipe, record=record), seconds=seconds, limit=limit)


def _test_seconds(todo: Training, steps: StepTime, loading: float, workers: int) -> tuple[float, float]:
    """Return the seconds of an image in a test of the curve, and in the final one, which is in float32."""
    split = todo.data.test
    rate = steps.batch_size / steps.step
    count = min(256, len(split), max(8, round(TEST_SECONDS * rate)))
    reading = 0.0
    prepared = split.subsample(count)
    if split.kind != "arrays":  # read before, since starting processes for so few would count too much
        images, labels = next(prepared.test_batches(todo.input_spec, batch_size=count))
        prepared = MapSplit(TensorDataset(images, labels))
        reading = 1 / (loading * max(1, min(workers, os.cpu_count() or 1)))

    def seconds(precision: Precision) -> float:
        passing = measure_test(
            todo.network,
            prepared,
            todo.input_spec,
            classes=len(todo.data.classes),
            device=todo.device,
            precision=precision,
        )
        # a CPU does either, a GPU passes what others read meanwhile
        return passing + reading if todo.device.type == "cpu" else max(passing, reading)

    return seconds(todo.precision), seconds("fp32")
