"""Confidence next to accuracy: images in bins of confidence, and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of equal width, as in Guo et al. 2017


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images whose confidence is above one number and at most another: its mean, and the share of right answers."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


def confidence_bins(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return images by the probability of their most probable class; bins without images are left out.

    Shape: (N,), (N,)
    """
    places = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    sums, hits = np.bincount(places, confidence, BINS), np.bincount(places, right, BINS)
    return tuple(
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            images=int(counts[place]),
            confidence=float(sums[place] / counts[place]),
            accuracy=float(hits[place] / counts[place]),
        )
        for place in np.flatnonzero(counts)
    )


def expected_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error in percent: how far confidence and accuracy differ, by the bins' images.

    Paper: Guo et al. 2017, equation 3.
    """
    gaps = sum(one.images * abs(one.accuracy - one.confidence) for one in bins)
    return 100 * gaps / sum(one.images for one in bins)
