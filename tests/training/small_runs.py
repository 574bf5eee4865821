"""Runs of a dozen iterations of a tiny network, which has everything that a checkpoint must restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from observing import Crash
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from resnets.data import digits
from resnets.data.arrays import ImageArrays
from resnets.data.loading import Batch
from resnets.data.map_datasets import MapSplit
from resnets.data.splits import DataSplits, TrainingBatches
from resnets.records.base import as_json
from resnets.records.runs import ClassifierResult, LogLine
from resnets.runtime.device import place
from resnets.specs import FunctionSpec, PadCropFlip, Recipe, WarmUp
from resnets.training import trainer
from resnets.training.classification import ClassificationTask
from resnets.training.config import TrainingConfig, resolve
from resnets.training.observers import Observer
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState
from resnets.training.trainer import Trainer, iterate
from resnets.weights.tensor_file import read_tensors

CPU = torch.device("cpu")

# 12 iterations: the warm-up ends after 3 (any error is below 101 %), the rate drops before the 8th and the 10th
RECIPE = Recipe(
    name="small",
    source="these tests",
    iterations=12,
    batch_size=16,
    lr=0.1,
    milestones=(7, 9),
    warm_up=WarmUp(lr=0.01, below_error=101.0, from_depth=110, window=3),
    augmentation=PadCropFlip(pad=1, flip=False),
    evaluate_every=5,
)
LOG_LINES = 4  # so a line every 3 iterations, and a checkpoint between two lines holds sums to restore


TINY = FunctionSpec(name="tiny", module="small_runs", input_size=8, depth=110, num_classes=10, in_channels=1)
"""As if Tiny were registered, and deep enough for the warm-up."""


class Tiny(nn.Module):
    """A convolution, batch norm, dropout (which draws random numbers) and a classifier, for digits of 8x8."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = TINY
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(6 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.bn(self.conv(images)))  # (N, 6, 8, 8)
        pooled = nn.functional.adaptive_avg_pool2d(maps, 2)  # (N, 6, 2, 2)
        return self.fc(self.dropout(pooled.flatten(1)))


@cache
def splits() -> DataSplits:
    """Return 100 digits to train on, so that 12 mini-batches of 16 reach into the second epoch, and 40 to test on."""
    everything = digits.load()
    assert isinstance(everything.train, ImageArrays) and isinstance(everything.test, ImageArrays)
    return DataSplits(
        name="few-digits",
        train=everything.train.select(np.arange(100)),
        test=everything.test.select(np.arange(40)),
        classes=everything.classes,
    )


@dataclass
class CrashingBatches:
    """Mini-batches that end in a crash when `after` iterations are done."""

    batches_of: TrainingBatches
    after: int

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration, batch in enumerate(self.batches_of.batches(start, stop), start):
            if iteration == self.after:
                raise Crash
            yield batch


def job(
    *,
    recipe: Recipe = RECIPE,
    network: Callable[[], nn.Module] = Tiny,
    crash_after: int | None = None,
    save_every: int | None = 1,
    process_seed: int = 0,
    seed: int = 5,
    **settings: Any,
) -> ClassificationTask:
    """Return the task of Tiny on a few digits. `process_seed` draws initial weights and what dropout starts with."""
    torch.manual_seed(process_seed)
    settings |= {"workers": 0, "device": "cpu", "precision": "fp32", "save_every": save_every}
    config = TrainingConfig(recipe=recipe, seed=seed, **settings)
    task = ClassificationTask(resolve(network(), splits(), config))
    if crash_after is not None:
        task.train = CrashingBatches(task.train, crash_after)
    torch.manual_seed(process_seed)
    return task


def run(task: ClassificationTask, path: Path, *observers: Observer) -> ClassifierResult:
    """Run a task in a folder, from wherever that stands."""
    with mock.patch.object(trainer, "LOG_LINES", LOG_LINES), RunFolder(path) as folder:
        return Trainer(task, folder, observers).run()


def task_of(
    network: nn.Module, recipe: Recipe, batches: TrainingBatches, *, accumulate: int = 1, device: torch.device = CPU
) -> ClassificationTask:
    """Return the task of training a network on given mini-batches of as many classes as it has outputs."""
    first, last = (list(network.parameters())[which] for which in (0, -1))
    channels = first.shape[1] // (36 if first.ndim == 2 else 1)  # a linear layer is given all pixels of 6 x 6
    few = MapSplit(TensorDataset(torch.zeros(len(last), channels, 6, 6), torch.arange(len(last))))
    data = DataSplits(name="noise", train=few, test=few, classes=tuple(map(str, range(len(last)))))
    config = TrainingConfig(recipe=recipe, workers=0, device=str(device), precision="fp32", accumulate=accumulate)
    return ClassificationTask(resolve(place(network, device), data, config), batches)


def trained(
    task: ClassificationTask, state: TrainingState | None = None, rates: list[float] | None = None
) -> TrainingState:
    """Train from a state, by default from the start, to the end, and return it; `rates` gets that of each iteration."""
    state = state or task.start()
    for _ in iterate(task, state):
        if rates is not None:
            rates.append(state.lr)
    return state


def tiny_state(iteration: int = 1) -> TrainingState:
    """Return the state of Tiny as if it had been trained for some iterations."""
    state = TrainingState.start(Tiny(), RECIPE, CPU)
    state.iteration = iteration
    return state


def checkpoint_name(iteration: int) -> str:
    """Return the name of the file that holds the state after an iteration."""
    return f"iteration-{iteration:08d}.safetensors"


TIMINGS = ("seconds", "images_per_second", "clock", "run")


def outcome(path: Path) -> dict[str, Any]:
    """Return all that a run came to, less its timings: weights, the newest checkpoint, the log and the result."""
    with RunFolder(path) as folder:
        newest = folder.checkpoints.paths()[0]
        tensors, header = read_tensors(newest)
        weights, of_weights = read_tensors(folder.weights)
        found: dict[str, Any] = {"checkpoint": newest.name, "header of weights": as_json(of_weights)}
        found |= {f"log {i}": _untimed(as_json(line)) for i, line in enumerate(folder.logged())}
        found |= {f"result {key}": value for key, value in _untimed(as_json(folder.result(ClassifierResult))).items()}
    found |= {f"progress {key}": value for key, value in _untimed(as_json(header)["progress"]).items()}
    found |= {f"tensor {name}": tensor for name, tensor in tensors.items()}
    return found | {f"weights {name}": tensor for name, tensor in weights.items()}


def differences(reference: Path, other: Path) -> list[str]:
    """Return the names of what is not identical, to the last bit, in the outcomes of two runs."""
    a, b = outcome(reference), outcome(other)
    return [name for name in {**a, **b} if not (name in a and name in b and _same(a[name], b[name]))]


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else bool(a == b)


def _untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in TIMINGS}


def files(path: Path) -> dict[str, bytes]:
    """Return the content of every file of a run, but for the lock."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != "lock"
    }


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too, in their order."""
    return sorted(path.name for path in folder.iterdir())


def lines(path: Path) -> list[LogLine]:
    """Return the log of a run that need not have ended."""
    return RunFolder(path).logged()
