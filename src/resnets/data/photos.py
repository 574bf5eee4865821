"""Image files as a map-style dataset: section 3.4's scale, crop and flip in training, the centre crop in testing."""

from __future__ import annotations

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
from resnets.errors import UsageError
from resnets.specs import InputConvention, Interpolation, ScaleCropFlip


class Photos(Dataset[Any]):
    """(image, label) of each file; random draws come from `random`, which the pipeline seeds for each sample.

    Shape: image (size, size, C) uint8, to be normalised a mini-batch at a time
    Raises: UsageError, if the augmentation's crops are not of the network's size; DataError, for a damaged file.
    """

    def __init__(self, files: ImageFiles, convention: InputConvention, augmentation: ScaleCropFlip | None) -> None:
        if augmentation is not None and not augmentation.crop == convention.size <= augmentation.shortest:
            raise UsageError(
                f"crops of {augmentation.crop} pixels out of a shorter side of {augmentation.shortest} or more do not "
                f"give the network's {convention.size} x {convention.size} input"
            )
        self.files = files
        self.convention = convention
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.files.paths[index]
        if self.augmentation is None:
            view = single_view(path, self.convention)
        else:
            view = augment(decode(path, self.convention.channels), self.augmentation, self.convention.interpolation)
        return torch.from_numpy(np.array(view, order="C")), int(self.files.labels[index])


def augment(image: Image.Image, how: ScaleCropFlip, interpolation: Interpolation = "bilinear") -> NDArray[np.uint8]:
    """Return a random crop of the image at a random scale, or of its mirror image.

    Shape: (crop, crop, C) uint8
    Paper: section 3.4.
    """
    image = limit_ratio(image)
    width, height = resized(image.size, random.randint(how.shortest, how.longest))
    left, top = random.randint(0, width - how.crop), random.randint(0, height - how.crop)
    # only the crop is resized, from where it lies in the image: the same pixels as of the whole, in a third of the time
    across, down = image.width / width, image.height / height
    box = left * across, top * down, (left + how.crop) * across, (top + how.crop) * down
    view = pixels(image.resize((how.crop, how.crop), RESAMPLING[interpolation], box))
    return view[:, ::-1] if how.flip and random.random() < 0.5 else view
