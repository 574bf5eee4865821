"""Normalisation: the mean and standard deviation, fitted on training images and applied to inputs."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from resnets.data.decoding import single_views
from resnets.data.stored_file import ImageFile
from resnets.errors import DataError, UsageError
from resnets.specs import InputSpec, Preprocessing, PrincipalColors

SMALLEST_NORM = 1e-3  # of an image less its mean: below one step of one byte it is rounding
FITTED_AT_ONCE = 3_072_000  # bytes of pixels: a float copy of all images would not be small


def fit(images: NDArray[np.uint8], preprocessing: Preprocessing) -> InputSpec:
    """Return the input specification of a network trained on these images; the statistics are of these alone.

    Shape: images (N, H, W, C)
    Raises: DataError, if the images are not square.
    Paper: section 4.2, per-pixel mean subtracted.
    """
    _, height, width, channels = images.shape
    if height != width:
        raise DataError(f"the training images are {height} x {width} pixels; images in memory must be square")
    parts = np.array_split(images, max(1, images.nbytes // FITTED_AT_ONCE))
    return _fit(parts, preprocessing, InputSpec(size=height, resize=height, channels=channels))


def fit_photos(
    files: Sequence[ImageFile], preprocessing: Preprocessing, *, size: int = 224, resize: int = 256, channels: int = 3
) -> InputSpec:
    """Return the input specification of a network trained on images such as these: `size` cropped out of `resize`.

    They are read in colour, or with 1 channel as grey.

    Units: pixels for `size` and `resize`
    Raises: DataError, for the first of these files that cannot be decoded; UsageError, if they shall be whitened.
    Paper: section 3.4 subtracts the per-pixel mean of the 224x224 crops.
    """
    if preprocessing.whitening is not None:
        raise UsageError("whitening is of small images in memory; this data is of image files")
    input_spec = InputSpec(size=size, resize=resize, channels=channels, decode=preprocessing.decode)
    return _fit(_views(files, input_spec), preprocessing, input_spec)


def _views(files: Sequence[ImageFile], input_spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    for part in np.array_split(np.arange(len(files)), math.ceil(len(files) / 100)):
        yield single_views(files[part[0] : part[-1] + 1], input_spec)


def fit_colors(
    files: Sequence[ImageFile], colors: PrincipalColors, *, size: int = 224, resize: int = 256
) -> PrincipalColors:
    """Return the colour augmentation with the axes of these images, of the same views as `fit_photos` looks at.

    They are rounded to six digits, so that the last bits of another machine's make no other recipe.

    Raises: DataError, as `fit_photos`.
    Paper: section 3.4.
    """
    count, sums, products = 0, np.zeros(3), np.zeros((3, 3))
    for part in _views(files, InputSpec(size=size, resize=resize)):
        flat = part.reshape(-1, 3).astype(np.float32) / 255
        count += len(flat)
        sums += flat.sum(axis=0, dtype=np.float64)
        products += flat.T.astype(np.float64) @ flat
    mean = sums / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    values, vectors = values[::-1].clip(0), vectors[:, ::-1].T  # the largest first, one in each row
    vectors = vectors * np.where(vectors[:, :1] < 0, -1, 1)  # either sign is an eigenvector; the draws are symmetric
    return colors.with_changes(
        values=tuple(values.round(6).tolist()),
        vectors=tuple(tuple(row) for row in (vectors.round(6) + 0.0).tolist()),
    )


def transferred(trained: InputSpec, fitted: InputSpec) -> InputSpec:
    """Return the input of trained weights for images of the size, and decoded as, another one was fitted for.

    With another number of channels each has the mean and deviation of the trained ones on average.

    Raises: UsageError, if the trained one whitens images of another size or number of channels.
    """
    if trained.whitening is not None and trained.numbers != fitted.numbers:
        raise UsageError(
            f"the trained weights whiten images of {trained.size} x {trained.size} x {trained.channels} numbers; those "
            f"of {fitted.size} x {fitted.size} x {fitted.channels} have no such matrix"
        )
    if trained.channels != fitted.channels:
        trained = _with_channels(trained, fitted.channels)
    sized = trained.with_changes(size=fitted.size, resize=fitted.resize, decode=fitted.decode)
    if trained.mean_image is None or trained.size == fitted.size:
        return sized
    mean = mean_of(trained).mean(axis=(0, 1), dtype=np.float64)  # of each pixel there is none of another size
    return sized.with_changes(mean_image=None, mean=tuple(mean.tolist()))


def _with_channels(trained: InputSpec, channels: int) -> InputSpec:
    mean, std = trained.mean, trained.std
    if trained.mean_image is not None:
        mean = tuple(mean_of(trained).mean(axis=(0, 1), dtype=np.float64).tolist())
    return trained.with_changes(
        channels=channels,
        channel_order="RGB",
        mean_image=None,
        mean=None if mean is None else (sum(mean) / len(mean),) * channels,
        std=None if std is None else (sum(std) / len(std),) * channels,
    )


def _fit(parts: Iterable[NDArray[np.uint8]], preprocessing: Preprocessing, input_spec: InputSpec) -> InputSpec:
    """Return the input with the statistics of all images of all parts. Shape: parts (N, size, size, channels)."""
    count, numbers = 0, input_spec.numbers
    if preprocessing.contrast is not None:
        input_spec = input_spec.with_changes(contrast=preprocessing.contrast)
    sums = np.zeros((input_spec.size, input_spec.size, input_spec.channels))
    squares = np.zeros(input_spec.channels)
    products = np.zeros((numbers, numbers) if preprocessing.whitening is not None else (0, 0))
    for part in parts:
        scaled = part.astype(np.float64) / 255
        if input_spec.contrast is not None:
            scaled = with_contrast(scaled, input_spec.contrast)
        count += len(part)
        sums += scaled.sum(axis=0)
        squares += np.square(scaled).sum(axis=(0, 1, 2))
        if preprocessing.whitening is not None:
            flat = scaled.reshape(len(part), -1).astype(np.float32)
            products += flat.T @ flat
    pixel_mean = sums / count
    channel_mean = pixel_mean.mean(axis=(0, 1))
    variance = squares / (count * input_spec.size**2) - channel_mean**2
    # a channel that is the same everywhere (its variance is 0 but for rounding) is only shifted
    std = np.where(variance > 1e-12, np.sqrt(variance.clip(0)), 1.0)
    pixel = preprocessing.mean == "pixel"
    whitening = None
    if preprocessing.whitening is not None:
        subtracted = pixel_mean if pixel else np.broadcast_to(channel_mean, pixel_mean.shape)
        moved = (pixel_mean - subtracted).ravel()
        covariance = products / count - np.outer(pixel_mean, pixel_mean) + np.outer(moved, moved)
        if preprocessing.std:
            scale = np.tile(std, input_spec.size**2)
            covariance /= np.outer(scale, scale)
        whitening = _encoded(_zca(covariance, preprocessing.whitening)[np.triu_indices(numbers)])
    return input_spec.with_changes(
        mean=None if pixel else tuple(channel_mean.tolist()),
        mean_image=_encoded(pixel_mean) if pixel else None,
        std=tuple(std.tolist()) if preprocessing.std else None,
        whitening=whitening,
    )


def _zca(covariance: NDArray[np.float64], added: float) -> NDArray[np.float64]:
    """Return the symmetric matrix that gives numbers of this covariance, with `added` variance, one of unity."""
    values, vectors = np.linalg.eigh(covariance + added * np.identity(len(covariance)))
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T)


def _encoded(values: NDArray[np.float64]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def with_contrast(images: NDArray[Any], std: float) -> NDArray[Any]:
    """Return images less their own mean, each scaled to a standard deviation; one of a single colour becomes 0.

    Shape: (N, H, W, C) of numbers in [0, 1] or [0, 255]; the same
    """
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
    norm = std * math.sqrt(flat.shape[1])
    flat *= np.where(norms > SMALLEST_NORM, norm / np.maximum(norms, SMALLEST_NORM), 0)
    return flat.reshape(images.shape)


def mean_of(input_spec: InputSpec) -> NDArray[np.float32]:
    """Return the mean that is subtracted, for every pixel; read-only. Shape: (size, size, channels)."""
    shape = (input_spec.size, input_spec.size, input_spec.channels)
    if input_spec.mean_image is not None:
        return _image(input_spec.mean_image, shape)
    return np.broadcast_to(np.asarray(input_spec.mean or 0.0, np.float32), shape)


@lru_cache(maxsize=4)  # else every image of a data set would decode the mean image again
def _image(encoded: str, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    image = np.frombuffer(base64.b64decode(encoded), "<f4").astype(np.float32).reshape(shape)
    image.flags.writeable = False
    return image


def std_of(input_spec: InputSpec) -> NDArray[np.float32] | None:
    """Return the standard deviation that is divided by, or None. Shape: (channels,)."""
    return None if input_spec.std is None else np.asarray(input_spec.std, np.float32)


def whitening_of(input_spec: InputSpec) -> NDArray[np.float32] | None:
    """Return the matrix that an image is multiplied by, or None. Shape: (size * size * channels,) twice."""
    return None if input_spec.whitening is None else _symmetric(input_spec.whitening, input_spec.numbers)


@lru_cache(maxsize=2)  # of 38 MB for CIFAR's images
def _symmetric(encoded: str, side: int) -> NDArray[np.float32]:
    matrix = np.zeros((side, side), np.float32)
    matrix[np.triu_indices(side)] = np.frombuffer(base64.b64decode(encoded), "<f4")
    matrix += np.triu(matrix, 1).T
    matrix.flags.writeable = False
    return matrix


def divisor_of(input_spec: InputSpec) -> float:
    """Return what a byte is divided by to be in the network's scale: 255, or 1 where white is 255 there too."""
    return 255 / input_spec.max_value


