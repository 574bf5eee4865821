"""Records of analyses of networks: gradients by layer."""

from __future__ import annotations

from resnets.records.base import Record
from resnets.records.runs import Provenance
from resnets.specs import Recipe, Spec


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
