"""Records of tests of trained networks."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Response:
    """Standard deviation of a layer's response: over all images at once, and of the median image.

    The last two are by batch norm's statistics of each mini-batch instead of its running ones. Older files have `std`
    alone.
    """

    layer: str
    std: float
    median: float | None = None
    batch_std: float | None = None
    batch_median: float | None = None


@dataclass(frozen=True, kw_only=True)
class LayerResponses:
    """How strongly the layers of a network respond: the first convolution and each other 3x3 one, in their order.

    `digest` is the data's, where a run on it has the same, `images` how many test images it was measured on, `bn_group`
    how many of them at most shared batch statistics, `result` what the run's result.json holds, None without one.
    """

    network: str
    source: str  # the run's folder, or the weights file
    data: str
    images: int
    device: str
    layers: tuple[Response, ...]
    digest: str | None = None
    bn_group: int | None = None
    result: dict[str, Any] | None = dataclasses.field(default=None, repr=False)

    @property
    def by_magnitude(self) -> tuple[Response, ...]:
        """The layers with the strongest response first, as in the lower panel of Figure 7."""
        return tuple(sorted(self.layers, key=lambda response: -response.std))

    @property
    def mean(self) -> Response:
        """Mean over the layers, of each number."""
        return mean_of(self.layers)


def mean_of(layers: Sequence[Response]) -> Response:
    """Return the mean over the layers of each number that all of them have."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None

    return Response(
        "mean over the layers",
        statistics.fmean(layer.std for layer in layers),
        mean([layer.median for layer in layers]),
        mean([layer.batch_std for layer in layers]),
        mean([layer.batch_median for layer in layers]),
    )
