"""How far two measured errors may lie apart by chance alone, by the number of images that they are of."""

from __future__ import annotations

import math

Z = 1.96  # standard deviations to either side that hold 95 % of a normal distribution


def interval(error: float, images: int) -> tuple[float, float]:
    """Return between what an error in percent lies with 95 % confidence (Wilson's interval, which fits 0 % too)."""
    share = error / 100
    centre = share + Z**2 / (2 * images)
    spread = Z * math.sqrt(share * (1 - share) / images + Z**2 / (4 * images**2))
    low, high = ((centre + sign * spread) / (1 + Z**2 / images) for sign in (-1, 1))
    return 100 * max(0.0, low), 100 * min(1.0, high)


def noise(error: float, images: int, other_error: float, other_images: int) -> float:
    """Return how many points the lower of two errors may lie below the other by chance, as on images of their own.

    It is Newcombe's bound, made of both intervals. Two networks that are tested on the same images differ less by
    chance, so this errs towards calling them alike.
    """
    (low, low_images), (high, high_images) = sorted(((error, images), (other_error, other_images)))
    return math.hypot(interval(low, low_images)[1] - low, high - interval(high, high_images)[0])
