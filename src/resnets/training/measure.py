"""How long a step, a test and a checkpoint take: a few of each on this machine, through the code that a run takes."""

from __future__ import annotations

import dataclasses
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from resnets.data.datasets import Images
from resnets.data.pipeline import TrainingBatches
from resnets.evaluation.protocols import SingleView
from resnets.networks.cuda_graph import WARM_UP
from resnets.runtime.device import Precision, keep_freed_memory, place
from resnets.specs import InputConvention, Recipe
from resnets.training.loop import train
from resnets.training.run import RunFolder
from resnets.training.state import TrainingState
from resnets.training.step import COMPILE_FROM, depth_of

STRETCHES = 5


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """What a step of `batch_size` images takes, and what the first ones took beyond that.

    `step` is the median over the stretches that were timed; `spread` is from the fastest to the slowest of them,
    as a share of it.

    Units: seconds.
    """

    batch_size: int
    step: float
    start: float
    spread: float
    steps: int


class _Enough(Exception):
    """All stretches are timed."""


class _Stopwatch:
    """Times stretches of steps, after a warm-up; called after each step, it raises `_Enough` when they are done.

    A GPU is waited for at the end of a stretch only, so that within one it works as in a run.
    """

    def __init__(self, device: torch.device, warm_up: int, seconds: float) -> None:
        self.device = device
        self.warm_up, self.stretch = warm_up, seconds / STRETCHES
        self.done = 0
        self.steps = 0  # of this stretch
        self.stretches: list[tuple[int, float]] = []  # steps, seconds
        self.mark = time.perf_counter()

    def after_step(self) -> None:
        self.done += 1
        self.steps += 1
        if self.done < self.warm_up or (self.stretches and time.perf_counter() - self.mark < self.stretch):
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.stretches.append((self.steps, now - self.mark))
        self.steps, self.mark = 0, now
        if len(self.stretches) > STRETCHES:  # the warm-up is the first
            raise _Enough


def measure_steps(
    network: nn.Module,
    recipe: Recipe,
    batches: TrainingBatches,
    *,
    device: torch.device,
    precision: Precision,
    warm_up: int = 3,
    seconds: float = 5.0,
) -> tuple[StepTime, TrainingState]:
    """Train for a few steps, as a run would, and return what one takes and the state that they led to.

    After `warm_up` steps, `seconds` are timed in five stretches of one step or more each.

    Raises: TrainingError, DataError, as a run.
    """
    keep_freed_memory()
    place(network, device)
    state = TrainingState.start(network, recipe, device)
    warm_up = max(warm_up, WARM_UP + 2) if device.type == "cuda" else warm_up  # with the recording of a graph
    stopwatch = _Stopwatch(device, warm_up, seconds)
    # at so small a rate no loss grows out of bounds, whatever the images are
    depth = depth_of(network)
    long = recipe.iterations * depth >= COMPILE_FROM  # a GPU compiles for long runs alone
    many = 10**9 if long else (COMPILE_FROM - 1) // depth
    endless = dataclasses.replace(recipe, iterations=many, lr=1e-6)
    with suppress(_Enough):
        train(state, endless, batches, device=device, precision=precision, after_step=stopwatch.after_step)
    (first, first_seconds), *timed = stopwatch.stretches
    means = [elapsed / steps for steps, elapsed in timed]
    step = statistics.median(means)
    found = StepTime(
        batch_size=recipe.batch_size,
        step=step,
        start=max(0.0, first_seconds - first * step),
        spread=(max(means) - min(means)) / step,
        steps=sum(steps for steps, _ in timed),
    )
    return found, state


def measure_test(
    network: nn.Module,
    split: Images,
    convention: InputConvention | None,
    *,
    classes: int,
    device: torch.device,
    precision: Precision,
) -> float:
    """Return the seconds that one image of a split takes to test, from its second and third pass."""
    test = SingleView(network, split, convention, classes=classes, device=device)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        samples = test(precision).samples
        times.append((time.perf_counter() - begin) / samples)
    return min(times[1:])


def measure_saving(state: TrainingState, folder: Path) -> tuple[float, float]:
    """Return the seconds that a checkpoint of the state and a line of the log take to be on the disk of a folder."""
    saving, logging = [], []
    with RunFolder(folder) as run:
        for iteration in (1, 2):
            state.iteration = iteration
            begin = time.perf_counter()
            run.checkpoints.save(state, "measured")
            saving.append(time.perf_counter() - begin)
        for iteration in range(5):
            begin = time.perf_counter()
            run.log({"iteration": iteration, "lr": 0.1, "loss": 1 / 3, "training_error": 100 / 3, "images": 128})
            logging.append(time.perf_counter() - begin)
    return min(saving), statistics.median(logging)
