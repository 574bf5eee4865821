"""Training recipes of networks. Paper: sections 3.4 and 4.2."""

from __future__ import annotations

import math
import re
from typing import Literal, Self

from resnets.errors import UsageError
from resnets.specs.base import Spec
from resnets.specs.distillation import Distillation
from resnets.specs.inputs import AreaCropFlip, Augmentation, Preprocessing, ScaleCropFlip, require_decoding
from resnets.specs.networks import Shortcut, default_shortcut

Decay = Literal["steps", "linear", "cosine"]
"""How the learning rate falls: divided at the milestones as in the paper, or to 0 along a line or half a cosine."""


Loss = Literal["cross-entropy", "squared-hinge"]
"""What is minimised: of the softmax, or of one class against all others, as of support vector machines."""

Optimizer = Literal["sgd", "rmsprop"]
"""Stochastic gradient descent with momentum, or RMSProp, which divides by a mean of recent gradients' size."""


class ParameterGroup(Spec, frozen=True, kw_only=True):
    """Parameters that are trained at another rate, decay otherwise, or are limited.

    `names` is a regular expression of whole names in the network. A parameter of several groups has the product of
    their factors and the smallest limit.
    """

    names: str
    lr: float = 1.0  # times the recipe's
    weight_decay: float = 1.0  # times the recipe's
    fade: tuple[float, float] | None = None  # (g, p): lr times (1 + g * iteration)^-p as well
    max_norm: float | None = None  # of all weights of an output, which are scaled down to it; biases have none
    optional: bool = False  # a network may have no such parameters

    def __post_init__(self) -> None:
        if not _is_pattern(self.names):
            raise UsageError(f"the group {self.names!r} is no regular expression; it must be one")
        growth, power = self.fade or (0.0, 0.0)
        factors = {"lr": self.lr, "weight_decay": self.weight_decay, "fade's g": growth, "fade's p": power}
        for what, factor in factors.items():
            if not 0 <= factor < math.inf:
                raise UsageError(f"{what} of the group {self.names!r} is {factor}; it must be finite, and 0 or more")
        if self.max_norm is not None and not self.max_norm > 0:
            raise UsageError(f"max_norm of the group {self.names!r} is {self.max_norm}; it must be positive")


class WarmUp(Spec, frozen=True, kw_only=True):
    """Train at a lower rate until the training error falls below a bound; for networks from a certain depth on.

    The error is the mean over the last `window` mini-batches. Paper: section 4.2 (110 layers: 0.01 until below
    80 %, about 400 iterations). `at_most` ends it in any case, so that a network that never gets there, such as a
    plain one, still sees the recipe's rate.
    """

    lr: float = 0.01
    below_error: float = 80.0  # percent
    from_depth: int = 110
    window: int = 50
    at_most: int = 2_000


class Plateau(Spec, frozen=True, kw_only=True):
    """Divide the rate when the training error has ceased to fall; no test set is looked at.

    The error is the mean since the point of the curve before. `patience` points in a row that are not `gain` below the
    best one so far make a drop, of which there are `drops` at most. Paper: section 3.4, "when the error plateaus".
    """

    patience: int = 5  # points of the curve
    gain: float = 0.2  # percent
    drops: int = 2


class Departure(Spec, frozen=True, kw_only=False):
    """Where a recipe leaves the paper: what differs, and why."""

    what: str
    why: str


REDUCED = Departure("JPEGs are decoded at 1/2, 1/4 or 1/8 where a crop needs no more pixels", "large photos take less")


