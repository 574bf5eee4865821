"""scikit-learn's 1,797 real handwritten digits, 8x8 and grey: a data set that needs no network."""

from __future__ import annotations

from functools import cache

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
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]  # 0 to 16 -> 0 to 255; (N, 8, 8, 1)
    return ImageArrays(images, digits.target.astype(np.int64))
