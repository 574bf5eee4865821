"""Records of analyses of networks: gradients by layer, loss surfaces, removed blocks."""

from __future__ import annotations

import math
from typing import Literal

from resnets.records.base import Record
from resnets.records.counts import Interval
from resnets.records.runs import Provenance
from resnets.specs import Recipe, Spec


def in_six_digits(value: float) -> float | None:
    """Return a number in six digits; None where it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


class GradientPoint(Spec, frozen=True, kw_only=True):
    """A network after some iterations: its loss, and Euclidean norms at each layer; null where one is not finite.

    `gradients` and `signals` are means over some mini-batches of the norm of the loss's gradient: with respect to the
    layer's weights, and to its output before batch norm, for all images of the mini-batch together.
    """

    iteration: int
    loss: float | None
    gradients: tuple[float | None, ...]
    signals: tuple[float | None, ...]
    weights: tuple[float | None, ...]


class NetworkGradients(Spec, frozen=True, kw_only=True):
    """A network at some points of its training. `source` is the folder of a run; None: it was trained for this.

    `layers` are its convolutions in their order, without projections on shortcuts.
    """

    network: str
    depth: int | None
    seed: int
    iterations: int  # of the recipe, as long as it was trained
    source: str | None = None
    recipe: Recipe
    layers: tuple[str, ...]
    points: tuple[GradientPoint, ...]


class Gradients(Record, frozen=True, kw_only=True, tag="gradients"):
    """Gradients and weights by layer, of some networks."""

    protocol: str
    data: str
    digest: str | None = None
    batches: int  # mini-batches that each number is a mean over
    networks: tuple[NetworkGradients, ...]
    provenance: Provenance


class Surface(Spec, frozen=True, kw_only=True):
    """The loss of one network in a plane through its weights; null where it is not finite.

    `losses[i][j]` and `errors[i][j]`, in percent, are at `steps[j]` along the first direction and `steps[i]` along the
    second.
    """

    network: str
    source: str
    losses: tuple[tuple[float | None, ...], ...]
    errors: tuple[tuple[float, ...], ...]


class Landscape(Record, frozen=True, kw_only=True, tag="landscape"):
    """Loss surfaces of trained networks, each along two random directions of its own.

    `images` are training images, `steps` the places on both axes, `seed` that of the directions.
    """

    protocol: str
    data: str
    digest: str | None = None
    classes: int
    images: int
    seed: int
    steps: tuple[float, ...]
    surfaces: tuple[Surface, ...]
    provenance: Provenance


class Removed(Spec, frozen=True, kw_only=True):
    """The test of a network without one of its units; the error is in percent, its interval Wilson's of 95 %.

    A unit is a residual block, of which the shortcut stays, or a layer of a plain network. `is_projection` is whether
    the block's shortcut changes the size or the number of its maps.
    """

    unit: str
    is_projection: bool
    error: float
    interval: Interval


class NetworkAblation(Spec, frozen=True, kw_only=True):
    """A trained network, tested whole and without one unit after the other.

    `kept` are the units that cannot be removed, since nothing else could take their place.
    """

    network: str
    source: str
    unit: Literal["block", "layer"]
    error: float
    interval: Interval
    removed: tuple[Removed, ...]
    kept: tuple[str, ...] = ()


class Ablation(Record, frozen=True, kw_only=True, tag="ablation"):
    """Errors of trained networks without one of their blocks or layers, not trained again, on the test images.

    `chance` is the error of always naming the most frequent class, in percent.
    """

    protocol: str
    data: str
    digest: str | None = None
    images: int
    chance: float
    networks: tuple[NetworkAblation, ...]
    provenance: Provenance
