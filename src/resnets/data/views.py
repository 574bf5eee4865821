"""The views of a photo that section 3.4 tests a network on: a centre crop, five crops, or whole images at scales."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.datasets import ImageFiles
from resnets.data.decoding import centre_crop, decode, pixels, resize_shorter_side
from resnets.data.loading import loading
from resnets.data.stored import ImageFile
from resnets.data.streams import in_order, is_streamed
from resnets.specs import HowTested, InputConvention

View = NDArray[np.uint8]
"""Shape: (H, W, C)."""


def photo_views(
    files: ImageFiles, convention: InputConvention, how: HowTested, *, workers: int
) -> Iterator[tuple[int, list[View]]]:
    """Yield each file's number and its views, in order; mirror images are left to who takes them.

    Raises: DataError, for the first file that cannot be decoded.
    """
    samples = _Views(files, convention, how)
    order = in_order(files) if is_streamed(files) else None
    for number, views in loading(samples, workers, batch_size=None, sampler=order, collate_fn=_as_it_is):
        yield number, [view.numpy().copy() for view in views]  # those that wait hold no shared memory


class _Views(Dataset[Any]):
    """(number, views) of each file, as tensors: those pass through shared memory, and never fill a worker's pipe."""

    def __init__(self, files: ImageFiles, convention: InputConvention, how: HowTested) -> None:
        self.files = files
        self.convention = convention
        self.how = how

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: int | tuple[int, ImageFile]) -> tuple[int, list[Tensor]]:
        index, file = key if isinstance(key, tuple) else (key, self.files.paths[key])  # a stream has read it already
        image = decode(file, self.convention.channels)
        views = _views(image, self.convention, self.how)
        return index, [torch.from_numpy(np.array(pixels(view), order="C")) for view in views]


def _as_it_is(sample: Any) -> Any:
    return sample


def _views(image: Image.Image, convention: InputConvention, how: HowTested) -> list[Image.Image]:
    if how.protocol == "dense-multi-scale":
        return [resize_shorter_side(image, scale, convention.interpolation) for scale in how.scales]
    image = resize_shorter_side(image, convention.resize, convention.interpolation)
    if how.protocol == "ten-crop":
        return five_crops(image, convention.size)
    return [centre_crop(image, convention.size)]


def five_crops(image: Image.Image, size: int) -> list[Image.Image]:
    """Return the four corners and the centre of an image, each `size` x `size` pixels. Paper: [21], section 4.1."""
    right, bottom = image.width - size, image.height - size
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
    return [*(image.crop((left, top, left + size, top + size)) for left, top in corners), centre_crop(image, size)]
