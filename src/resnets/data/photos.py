"""Image files as a map-style dataset: section 3.4's scale, crop and flip in training, the centre crop in testing."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.datasets import ImageFiles
from resnets.data.decoding import RESAMPLING, decode, limit_ratio, pixels, resized, single_view
from resnets.data.stored import ImageFile
from resnets.errors import UsageError
from resnets.specs import AreaCropFlip, InputConvention, Interpolation, PhotoAugmentation, ScaleCropFlip


class Photos(Dataset[Any]):
    """(image, label) of each file; random draws come from `random`, which the pipeline seeds for each sample.

    Shape: image (size, size, C) uint8, to be normalised a mini-batch at a time
    Raises: UsageError, if the augmentation's crops are not of the network's size; DataError, for a damaged file.
    """

    def __init__(self, files: ImageFiles, convention: InputConvention, augmentation: PhotoAugmentation | None) -> None:
        if isinstance(augmentation, AreaCropFlip) and augmentation.crop != convention.size:
            raise UsageError(
                f"crops of {augmentation.crop} pixels do not give the network's {convention.size} x {convention.size} "
                f"input"
            )
        if isinstance(augmentation, ScaleCropFlip) and not (
            augmentation.crop == convention.size <= augmentation.shortest
        ):
            raise UsageError(
                f"crops of {augmentation.crop} pixels out of a shorter side of {augmentation.shortest} or more do not "
                f"give the network's {convention.size} x {convention.size} input"
            )
        self.files = files
        self.convention = convention
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: int | PhotoKey) -> tuple[Tensor, int]:
        index, file, size = key if isinstance(key, tuple) else (key, None, None)
        file = self.files.paths[index] if file is None else file
        if self.augmentation is None:
            view = single_view(file, self.convention)
        else:
            view = augment(
                decode(file, self.convention.channels), self.augmentation, size, self.convention.interpolation
            )
        return torch.from_numpy(np.array(view, order="C")), int(self.files.labels[index])


PhotoKey = tuple[int, ImageFile | None, int | None]
"""A sample, its file where a stream has read it already, and the side of its crop where that is not the largest."""


def augment(
    image: Image.Image,
    how: PhotoAugmentation,
    size: int | None = None,
    interpolation: Interpolation = "bilinear",
) -> NDArray[np.uint8]:
    """Return a random crop of the image at a random scale, or of its mirror image.

    Shape: (size, size, C) uint8, (crop, crop, C) by default
    Paper: section 3.4.
    """
    image = limit_ratio(image)
    box = _scaled(image, how) if isinstance(how, ScaleCropFlip) else _part(image, how)
    side = size or how.crop
    view = pixels(image.resize((side, side), RESAMPLING[interpolation], box))
    return view[:, ::-1] if how.flip and random.random() < 0.5 else view


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in the image's pixels."""


def _scaled(image: Image.Image, how: ScaleCropFlip) -> Box:
    width, height = resized(image.size, random.randint(how.shortest, how.longest))
    left, top = random.randint(0, width - how.crop), random.randint(0, height - how.crop)
    # only the crop is resized, from where it lies in the image: the same pixels as of the whole, in a third of the time
    across, down = image.width / width, image.height / height
    return left * across, top * down, (left + how.crop) * across, (top + how.crop) * down


def _part(image: Image.Image, how: AreaCropFlip) -> Box:
    """Return a part as torchvision's RandomResizedCrop draws it: ten attempts, then the centre."""
    area = image.width * image.height
    for _ in range(10):
        target = area * random.uniform(*how.scale)
        ratio = math.exp(random.uniform(math.log(how.ratio[0]), math.log(how.ratio[1])))
        width, height = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < width <= image.width and 0 < height <= image.height:
            left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
            return left, top, left + width, top + height
    ratio = min(max(image.width / image.height, how.ratio[0]), how.ratio[1])
    width, height = min(image.width, round(image.height * ratio)), min(image.height, round(image.width / ratio))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return left, top, left + width, top + height
