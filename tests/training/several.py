"""Trainings of several small networks in one process, here and in the processes that tests start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import small_runs
import torch
from torch import Tensor, nn

from resnets.runtime.turns import Session
from resnets.training.config import TrainingConfig, resolve
from resnets.training.observers import Observer
from resnets.training.together import Process, train_together
from resnets.training.train import TrainResult, session

RECIPE = small_runs.RECIPE
AVERAGED = RECIPE.with_changes(ema=0.9, bn_images=20)


class Broken(small_runs.Tiny):
    """A network whose output is not finite from its fourth mini-batch on."""

    passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += self.training
        return super().forward(images) * (float("inf") if self.passes > 3 else 1.0)


NETWORKS: dict[str, tuple[str | Callable[[], nn.Module], small_runs.Recipe, int]] = {
    "resnet8": ("resnet8", RECIPE, 5),
    "plain8": ("plain8", RECIPE, 5),
    "tiny": (small_runs.Tiny, RECIPE, 5),
    "tiny-other-seed": (small_runs.Tiny, AVERAGED, 6),
    "resnet14": ("resnet14", AVERAGED, 5),
}
"""Network, recipe and seed of each, by the name of its folder. Tiny draws random numbers in training."""


def train(
    folder: Path, names: Sequence[str], observers: Mapping[str, Observer] | None = None
) -> list[TrainResult | Exception]:
    """Train the networks of these names together, each in a folder of its name; begin or go on as that stands."""
    torch.set_num_threads(1)

    def start(name: str) -> Callable[[Process], Session[TrainResult]]:
        def make(process: Process) -> Session[TrainResult]:
            network, recipe, seed = (Broken, RECIPE, 5) if name == "broken" else NETWORKS[name]
            config = TrainingConfig(recipe=recipe, seed=seed, workers=0, device="cpu", precision="fp32", save_every=1)
            if not isinstance(network, str):
                torch.manual_seed(seed)
            training = resolve(network if isinstance(network, str) else network(), small_runs.splits(), config)
            watching = [observers[name]] if observers and name in observers else []
            return (yield from session(training, folder / name, process, resume=True, observers=watching))

        return make

    return train_together([start(name) for name in names], torch.device("cpu"), [8] * len(names))
