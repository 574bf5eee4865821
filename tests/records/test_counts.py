"""Confidence intervals of errors, and the differences that may be chance."""

from __future__ import annotations

import pytest

from resnets.records.counts import noise, wilson


@pytest.mark.parametrize(("wrong", "images"), [(0, 10), (10, 10), (1671, 10_000), (3, 7)])
def test_the_interval_is_wilsons(wrong: int, images: int) -> None:
    """It is scipy's, in percent, and holds the error."""
    from scipy.stats import binomtest

    expected = binomtest(wrong, images).proportion_ci(confidence_level=0.95, method="wilson")
    low, high = wilson(100 * wrong / images, images)
    assert (low, high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)
    assert 0 <= low <= 100 * wrong / images <= high <= 100


def test_noise_shrinks_with_images_and_is_symmetric() -> None:
    """For large numbers of images it is near the normal bound, 1.96 sqrt(p (1 - p) / n + q (1 - q) / n)."""
    assert noise(5, 1000, 8, 1000) == noise(8, 1000, 5, 1000)
    assert noise(5, 100, 8, 100) > 2 * noise(5, 1000, 8, 1000)
    normal = 196 * (0.05 * 0.95 / 100_000 + 0.08 * 0.92 / 100_000) ** 0.5
    assert noise(5, 100_000, 8, 100_000) == pytest.approx(normal, rel=0.02)
