"""The views of an image that a localiser looks at in a test, and where each lies in the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from resnets.data.decoding import DecodedImage, Size, centre_of, resized, within_ratio
from resnets.data.image_files import ImageFiles
from resnets.data.loading import View
from resnets.specs import InputSpec


@dataclass(frozen=True)
class Look:
    """How images are looked at: at these shorter sides, whole, or with a `crop` by the centre of that side."""

    scales: tuple[int, ...]
    crop: int | None
    input: InputSpec


@dataclass(frozen=True)
class Frame:
    """A view of an image: pixel (x, y) of it is (left + x / across, top + y / down) of the image."""

    size: Size  # of the resized image
    crop: tuple[int, int, int, int] | None  # of that; None: all of it
    left: float
    top: float
    across: float
    down: float

    def in_image(self, boxes: Tensor) -> Tensor:
        """Return boxes of the view as boxes of the image. Shape: (..., 4)"""
        factors = boxes.new_tensor([self.across, self.down] * 2)
        return boxes / factors + boxes.new_tensor([self.left, self.top] * 2)


def frames_of(size: Size, look: Look) -> list[Frame]:
    """Return where the views of an image of some size lie. An image longer than 16:1 is seen by its middle part."""
    left, top, right, bottom = within_ratio(size)
    frames = []
    for scale in look.scales:
        width, height = resized((right - left, bottom - top), scale)
        across, down = width / (right - left), height / (bottom - top)
        if look.crop is None:
            frames.append(Frame((width, height), None, left, top, across, down))
            continue
        x, y = centre_of((width, height), look.crop)
        crop = (x, y, x + look.crop, y + look.crop)
        frames.append(Frame((width, height), crop, left + x / across, top + y / down, across, down))
    return frames


def views_of(image: DecodedImage, looks: Sequence[Look]) -> list[Image.Image]:
    """Return the whole image, and the views of all looks one after the other."""
    found = [image.image]
    for look in looks:
        for scale, frame in zip(look.scales, frames_of(image.size, look), strict=True):
            view = image.shorter_side(scale, look.input.interpolation)
            found.append(view if frame.crop is None else view.crop(frame.crop))
    return found


def read_views(files: ImageFiles, looks: Sequence[Look], workers: int) -> Iterator[list[View]]:
    """Yield what `views_of` returns of each image, in order, read by worker processes.

    Raises: DataError, for the first image that fails to decode.
    """
    for _, views in files.views(partial(views_of, looks=tuple(looks)), 3, workers):
        yield views


def size_of(view: View) -> Size:
    """Return the width and height of a view."""
    return view.shape[1], view.shape[0]


def as_batch(view: View) -> Tensor:
    """Return a view as a mini-batch of one. Shape: (H, W, C) -> (1, H, W, C) uint8"""
    return torch.from_numpy(view)[None]