class Recipe(Spec, frozen=True, kw_only=True, tag_field="kind", tag="classification"):
    """How to train: time in iterations of one mini-batch each. Paper: sections 3.4 and 4.2."""

    name: str
    source: str  # where the numbers come from
    iterations: int
    batch_size: int
    bn_group: int | None = None  # images that share batch-norm statistics; None: the whole batch
    lr: float = 0.1
    milestones: tuple[int, ...] = ()  # iterations at which lr is multiplied by `factor`
    decay_factor: float = 0.1
    linear_warm_up: int = 0  # iterations in which lr rises linearly from 0 at the start
    decay: Decay = "steps"
    decay_to: float = 0.0  # share of lr that a linear or cosine decay ends at
    plateau: Plateau | None = None  # drops by the training error instead of milestones
    warm_up: WarmUp | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True  # False: the weights of batch norm and the biases do not decay
    optimizer: Optimizer = "sgd"
    groups: tuple[ParameterGroup, ...] = ()  # parameters with factors of their own
    loss: Loss = "cross-entropy"
    auxiliary_weight: float = 0.3  # of the loss of each further output that a network has in training
    auxiliary_iterations: int | None = None  # the first iterations, in which that counts; None: all
    distillation: Distillation | None = None  # what is learned from a teacher; None: there is none
    label_smoothing: float = 0.0  # probability that is spread evenly over all classes
    bn_images: int | None = None  # over which batch norm's statistics are recomputed at the end; None: not
    ema: float | None = None  # decay of the weights' moving average, which is then what is tested and saved
    preprocessing: Preprocessing | None = Preprocessing()  # None: the data comes prepared
    augmentation: Augmentation | None = None
    evaluate_every: int = 500  # iterations between two points of the test curve
    departures: tuple[Departure, ...] = ()

    def __post_init__(self) -> None:
        need = self._need
        need(self.iterations >= 1, f"iterations is {self.iterations}", "it must be 1 or more")
        need(self.batch_size >= 1, f"batch size is {self.batch_size}", "it must be 1 or more")
        need(math.isfinite(self.lr) and self.lr > 0, f"lr is {self.lr}", "it must be a positive number")
        need(
            math.isfinite(self.decay_factor) and self.decay_factor > 0,
            f"decay_factor is {self.decay_factor}",
            "it must be a positive number",
        )
        need(
            list(self.milestones) == sorted(self.milestones) and min(self.milestones, default=0) >= 0,
            f"milestones are {', '.join(map(str, self.milestones))}",
            "they must be iterations in their order",
        )
        need(0 <= self.momentum < 1, f"momentum is {self.momentum}", "it must be in [0, 1)")
        need(
            math.isfinite(self.weight_decay) and self.weight_decay >= 0,
            f"weight decay is {self.weight_decay}",
            "it must be 0 or more",
        )
        need(
            self.bn_group is None or self.bn_group >= 1,
            f"bn_group is {self.bn_group}",
            "it must be 1 or more images, or None for the whole batch",
        )
        need(
            0 <= self.linear_warm_up < self.iterations,
            f"linear warm-up is {self.linear_warm_up} iterations",
            "it must be less than all of them",
        )
        need(0 <= self.label_smoothing < 1, f"label smoothing is {self.label_smoothing}", "it must be in [0, 1)")
        need(
            self.bn_images is None or self.bn_images >= 1,
            f"bn_images is {self.bn_images}",
            "it must be 1 or more images, or None to keep the moving average",
        )
        need(self.ema is None or 0 < self.ema < 1, f"ema is {self.ema}", "it must be in (0, 1), such as 0.9999")
        need(not self.nesterov or self.momentum > 0, "Nesterov's momentum is requested with momentum 0", "raise it")
        need(
            self.decay == "steps" or not self.milestones,
            f"milestones and a {self.decay} decay are both given",
            "one of them is enough",
        )
        need(
            self.plateau is None or (self.decay == "steps" and not self.milestones),
            "drops on a plateau and milestones or another decay are both given",
            "one of them is enough",
        )
        need(0 <= self.decay_to < 1, f"decay_to is {self.decay_to}", "it must be in [0, 1)")
        need(
            self.decay != "steps" or not self.decay_to,
            f"decay_to is {self.decay_to} with a decay in steps",
            "it is for linear and cosine ones",
        )
        need(
            0 <= self.auxiliary_weight < math.inf,
            f"auxiliary_weight is {self.auxiliary_weight}",
            "it must be 0 or more",
        )
        need(
            self.loss == "cross-entropy" or not self.label_smoothing,
            f"label smoothing is {self.label_smoothing} with the loss {self.loss}",
            "it is for cross-entropy",
        )
        need(
            self.optimizer == "sgd" or not self.nesterov, "Nesterov's momentum and RMSProp are both given", "choose one"
        )
        need(self.evaluate_every >= 1, f"evaluate_every is {self.evaluate_every}", "it must be 1 or more")

    def _need(self, condition: bool, what: str, right: str) -> None:
        if not condition:
            raise UsageError(f"recipe {self.name!r}: {what}; {right}")

    @property
    def images(self) -> int:
        """Images of a mini-batch."""
        return self.batch_size

    def scaled(self, iterations: int) -> Self:
        """Return the recipe with another length, its milestones moved in proportion (rounded to iterations)."""
        if iterations < 1:
            raise UsageError(f"recipe {self.name!r}: iterations is {iterations}; it must be 1 or more")
        ratio = iterations / self.iterations
        auxiliary, warm_up = self.auxiliary_iterations, self.warm_up
        if warm_up is not None:
            warm_up = warm_up.with_changes(at_most=max(1, round(warm_up.at_most * ratio)))
        return self.with_changes(
            iterations=iterations,
            warm_up=warm_up,
            auxiliary_iterations=None if auxiliary is None else round(auxiliary * ratio),
            distillation=None if self.distillation is None else self.distillation.scaled(ratio),
            groups=tuple(
                group if group.fade is None else group.with_changes(fade=(group.fade[0] / ratio, group.fade[1]))
                for group in self.groups
            ),
            milestones=tuple(round(milestone * ratio) for milestone in self.milestones),
            linear_warm_up=min(round(self.linear_warm_up * ratio), iterations - 1),
            evaluate_every=max(1, min(self.evaluate_every, 200, iterations // 10), round(self.evaluate_every * ratio)),
        )

    def with_crops(self, size: int) -> Self:
        """Return the recipe for photos with crops of another size, the sides that they are cut from in proportion.

        Raises: UsageError, if the recipe is for small images, which have one size, or the size is impossible.
        """
        crop = self.augmentation
        if not isinstance(crop, ScaleCropFlip | AreaCropFlip):
            raise UsageError(f"size is given, and recipe {self.name!r} takes images at the size that they have")
        if size < 32:
            raise UsageError(f"size is {size}; crops of photos must be of 32 pixels or more")
        if size == crop.crop:
            return self
        smaller = Departure(f"crops of {size} pixels, the sides that they are cut from in proportion", "as requested")
        return self.with_changes(augmentation=crop.at(size), departures=(*self.departures, smaller))

    def with_decoding(self, decode: str) -> Self:
        """Return the recipe for photos with large JPEGs decoded in another way.

        Raises: UsageError, if the recipe is for small images, which have one size, or there is no such way.
        """
        require_decoding(decode)
        if self.preprocessing is None or not isinstance(self.augmentation, ScaleCropFlip | AreaCropFlip):
            raise UsageError(f"decode is given, and recipe {self.name!r} takes images at the size that they have")
        if decode == self.preprocessing.decode:
            return self
        departures = tuple(one for one in self.departures if one != REDUCED)
        if decode == "reduced":
            departures = (*departures, REDUCED)
        return self.with_changes(preprocessing=self.preprocessing.with_changes(decode=decode), departures=departures)


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


class Setting(Spec, frozen=True, kw_only=True):
    """A network, its shortcut option, a recipe and data, as a table declares it and a run has it."""

    network: str
    shortcut: Shortcut | None = None
    recipe: str
    data: str

    def with_default_shortcut(self) -> Setting:
        """Return the setting with the shortcut that the network has by default, where none is named."""
        return self.with_changes(shortcut=self.shortcut or default_shortcut(self.network))
