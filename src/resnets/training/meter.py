"""Running sums of a training, its clock, and the check for a finite loss."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from resnets.errors import TrainingError
from resnets.runtime.processes import World


@dataclass
class Meter:
    """Loss, or losses by part, and training error, summed since the last line of the log on their device."""

    loss_sum: Tensor
    wrong: Tensor
    images: int = 0

    def add(self, loss: Tensor, wrong: Tensor, images: int) -> None:
        """Add one mini-batch on the device: its mean loss and its wrong answers; `images` the caller counts."""
        self.loss_sum += loss.detach().double() * images
        self.wrong += wrong

    def gather(self, world: World) -> None:
        """Add the sums of all processes on the first; the others restart from zero."""
        if world.size == 1:
            return
        counts = torch.stack([self.wrong.double(), self.wrong.new_tensor(self.images).double()])
        *losses, wrong, images = world.sum(torch.cat([self.loss_sum.reshape(-1), counts]))
        self.reset()
        if world.first:
            self.loss_sum += torch.stack(losses).view_as(self.loss_sum)
            self.wrong += wrong.long()
            self.images = int(images)

    def reset(self) -> None:
        """Restart from zero."""
        self.loss_sum.zero_()
        self.wrong.zero_()
        self.images = 0


@dataclass
class Clock:
    """Seconds that a run has taken, over all its interruptions."""

    training: float = 0.0
    testing: float = 0.0
    mark: float = field(default_factory=time.perf_counter, repr=False, compare=False)  # start of the current lap

    @property
    def total(self) -> float:
        return self.training + self.testing

    def start(self) -> None:
        """Start a lap; the time since the last one does not count."""
        self.mark = time.perf_counter()

    def lap(self, *, testing: bool = False) -> None:
        """Add the time since the start of the lap to training or testing, and start the next one."""
        now = time.perf_counter()
        if testing:
            self.testing += now - self.mark
        else:
            self.training += now - self.mark
        self.mark = now

    def rate(self, images: int) -> float:
        """Return images per second of training."""
        return images / self.training if self.training else 0.0


class LossGuard:
    """Watches the loss of each iteration.

    Where waiting for the loss is cheap, it is looked at before the update. On a GPU (`deferred`) that would empty the
    queue of work at each iteration: there the fused optimiser reads it on the device, skips this and every later
    update, and `check`, called before anything is logged or saved, finds out when that started. Of several processes
    (`together`) all skip it, wherever the loss was; where it is not deferred, the one that raises ends the others.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, device: torch.device, *, deferred: bool, together: bool = False
    ) -> None:
        self.deferred = deferred
        self.together = together
        self.found = torch.zeros((), device=device)  # 1 from the first loss on that is not finite; before that 0
        self.skipped = torch.zeros((), device=device)  # updates since then
        if deferred:
            optimizer.found_inf = self.found  # type: ignore[attr-defined]  # as torch's gradient scaler does

    def watch(self, loss: Tensor, iteration: int) -> None:
        """Look at the loss of an iteration, counted from 0, before anything is updated from it.

        Raises: TrainingError, if it is not finite; when `deferred`, `check` raises it instead.
        """
        if self.deferred:
            self.found.copy_(torch.maximum(self.found, (~loss.detach().isfinite()).float()))
            if self.together:
                dist.all_reduce(self.found, op=dist.ReduceOp.MAX)
            self.skipped += self.found
        elif not torch.isfinite(loss):
            raise _error(iteration + 1, f"{loss.item()}")

    def check(self, iterations: int) -> None:
        """Make sure that all `iterations` so far were finite.

        Raises: TrainingError, naming the first that was not.
        """
        if self.deferred and (skipped := int(self.skipped.item())):
            raise _error(iterations - skipped + 1, "not finite")


def _error(iteration: int, loss: str) -> TrainingError:
    return TrainingError(f"iteration {iteration}: the loss is {loss}; nothing was updated from it")
