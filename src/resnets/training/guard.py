"""A loss that is not finite changes no weight and ends the run, without a GPU being waited for at each iteration."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from resnets.errors import TrainingError


class LossGuard:
    """Watches the loss of each iteration.

    Where waiting for the loss is cheap, it is looked at before the update. On a GPU (`deferred`) that would empty the
    queue of work at each iteration: there the fused optimiser is told on the device, skips this and every later
    update, and `check`, called before anything is logged or saved, finds out when that began. Of several processes
    (`together`) all skip it, wherever the loss was; where it is not deferred, the one that raises ends the others.
    """

    def __init__(
        self, optimizer: torch.optim.SGD, device: torch.device, *, deferred: bool, together: bool = False
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
        """Make sure that all `iterations` so far were sound.

        Raises: TrainingError, naming the first that was not.
        """
        if self.deferred and (skipped := int(self.skipped.item())):
            raise _error(iterations - skipped + 1, "not finite")


def _error(iteration: int, loss: str) -> TrainingError:
    return TrainingError(f"iteration {iteration}: the loss is {loss}; nothing was updated from it")
