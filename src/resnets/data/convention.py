"""From images to a network's input: the mean and standard deviation, fitted on training images and applied."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.data.datasets import ImageArrays, ImageFiles
from resnets.data.decoding import single_views
from resnets.errors import DataError
from resnets.specs import InputConvention, Preprocessing


def fit(train: ImageArrays, preprocessing: Preprocessing) -> InputConvention:
    """Return the input convention of a network trained on these images; the statistics are of these alone.

    Raises: DataError, if the images are not square.
    Paper: section 4.2, per-pixel mean subtracted.
    """
    _, height, width, channels = train.images.shape
    if height != width:
        raise DataError(f"the training images are {height} x {width} pixels; images in memory must be square")
    parts = np.array_split(train.images, max(1, len(train) // 1000))  # a whole float copy would not be small
    return _fit(parts, preprocessing, InputConvention(size=height, resize=height, channels=channels))


def fit_photos(
    train: ImageFiles, preprocessing: Preprocessing, *, size: int = 224, resize: int = 256, limit: int = 1_000
) -> InputConvention:
    """Return the input convention of a network trained on these photos: RGB, `size` cropped out of `resize`.

    The statistics are of the single views of at most `limit` photos, evenly spaced over the list, which is sorted by
    class, so every class counts by its size.

    Units: pixels for `size` and `resize`
    Raises: DataError, for the first of these files that cannot be decoded.
    Paper: section 3.4 subtracts the per-pixel mean of the 224x224 crops.
    """
    convention = InputConvention(size=size, resize=resize)
    chosen = np.linspace(0, len(train) - 1, min(limit, len(train))).round().astype(np.int64)
    parts = np.array_split(chosen, math.ceil(len(chosen) / 100))
    views = (single_views(train.select(part).paths, convention) for part in parts)
    return _fit(views, preprocessing, convention)


def _fit(
    parts: Iterable[NDArray[np.uint8]], preprocessing: Preprocessing, convention: InputConvention
) -> InputConvention:
    """Return the convention with the statistics of all images of all parts. Shape: parts (N, size, size, channels)."""
    count = 0
    sums = np.zeros((convention.size, convention.size, convention.channels))
    squares = np.zeros(convention.channels)
    for part in parts:
        scaled = part.astype(np.float64) / 255
        count += len(part)
        sums += scaled.sum(axis=0)
        squares += np.square(scaled).sum(axis=(0, 1, 2))
    pixel_mean = sums / count
    channel_mean = pixel_mean.mean(axis=(0, 1))
    variance = squares / (count * convention.size**2) - channel_mean**2
    # a channel that is the same everywhere (its variance is 0 but for rounding) is only shifted
    std = np.where(variance > 1e-12, np.sqrt(variance.clip(0)), 1.0)
    pixel = preprocessing.mean == "pixel"
    return dataclasses.replace(
        convention,
        mean=None if pixel else tuple(channel_mean.tolist()),
        mean_image=base64.b64encode(pixel_mean.astype("<f4").tobytes()).decode() if pixel else None,
        std=tuple(std.tolist()) if preprocessing.std else None,
    )


def mean_of(convention: InputConvention) -> NDArray[np.float32]:
    """Return the mean that is subtracted, for every pixel; read-only. Shape: (size, size, channels)."""
    shape = (convention.size, convention.size, convention.channels)
    if convention.mean_image is not None:
        return _image(convention.mean_image, shape)
    return np.broadcast_to(np.asarray(convention.mean or 0.0, np.float32), shape)


@lru_cache(maxsize=4)  # else every photo of a data set would decode the mean image again
def _image(encoded: str, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    image = np.frombuffer(base64.b64decode(encoded), "<f4").astype(np.float32).reshape(shape)
    image.flags.writeable = False
    return image


def std_of(convention: InputConvention) -> NDArray[np.float32] | None:
    """Return the standard deviation that is divided by, or None. Shape: (channels,)."""
    return None if convention.std is None else np.asarray(convention.std, np.float32)


def divisor_of(convention: InputConvention) -> float:
    """Return what a byte is divided by to be in the network's scale: 255, or 1 where white is 255 there too."""
    return 255 / convention.white


def normalize(images: NDArray[np.uint8], convention: InputConvention) -> NDArray[np.float32]:
    """Return images as a network with this convention expects them.

    Shape: (N, size, size, channels) uint8 -> the same, float32
    """
    ordered = images[..., ::-1] if convention.order == "BGR" else images
    result = ordered.astype(np.float32, order="C")
    result /= divisor_of(convention)
    result -= mean_of(convention)
    if (std := std_of(convention)) is not None:
        result /= std
    return result


class Normalizer:
    """`normalize` for mini-batches of photos, on the device that takes them: until then a pixel is one byte."""

    def __init__(self, convention: InputConvention, device: torch.device) -> None:
        std = std_of(convention)
        self.device = device
        self.reversed = convention.order == "BGR"
        self.divisor = divisor_of(convention)
        self.mean = torch.from_numpy(np.array(mean_of(convention))).to(device)
        self.std = None if std is None else torch.from_numpy(std).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images as the network expects them.

        Shape: (N, size, size, channels) uint8 -> (N, channels, size, size) float32, channels last in memory
        """
        images = images.to(self.device, non_blocking=True)
        result = (images.flip(-1) if self.reversed else images).float().div_(self.divisor).sub_(self.mean)
        if self.std is not None:
            result /= self.std
        return result.permute(0, 3, 1, 2)
