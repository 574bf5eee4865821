"""Several processes stop, and save, after the same iteration."""

from __future__ import annotations

import time

import torch
import torch.distributed as dist

from resnets.training.distributed import World

MEETING_SECONDS = 1.0


class Meetings:
    """At which all processes learn whether one of them was asked to stop, and whether the first wants to save.

    All must stop after the same iteration, or some would wait for the others. To ask at each iteration would hold up
    a GPU; so the first process tells at each meeting after how many iterations, about a second, the next one is.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.next: int | None = None  # iteration
        self.ahead = 1
        self.held_at = time.perf_counter()

    def decide(self, iteration: int, stop: int | None, due: bool) -> tuple[int | None, bool]:
        """Return the signal to stop for, if there is one, and whether to save, after an iteration."""
        if self.world.size == 1:
            return stop, due
        if self.next is not None and iteration < self.next:
            return None, False
        now = time.perf_counter()
        wanted = self.ahead * MEETING_SECONDS / max(now - self.held_at, 1e-6)
        self.held_at = now
        # not much further than the last time, since a GPU's first iterations are only queued
        ahead = max(1, min(int(wanted), 2 * self.ahead, 1_000_000))
        first = self.world.first
        words = torch.tensor([stop or 0, due if first else 0, ahead if first else 0])
        dist.all_reduce(words, dist.ReduceOp.MAX, group=self.world.group)
        signum, save, self.ahead = words.tolist()
        self.next = iteration + self.ahead
        return signum or None, bool(save)
