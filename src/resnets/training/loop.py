"""The training loop: stochastic gradient descent as in section 3.4, one mini-batch an iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from resnets.data.arrays import ResidentBatches
from resnets.data.splits import TrainingBatches
from resnets.networks.fused import fusing
from resnets.networks.sync_batch_norm import norms_across
from resnets.runtime.device import Precision, fastest_convolutions
from resnets.runtime.processes import ALONE, World
from resnets.specs import Recipe
from resnets.training.state import TrainingState
from resnets.training.step import make_step


def train(
    state: TrainingState,
    recipe: Recipe,
    batches: TrainingBatches,
    *,
    device: torch.device,
    precision: Precision,
    after_step: Callable[[], None],
    accumulate: int = 1,
    seed: int = 0,
    world: World = ALONE,
) -> None:
    """Train from the state's iteration to the recipe's last; `after_step` is called after each iteration.

    A mini-batch is taken in `accumulate` parts, for which see `accumulation.require_parts`. Each of several processes
    gets its share of each mini-batch from `batches`; `seed` is of what it draws itself.

    Raises: TrainingError, naming the iteration, if the loss is not finite; nothing is updated from it.
    """
    schedule = state.schedule
    state.network.train()
    gather = batches.gather if isinstance(batches, ResidentBatches) else None
    step = make_step(state, recipe, device, precision, accumulate, world, gather)
    own_images = recipe.batch_size // world.size
    across = norms_across(state.network, recipe.batch_size, world)
    with across, fusing(state.network, device), fastest_convolutions(device):
        for inputs in _inputs(batches, device, state.iteration, recipe.iterations):
            state.set_lr(schedule.lr(state.iteration))
            world.seed_iteration(seed, state.iteration)
            wrong = step(*inputs)
            state.meter.images += own_images
            if schedule.warming:
                all_wrong = world.sum(wrong.clone()).item()
                schedule.observe(state.iteration, 100.0 * all_wrong / recipe.batch_size)
            state.iteration += 1
            if state.average is not None:
                state.average.update(state.iteration)
            after_step()


def _inputs(batches: TrainingBatches, device: torch.device, start: int, stop: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield what each step is given, on the device: a draw of resident images, which it gathers, or a mini-batch."""
    if isinstance(batches, ResidentBatches):
        yield from ((draw,) for draw in batches.draws(start, stop))
        return
    for images, labels in batches.batches(start, stop):
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
