"""Crops of photos: section 3.4's scale, crop and flip to train on, the centre crop to test on."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.decoding import (
    Box,
    DecodedImage,
    EncodedImage,
    Size,
    decode_for,
    pixels,
    quiet,
    resized,
    single_view,
    within_ratio,
)
from resnets.data.loading import PhotoKey
from resnets.data.stored_file import ImageFile
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
        if how is None:
            return torch.from_numpy(np.array(single_view(file, input_spec), order="C"))
        with quiet:
            image = EncodedImage(file, input_spec.channels)
            if isinstance(how, AreaCropFlip):
                return area_crop_flip(image, how, size, input_spec).contiguous()
            return torch.from_numpy(np.array(scale_crop_flip(image, how, input_spec), order="C"))


class PhotoViews(Dataset[Any]):
    """(number, views) of each file, as tensors: those pass through shared memory, and never fill a worker's pipe."""

    def __init__(
        self,
        paths: Sequence[ImageFile],
        cut: Callable[[DecodedImage], list[Image.Image]],
        channels: int,
        shorter: int | None,
    ) -> None:
        self.paths, self.cut, self.channels, self.shorter = paths, cut, channels, shorter

    def __getitem__(self, key: PhotoKey) -> tuple[int, list[Tensor]]:
        index, file, _ = key
        with quiet:
            image = decode_for(self.paths[index] if file is None else file, self.channels, self.shorter)
        return index, [torch.from_numpy(np.array(pixels(view), order="C")) for view in self.cut(image)]


def scale_crop_flip(image: EncodedImage, how: ScaleCropFlip, input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return a random crop of the image at a random scale, or of its mirror image.

    Only the crop is resized, from where it lies in the image, at fractions of a pixel: the same pixels as of the whole
    resized image, in a third of the time.

    Shape: (crop, crop, C) uint8
    Paper: section 3.4.
    """
    view = crop_at(image, random_scale_crop(image.size, how), how.crop, input_spec)
    return view[:, ::-1] if how.flip and random.random() < 0.5 else view


def random_scale_crop(size: Size, how: ScaleCropFlip) -> Box:
    """Return where a random crop at a random scale lies in an image of some size. Units: pixels of the image."""
    left, top, right, bottom = within_ratio(size)
    width, height = resized((right - left, bottom - top), random.randint(how.shortest, how.longest))
    x, y = random.randint(0, width - how.crop), random.randint(0, height - how.crop)
    across, down = (right - left) / width, (bottom - top) / height
    return (
        left + x * across,
        top + y * down,
        min(right, left + (x + how.crop) * across),
        min(bottom, top + (y + how.crop) * down),
    )


def crop_at(image: EncodedImage, box: Box, side: int, input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return a part of an image as a square. Shape: (side, side, C) uint8"""
    reduced = input_spec.decode == "reduced"
    return pixels(image.resized(box, (side, side), input_spec.interpolation, reduced=reduced))


def area_crop_flip(image: EncodedImage, how: AreaCropFlip, size: int | None, input_spec: InputSpec) -> Tensor:
    """Return a random part of the image as a square, or its mirror image: torchvision's RandomResizedCrop.

    Shape: (size, size, C) uint8, (crop, crop, C) by default
    """
    side = size or how.crop
    left, top, right, bottom = within_ratio(image.size)
    x, y, width, height = random_part((right - left, bottom - top), how)
    box = (left + x, top + y, left + x + width, top + y + height)
    if input_spec.decode == "reduced" and image.scale_of(box, (side, side)) > 1:
        found = image.resized(box, (side, side), input_spec.interpolation, reduced=True)
        view = torch.from_numpy(np.array(pixels(found)))
    else:
        view = resized_crop(as_tensor(image), box, side, input_spec.interpolation)
    return view.flip(1) if how.flip and random.random() < 0.5 else view


def resized_crop(image: Tensor, box: tuple[int, int, int, int], side: int, interpolation: Interpolation) -> Tensor:
    """Return a part of an image as a square, as torchvision resizes tensors. Shape: (C, H, W) -> (side, side, C)"""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import resized_crop as crop

    left, top, right, bottom = box
    mode = InterpolationMode(interpolation)
    return crop(image, top, left, bottom - top, right - left, [side, side], mode, antialias=True).permute(1, 2, 0)


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


def as_tensor(image: EncodedImage) -> Tensor:
    """Return an image as a tensor, decoded by torchvision where that gives Pillow's pixels: colour and grey JPEGs.

    Shape: (C, H, W) uint8
    Raises: DataError, as `decode`.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    if image.is_jpeg and image.mode == "RGB" and image.image.mode in ("RGB", "L"):
        with contextlib.suppress(Exception):  # Pillow then says what is wrong, or reads it
            encoded = torch.frombuffer(bytearray(image.content), dtype=torch.uint8)
            return _turned(decode_jpeg(encoded, mode=ImageReadMode.RGB), image.turn)
    return torch.from_numpy(np.array(pixels(image.decode()))).permute(2, 0, 1)


def _turned(image: Tensor, orientation: int) -> Tensor:
    """Return an image upright that is stored in one of EXIF's orientations. Shape: (C, H, W)"""
    if orientation >= 5:
        image = image.transpose(1, 2)
    flipped = [axis for axis, those in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if orientation in those]
    return image.flip(flipped) if flipped else image
