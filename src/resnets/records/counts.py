"""Errors of a number of images, in percent: their confidence intervals, and how far two differ by chance."""

from __future__ import annotations

import math
import statistics
from typing import Annotated

import msgspec

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
"""An error, or a share of images, which is verified where a record is read."""

Interval = tuple[float, float]
"""From and to, in percent: a 95 % confidence interval."""

Z = statistics.NormalDist().inv_cdf(0.975)  # standard deviations to either side that hold 95 %


def wilson(error: float, images: int) -> Interval:
    """Return Wilson's interval of an error: where it lies on other such images. It fits an error of 0 % too."""
    share = error / 100
    centre = share + Z**2 / (2 * images)
    spread = Z * math.sqrt(share * (1 - share) / images + Z**2 / (4 * images**2))
    low, high = ((centre + sign * spread) / (1 + Z**2 / images) for sign in (-1, 1))
    return 100 * min(share, low), 100 * max(share, high)  # at 0 and 100 % exact, whatever is rounded


def noise(error: float, images: int, other_error: float, other_images: int) -> float:
    """Return how many points the lower of two errors may be below the other by chance, as on images of their own.

    It is Newcombe's bound, made of both intervals. Two networks that are tested on the same images differ less by
    chance, so this errs towards calling them alike.
    """
    (low, low_images), (high, high_images) = sorted(((error, images), (other_error, other_images)))
    return math.hypot(wilson(low, low_images)[1] - low, high - wilson(high, high_images)[0])
