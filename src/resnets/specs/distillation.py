"""Distillation of a trained network, the teacher, into a student. FitNets [35]; Hinton et al. (2015)."""

from __future__ import annotations

import math

from resnets.errors import UsageError
from resnets.specs.base import Spec


class Hint(Spec, frozen=True, kw_only=True):
    """Maps of a teacher's layer that are learned first: FitNet's first stage.

    In the first `iterations` of a training only the student's layers up to `layer` are trained, together with a
    convolution of its maps, the regressor, for half its squared difference from the teacher's maps, summed over their
    rows. Layers are modules by their names.
    """

    layer: str
    teacher_layer: str
    iterations: int
    pieces: int = 1  # of the regressor: the maximum of this many convolutions, 2 for a maxout teacher

    def __post_init__(self) -> None:
        for name, value in (("iterations", self.iterations), ("pieces", self.pieces)):
            if value < 1:
                raise UsageError(f"{name} of a hint is {value}; it must be 1 or more")


class Distillation(Spec, frozen=True, kw_only=True):
    """The loss of a student: `labels` times that of the labels, and `weight` times that of the teacher.

    The teacher's is the divergence (Kullback-Leibler) of the student's probabilities from the teacher's, both of scores
    divided by the temperature T: their cross-entropy but for a constant. It is times T^2 where it is `squared`, so that
    its gradients do not get smaller as T gets larger.
    """

    temperature: float = 4.0
    labels: float = 0.1
    weight: float = 0.9
    weight_to: float | None = None  # along a line; None: `weight` throughout
    weight_falls: tuple[int, int] | None = None  # iterations between which it changes; None: all of them
    squared: bool = True
    hint: Hint | None = None

    def __post_init__(self) -> None:
        factors = {"labels": self.labels, "weight": self.weight, "weight_to": self.weight_to or 0.0}
        for name, value in factors.items():
            if not 0 <= value < math.inf:
                raise UsageError(f"{name} of a distillation is {value}; it must be finite, and 0 or more")
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"temperature is {self.temperature}; it must be a positive number")
        first, last = self.weight_falls or (0, 1)
        if not 0 <= first < last:
            raise UsageError(f"weight_falls is {self.weight_falls}; it must be two iterations, the later one last")

    def weight_at(self, iteration: int, iterations: int) -> float:
        """Return the weight of the teacher's loss in an iteration, counted from 0, of a training of `iterations`."""
        if self.weight_to is None:
            return self.weight
        first, last = self.weight_falls or (0, iterations)
        done = min(max(iteration - first, 0) / (last - first), 1.0)
        return self.weight + done * (self.weight_to - self.weight)

    def scaled(self, ratio: float) -> Distillation:
        """Return the same for a training that is longer by this ratio."""
        hint, falls = self.hint, self.weight_falls
        if falls is not None:
            first = round(falls[0] * ratio)
            falls = (first, max(first + 1, round(falls[1] * ratio)))
        if hint is not None:
            hint = hint.with_changes(iterations=max(1, round(hint.iterations * ratio)))
        return self.with_changes(hint=hint, weight_falls=falls)
