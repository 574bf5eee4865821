"""The training loop: stochastic gradient descent as in section 3.4, one mini-batch an iteration."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from resnets.data.pipeline import TrainingBatches
from resnets.networks.execution import Precision, forward
from resnets.specs import Recipe
from resnets.training.state import TrainingState


def train(
    state: TrainingState,
    recipe: Recipe,
    batches: TrainingBatches,
    *,
    device: torch.device,
    precision: Precision,
    after_step: Callable[[], None],
) -> None:
    """Train from the state's iteration to the recipe's last; `after_step` is called after each iteration.

    Raises: TrainingError, naming the iteration, if the loss is not finite; nothing is updated from it.
    """
    network, optimizer, schedule = state.network, state.optimizer, state.schedule
    network.train()
    for images, labels in batches.batches(state.iteration, recipe.iterations):
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr(state.iteration)

        logits = forward(network, images, precision)
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        state.guard.watch(loss, state.iteration)

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

        wrong = (logits.argmax(1) != labels).sum()
        state.meter.add(loss, wrong, len(labels))
        if schedule.warming:
            schedule.observe(state.iteration, 100.0 * wrong.item() / len(labels))
        state.iteration += 1
        after_step()
