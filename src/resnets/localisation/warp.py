"""Regions warped to the input of a per-class R-CNN, with some pixels around them. Appendix C; R-CNN [8]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.data.decoding import RESAMPLING
from resnets.data.normalization import divisor_of, mean_of
from resnets.specs import InputSpec, LocalisationRecipe


def warp(
    image: Image.Image, regions: Sequence[Sequence[float]], recipe: LocalisationRecipe, input_spec: InputSpec
) -> NDArray[np.uint8]:
    """Return regions as squares, surrounded by the recipe's context; outside the image is the mean of the input.

    A region without area is all mean.

    Shape: regions (R, 4) in pixels of the image -> (R, S, S, 3) uint8
    """
    side = recipe.crop
    mean = (mean_of(input_spec).mean(axis=(0, 1)) * divisor_of(input_spec)).round().clip(0, 255).astype(np.uint8)
    colour = tuple(int(one) for one in (mean[::-1] if input_spec.channel_order == "BGR" else mean))
    wide = side / (side - 2 * recipe.context)  # what is seen over the region
    views = np.empty((len(regions), side, side, 3), np.uint8)
    for view, (x1, y1, x2, y2) in zip(views, regions, strict=True):
        x, y, width, height = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * wide, (y2 - y1) * wide
        canvas = Image.new("RGB", (side, side), colour)
        if width > 0 and height > 0:
            _paste(canvas, image, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), input_spec)
        view[:] = np.asarray(canvas)
    return views


def _paste(
    canvas: Image.Image, image: Image.Image, seen: tuple[float, float, float, float], input_spec: InputSpec
) -> None:
    """Paste onto a canvas what of the image lies in a box that it shows; whole pixels of the canvas are filled."""
    left, top, right, bottom = seen
    across, down = (right - left) / canvas.width, (bottom - top) / canvas.height
    x1, x2 = _within(0 - left, image.width - left, across, canvas.width)
    y1, y2 = _within(0 - top, image.height - top, down, canvas.height)
    if x2 <= x1 or y2 <= y1:
        return
    box = (
        max(0.0, left + x1 * across),
        max(0.0, top + y1 * down),
        min(float(image.width), left + x2 * across),
        min(float(image.height), top + y2 * down),
    )
    part = image.resize((x2 - x1, y2 - y1), RESAMPLING[input_spec.interpolation], box)
    canvas.paste(part, (x1, y1))


def _within(start: float, end: float, step: float, count: int) -> tuple[int, int]:
    """Return which pixels of a canvas, each of `step` pixels of the image, lie within the image, to a half."""
    return max(0, round(start / step)), min(count, round(end / step))
