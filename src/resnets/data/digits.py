"""scikit-learn's 1,797 real handwritten digits, 8x8 and grey: a data set that needs no network."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distribution

import numpy as np

from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits


def load() -> DataSplits:
    """Return the digits: every fifth of them (360) to test on, the rest (1,437) to train on."""
    everything = _everything()
    is_test = np.arange(len(everything)) % 5 == 0
    train, test = everything.select(np.flatnonzero(~is_test)), everything.select(np.flatnonzero(is_test))
    return DataSplits(
        name="digits",
        train=train,
        test=test,
        classes=tuple(map(str, range(10))),
        digest=f"{train.digest()}:{test.digest()}",
        published=True,
    )


@cache
def _everything() -> ImageArrays:
    # not by scikit-learn's load_digits, since importing it takes longer than most of what is done with the digits
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    rows = np.loadtxt(str(file), np.uint8, delimiter=",")  # (N, 65)
    images = np.rint(rows[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # 0 to 16 -> 0 to 255
    return ImageArrays(images, rows[:, -1].astype(np.int64))
