"""From images to a network's input: the mean and standard deviation, fitted on training images and applied."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from resnets.data.datasets import ImageArrays
from resnets.specs import InputConvention, Preprocessing


def fit(train: ImageArrays, preprocessing: Preprocessing) -> InputConvention:
    """Return the input convention of a network trained on these images; the statistics are of these alone.

    Paper: section 4.2, per-pixel mean subtracted.
    """
    _, height, width, channels = train.images.shape
    assert height == width
    sums = np.zeros(train.images.shape[1:])
    squares = np.zeros(channels)
    for part in np.array_split(train.images, max(1, len(train) // 1000)):  # a whole float copy would not be small
        scaled = part.astype(np.float64) / 255
        sums += scaled.sum(axis=0)
        squares += np.square(scaled).sum(axis=(0, 1, 2))
    pixel_mean = sums / len(train)
    channel_mean = pixel_mean.mean(axis=(0, 1))
    std = np.sqrt(squares / (len(train) * height * width) - channel_mean**2)
    pixel = preprocessing.mean == "pixel"
    return InputConvention(
        size=height,
        resize=height,
        channels=channels,
        mean=None if pixel else tuple(channel_mean.tolist()),
        mean_image=base64.b64encode(pixel_mean.astype("<f4").tobytes()).decode() if pixel else None,
        std=tuple(std.tolist()) if preprocessing.std else None,
    )


def mean_of(convention: InputConvention) -> NDArray[np.float32]:
    """Return the mean that is subtracted, for every pixel. Shape: (size, size, channels)."""
    shape = (convention.size, convention.size, convention.channels)
    if convention.mean_image is not None:
        return np.frombuffer(base64.b64decode(convention.mean_image), "<f4").reshape(shape).astype(np.float32)
    return np.broadcast_to(np.asarray(convention.mean or 0.0, np.float32), shape)


def std_of(convention: InputConvention) -> NDArray[np.float32] | None:
    """Return the standard deviation that is divided by, or None. Shape: (channels,)."""
    return None if convention.std is None else np.asarray(convention.std, np.float32)


def normalize(images: NDArray[np.uint8], convention: InputConvention) -> NDArray[np.float32]:
    """Return images as a network with this convention expects them.

    Shape: (N, size, size, channels) uint8 -> the same, float32
    """
    result = images.astype(np.float32)
    result /= 255
    result -= mean_of(convention)
    if convention.std is not None:
        result /= std_of(convention)
    return result
