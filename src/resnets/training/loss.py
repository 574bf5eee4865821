"""The loss of a classifier, of all outputs that it has in training, where requested with a weight for each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data.splits import DataSplits
from resnets.errors import UsageError, as_declared, nearest
from resnets.specs import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""Return the mean loss of logits (B, K) and labels (B,)."""

ClassWeights = str | Mapping[str, float] | None
"""`auto`, or weights by class, also as the text `cat=1,dog=3.5`; None: all are 1."""


def make_loss(recipe: Recipe, class_weights: Sequence[float] | None, device: torch.device) -> Loss:
    """Return the recipe's loss, in which each image counts as much as its class weighs.

    The mean is over the number of images, and not over their weights as in torch: the loss of a mini-batch is thus the
    mean of those of its parts, into however many micro-batches and processes it is split.
    """
    hinge = recipe.loss == "squared-hinge"
    whole: Callable[..., Tensor] = squared_hinge if hinge else F.cross_entropy
    if recipe.label_smoothing:
        whole = partial(whole, label_smoothing=recipe.label_smoothing)
    if class_weights is None:
        return whole
    weights = torch.tensor(class_weights, dtype=torch.float32, device=device)

    def weighted(logits: Tensor, labels: Tensor) -> Tensor:
        return (whole(logits, labels, reduction="none") * weights[labels]).mean()

    return weighted


def loss_of_outputs(loss: Loss, recipe: Recipe, iteration: int, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return the loss of the scores, and in the recipe's first iterations (from 0) a share of each other output's."""
    scores, *auxiliary = outputs
    total = loss(scores, labels)
    if counts_auxiliary(recipe, iteration):
        for other in auxiliary:
            total = total + recipe.auxiliary_weight * loss(other, labels)
    return total


def counts_auxiliary(recipe: Recipe, iteration: int) -> bool:
    """Return whether the other outputs count in the loss of an iteration, from 0."""
    limit = recipe.auxiliary_iterations
    return recipe.auxiliary_weight > 0 and (limit is None or iteration < limit)


def squared_hinge(scores: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the squared hinge loss of one class against all others, summed over the classes, of an image on average.

    A class's term is max(0, 1 - t s)^2, where s is its score, and t is 1 for the image's class and -1 for others. With
    the reduction `none` it is that of each image.

    Shape: (N, classes), (N,) -> () or (N,)
    """
    signs = 2 * F.one_hot(labels, scores.shape[1]) - 1
    each = (1 - signs * scores).clamp_min(0).square().sum(1)
    return each if reduction == "none" else each.mean()


def resolve_class_weights(given: ClassWeights, splits: DataSplits) -> dict[str, float] | None:
    """Return the weight of each class, in the order of the data's classes; None where none are requested.

    Those of `auto` are inverse to the number of training images of a class, with mean 1 over the training images, so
    that the learning rate keeps its meaning. Given ones are taken as they are; a class that is not named has 1.

    Raises: UsageError, for another type, a class that there is not or that is named twice, a weight that is not a
        positive number, or `auto` where the labels are known only when images are read.
    """
    if given is None:
        return None
    if not isinstance(given, str | Mapping):
        raise UsageError(
            f"class_weights is of type {type(given).__name__}; it must be 'auto', or weights by the name of a class, "
            f"such as {{{splits.classes[0]!r}: 2.0}}"
        )
    if given == "auto":
        labels = splits.train.labels
        if labels is None:
            raise UsageError(
                f"class_weights is 'auto', and the labels of {splits.name} are known only as its images are read; give "
                f"weights by name, such as {splits.classes[0]}=2"
            )
        counts = np.bincount(labels, minlength=len(splits.classes)).tolist()
        share = len(labels) / sum(count > 0 for count in counts)
        return {name: share / count if count else 1.0 for name, count in zip(splits.classes, counts, strict=True)}
    weights = dict.fromkeys(splits.classes, 1.0)
    for name, weight in (_parsed(given) if isinstance(given, str) else dict(given)).items():
        if name not in weights:
            raise UsageError(
                f"class_weights names {name!r}, which is no class of {splits.name}{nearest(str(name), weights)}"
            )
        weight = float(as_declared(f"the class weight of {name}", weight, "float"))
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(f"the class weight of {name} is {weight}; it must be a positive number")
        weights[name] = weight
    return weights


def _parsed(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.rpartition("=")
        name = name.strip()
        if name in weights:
            raise UsageError(f"class_weights names {name!r} twice; one weight for a class is enough")
        try:
            weights[name] = float(weight)
        except ValueError:
            raise UsageError(f"class_weights has {part!r}; it must be auto, or weights such as cat=1,dog=3.5") from None
    return weights
