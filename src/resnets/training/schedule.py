"""Learning-rate schedules, and the warm-up of very deep networks.

Paper: section 3.4; section 4.2 (0.1, divided by 10 at 32k and 48k iterations; 110 layers start at 0.01).
"""

from __future__ import annotations

import math
from collections import deque

from resnets.records.checkpoints import PlateauState, ScheduleState
from resnets.specs import Recipe


class Schedule:
    """The learning rate as a function of the iteration and, during a warm-up, of the training error so far."""

    def __init__(self, recipe: Recipe, depth: int | None) -> None:
        self.recipe = recipe
        warm_up = recipe.warm_up
        self.warming = warm_up is not None and depth is not None and depth >= warm_up.from_depth
        self.warmed_up_at: int | None = None  # the first iteration at the full rate
        self.errors: deque[float] = deque(maxlen=warm_up.window if warm_up else 1)
        self.plateau = PlateauState() if recipe.plateau else None

    def lr(self, iteration: int) -> float:
        """Return the learning rate of an iteration, counted from 0."""
        if self.warming:
            assert self.recipe.warm_up is not None
            return min(self.recipe.warm_up.lr, self.recipe.lr)  # never above the rate that it warms up to
        recipe = self.recipe
        if iteration < recipe.linear_warm_up:
            return recipe.lr * (iteration + 1) / (recipe.linear_warm_up + 1)
        if recipe.decay == "steps":
            drops = sum(iteration >= milestone for milestone in recipe.milestones)
            drops += self.plateau.drops if self.plateau else 0
            return recipe.lr * recipe.decay_factor**drops
        left = (recipe.iterations - iteration) / (recipe.iterations - recipe.linear_warm_up)  # from 1 down to nearly 0
        share = left if recipe.decay == "linear" else (1 - math.cos(math.pi * left)) / 2
        return recipe.lr * (recipe.decay_to + (1 - recipe.decay_to) * share)

    def observe(self, iteration: int, error: float) -> None:
        """Take note of an iteration's training error (percent), which may end the warm-up after it."""
        warm_up = self.recipe.warm_up
        if not self.warming or warm_up is None:
            return
        self.errors.append(error)
        below = len(self.errors) == warm_up.window and sum(self.errors) / warm_up.window < warm_up.below_error
        if below or iteration + 1 >= warm_up.at_most:
            self.warming = False
            self.warmed_up_at = iteration + 1

    def log(self, iteration: int, images: int, error: float) -> None:
        """Take note of the training error (percent) of some images, which may be a plateau at a point of the curve.

        `iteration` is how many are done, and the images are those since the last note.
        """
        declared, progress = self.recipe.plateau, self.plateau
        if declared is None or progress is None:
            return
        images, wrong = progress.images + images, progress.wrong + images * error
        if iteration % self.recipe.evaluate_every:
            self.plateau = progress.with_changes(images=images, wrong=wrong)
            return
        mean, stale = wrong / images, progress.stale + 1
        if progress.best is None or mean <= progress.best - declared.gain:
            self.plateau = PlateauState(best=mean, drops=progress.drops)
        elif stale >= declared.patience and progress.drops < declared.drops:
            self.plateau = PlateauState(best=progress.best, drops=progress.drops + 1)
        else:
            self.plateau = PlateauState(best=progress.best, drops=progress.drops, stale=stale)

    def state(self) -> ScheduleState:
        """Return what a resumed run has to restore."""
        return ScheduleState(
            warming=self.warming, warmed_up_at=self.warmed_up_at, errors=tuple(self.errors), plateau=self.plateau
        )

    def restore(self, state: ScheduleState) -> None:
        """Restore what `state` returned."""
        self.warming, self.warmed_up_at, self.plateau = state.warming, state.warmed_up_at, state.plateau
        self.errors = deque(state.errors, maxlen=self.errors.maxlen)
