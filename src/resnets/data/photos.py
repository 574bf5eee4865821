"""Crops of photos: section 3.4's scale, crop and flip to train on, the centre crop to test on."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.decoding import (
    RESAMPLING,
    decode,
    decode_here,
    limit_work,
    orientation,
    pixels,
    quiet,
    resized,
    single_view,
    within_ratio,
)
from resnets.data.loading import PhotoKey
from resnets.data.stored_file import ImageFile, content_of
from resnets.errors import UsageError
from resnets.specs import AreaCropFlip, InputSpec, Interpolation, PhotoAugmentation, ScaleCropFlip


class Photos(Dataset[Any]):
    """(image, label) of each file; random draws come from `random`, which `Seeded` seeds for each sample.

    Shape: image (size, size, C) uint8, to be normalised a mini-batch at a time
    Raises: UsageError, if the augmentation's crops are not of the network's size; DataError, for a damaged file.
    """

    def __init__(
        self,
        paths: Sequence[ImageFile],
        labels: NDArray[np.int64],
        input_spec: InputSpec,
        augmentation: PhotoAugmentation | None,
    ) -> None:
        if isinstance(augmentation, AreaCropFlip) and augmentation.crop != input_spec.size:
            raise UsageError(
                f"crops of {augmentation.crop} pixels do not give the network's {input_spec.size} x {input_spec.size} "
                f"input"
            )
        if isinstance(augmentation, ScaleCropFlip) and not (
            augmentation.crop == input_spec.size <= augmentation.shortest
        ):
            raise UsageError(
                f"crops of {augmentation.crop} pixels out of a shorter side of {augmentation.shortest} or more do not "
                f"give the network's {input_spec.size} x {input_spec.size} input"
            )
        if isinstance(augmentation, AreaCropFlip):
            import torchvision.transforms.v2  # noqa: F401  # once here, and not in each worker process

        self.paths, self.labels = paths, labels
        self.input_spec = input_spec
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: PhotoKey) -> tuple[Tensor, int]:
        index, file, size = key
        return self._view(self.paths[index] if file is None else file, size), int(self.labels[index])

    def _view(self, file: ImageFile, size: int | None) -> Tensor:
        how, input_spec = self.augmentation, self.input_spec
        if isinstance(how, AreaCropFlip):
            image = decode_tensor(file, input_spec.channels)
            return area_crop_flip(image, how, size, input_spec.interpolation).contiguous()
        if how is None:
            view = single_view(file, input_spec)
        else:
            view = scale_crop_flip(decode(file, input_spec.channels), how, input_spec.interpolation)
        return torch.from_numpy(np.array(view, order="C"))


class PhotoViews(Dataset[Any]):
    """(number, views) of each file, as tensors: those pass through shared memory, and never fill a worker's pipe."""

    def __init__(
        self, paths: Sequence[ImageFile], cut: Callable[[Image.Image], list[Image.Image]], channels: int
    ) -> None:
        self.paths, self.cut, self.channels = paths, cut, channels

    def __getitem__(self, key: PhotoKey) -> tuple[int, list[Tensor]]:
        index, file, _ = key
        image = decode(self.paths[index] if file is None else file, self.channels)
        return index, [torch.from_numpy(np.array(pixels(view), order="C")) for view in self.cut(image)]


def scale_crop_flip(
    image: Image.Image, how: ScaleCropFlip, interpolation: Interpolation = "bilinear"
) -> NDArray[np.uint8]:
    """Return a random crop of the image at a random scale, or of its mirror image.

    Only the crop is resized, from where it lies in the image, at fractions of a pixel: the same pixels as of the whole
    resized image, in a third of the time.

    Shape: (crop, crop, C) uint8
    Paper: section 3.4.
    """
    left, top, right, bottom = within_ratio(image.size)
    width, height = resized((right - left, bottom - top), random.randint(how.shortest, how.longest))
    x, y = random.randint(0, width - how.crop), random.randint(0, height - how.crop)
    across, down = (right - left) / width, (bottom - top) / height
    box = (
        left + x * across,
        top + y * down,
        min(right, left + (x + how.crop) * across),
        min(bottom, top + (y + how.crop) * down),
    )
    view = pixels(image.resize((how.crop, how.crop), RESAMPLING[interpolation], box))
    return view[:, ::-1] if how.flip and random.random() < 0.5 else view


def area_crop_flip(
    image: Tensor, how: AreaCropFlip, size: int | None = None, interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Return a random part of the image as a square, or its mirror image: torchvision's RandomResizedCrop on tensors.

    Shape: (C, H, W) uint8 -> (size, size, C) uint8, (crop, crop, C) by default
    """
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import resized_crop

    side = size or how.crop
    left, top, right, bottom = within_ratio((image.shape[2], image.shape[1]))
    x, y, width, height = random_part((right - left, bottom - top), how)
    mode = InterpolationMode(interpolation)
    view = resized_crop(image, top + y, left + x, height, width, [side, side], mode, antialias=True).permute(1, 2, 0)
    return view.flip(1) if how.flip and random.random() < 0.5 else view


def random_part(size: tuple[int, int], how: AreaCropFlip) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a part as torchvision draws it: ten attempts, then the centre."""
    whole_width, whole_height = size
    for _ in range(10):
        target = whole_width * whole_height * random.uniform(*how.scale)
        ratio = math.exp(random.uniform(math.log(how.ratio[0]), math.log(how.ratio[1])))
        width, height = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < width <= whole_width and 0 < height <= whole_height:
            return random.randint(0, whole_width - width), random.randint(0, whole_height - height), width, height
    ratio = min(max(whole_width / whole_height, how.ratio[0]), how.ratio[1])
    width, height = min(whole_width, round(whole_height * ratio)), min(whole_height, round(whole_width / ratio))
    return (whole_width - width) // 2, (whole_height - height) // 2, width, height


def decode_tensor(path: ImageFile, channels: int = 3) -> Tensor:
    """Return what `decode` does as a tensor, read by torchvision where that gives the pixels that Pillow does.

    That is of colour and grey JPEGs.

    Shape: (channels, H, W) uint8
    Raises: DataError, as `decode`.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    with quiet():
        with contextlib.suppress(Exception):  # Pillow then says what is wrong, or reads it
            content = content_of(path)
            with Image.open(BytesIO(content), formats=("JPEG",)) as header:
                limit_work(header, content)
                if channels == 3 and header.mode in ("RGB", "L"):
                    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
                    return _turned(decode_jpeg(encoded, mode=ImageReadMode.RGB), orientation(header))
        return torch.from_numpy(np.array(pixels(decode_here(path, channels)))).permute(2, 0, 1)


def _turned(image: Tensor, orientation: int) -> Tensor:
    """Return an image upright that is stored in one of EXIF's orientations. Shape: (C, H, W)"""
    if orientation >= 5:
        image = image.transpose(1, 2)
    flipped = [axis for axis, those in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if orientation in those]
    return image.flip(flipped) if flipped else image