def normalize(images: NDArray[np.uint8], input_spec: InputSpec) -> NDArray[np.float32]:
    """Return images as a network with this input expects them.

    Shape: (N, size, size, channels) uint8 -> the same, float32
    """
    ordered = images[..., ::-1] if input_spec.channel_order == "BGR" else images
    result = ordered.astype(np.float32, order="C")
    result /= divisor_of(input_spec)
    if input_spec.contrast is not None:
        result = with_contrast(result, input_spec.contrast)
    result -= mean_of(input_spec)
    if (std := std_of(input_spec)) is not None:
        result /= std
    if (matrix := whitening_of(input_spec)) is not None:
        result = (result.reshape(len(result), -1) @ matrix).reshape(result.shape)
    return result


class Normalizer:
    """`normalize` for mini-batches of images, on their device: until then a pixel is one byte.

    Images need not be of the network's size; a mean image is resized to those that are not.
    """

    def __init__(self, input_spec: InputSpec, device: torch.device) -> None:
        std = std_of(input_spec)
        self.device = device
        self.reversed = input_spec.channel_order == "BGR"
        self.divisor = divisor_of(input_spec)
        # a mean of each channel fits images of any size, as those that grow in training
        mean = mean_of(input_spec) if input_spec.mean_image is not None else mean_of(input_spec)[0, 0]
        self.mean = torch.from_numpy(np.array(mean)).to(device)
        self.std = None if std is None else torch.from_numpy(std).to(device)
        matrix = whitening_of(input_spec)
        self.contrast = input_spec.contrast
        self.matrix = None if matrix is None else torch.from_numpy(np.array(matrix)).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images as the network expects them.

        Shape: (N, H, W, channels) uint8 -> (N, channels, H, W) float32, channels last in memory
        """
        images = images.to(self.device, non_blocking=True)
        height, width = images.shape[1:3]
        ordered = images.flip(-1) if self.reversed else images
        result = ordered.float().div_(self.divisor)
        if self.contrast is not None:
            result -= result.mean((1, 2, 3), keepdim=True)
            norms = result.square().sum((1, 2, 3), keepdim=True).sqrt()
            norm = self.contrast * math.sqrt(result[0].numel())
            result *= torch.where(norms > SMALLEST_NORM, norm / norms.clamp_min(SMALLEST_NORM), 0.0)
        result.sub_(self._mean_of(height, width))
        if self.std is not None:
            result /= self.std
        if self.matrix is not None:
            result = (result.flatten(1) @ self.matrix).view(result.shape)
        return result.permute(0, 3, 1, 2)

    def _mean_of(self, height: int, width: int) -> Tensor:
        if self.mean.ndim == 1 or self.mean.shape[:2] == (height, width):
            return self.mean
        whole = self.mean.permute(2, 0, 1)[None]  # (1, C, size, size)
        return functional.interpolate(whole, (height, width), mode="bilinear")[0].permute(1, 2, 0)
