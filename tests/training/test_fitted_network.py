"""The network of a training fits its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import resnets
from resnets.data.arrays import ImageArrays
from resnets.errors import UsageError


@pytest.mark.parametrize(("name", "size", "least"), [("maxout", 4, 8), ("nin", 2, 4), ("highway19", 2, 4)])
def test_images_must_not_be_too_small(tmp_path: Path, name: str, size: int, least: int) -> None:
    """Those that a network's layers leave nothing of are an error that names both sizes, and nothing is written."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, size, size, 3), np.uint8)
    images = ImageArrays(pixels, np.arange(20) % 2)
    data = resnets.DataSplits(name="tiny", train=images, test=images, classes=("a", "b"))
    with pytest.raises(UsageError, match=f"{least} x {least} pixels or more; .* {size} x {size}"):
        resnets.train(name, data, recipe="cifar", iterations=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
