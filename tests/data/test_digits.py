"""scikit-learn's digits: the split is fixed, complete and without overlap, and needs no network."""

from __future__ import annotations

import numpy as np

from resnets.data import digits
from resnets.data.arrays import ImageArrays


def test_the_split_is_complete_and_fixed() -> None:
    """All 1,797 digits are in one of the two splits, always the same."""
    from sklearn.datasets import load_digits

    splits = digits.load()
    train, test = splits.train, splits.test
    assert isinstance(train, ImageArrays)
    assert isinstance(test, ImageArrays)
    assert train.images.shape == (1437, 8, 8, 1)
    assert test.images.shape == (360, 8, 8, 1)
    assert splits.classes == tuple("0123456789")
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    assert splits.digest == digits.load().digest

    source = load_digits()
    everything = np.empty((1797, 8, 8, 1), np.uint8)
    everything[::5] = test.images
    everything[np.arange(1797) % 5 != 0] = train.images
    assert np.array_equal(np.rint(everything[..., 0] * (16 / 255)), source.images)  # every digit once, in its place


def test_no_test_image_is_trained_on() -> None:
    """No image is in both splits."""
    splits = digits.load()
    assert isinstance(splits.train, ImageArrays)
    assert isinstance(splits.test, ImageArrays)
    trained = {image.tobytes() for image in splits.train.images}
    assert not any(image.tobytes() in trained for image in splits.test.images)
