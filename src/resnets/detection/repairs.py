"""Repairs of impossible boxes, masks and sizes: listed, or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.detection.annotations import Repair
from resnets.detection.masks import Mask
from resnets.errors import DataError

ROUNDING = 0.05
"""Pixels that a box may reach out of its image without a repair: COCO's coordinates are rounded to two decimals."""

THIN = 0.005
"""The side up to which a box is empty, in pixels; COCO's have two decimals, and float32 would lose thinner ones."""


def repair_boxes(
    where: Path, names: Sequence[str], boxes: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[Repair]]:
    """Return the boxes clipped to the image, which of them are kept, and the repairs.

    A box without width or height (or with less than none), and one outside the image, is left out; one
    that reaches out of the image is clipped to it.

    Shape: boxes (N, 4) -> (N, 4) with any content where it is not kept, kept (N,)
    """
    width, height = size
    clipped = boxes.clip(0, (width, height, width, height))
    kept: NDArray[np.bool_] = np.all(clipped[:, 2:] - clipped[:, :2] > THIN, axis=1)
    odd = ~kept | (np.abs(clipped - boxes) > ROUNDING).any(axis=1)
    repairs = []
    for index in np.flatnonzero(odd).tolist():
        x1, y1, x2, y2 = boxes[index].tolist()
        what = f"object {index + 1}, {names[index]}: box {x1:g} {y1:g} {x2:g} {y2:g} (x1 y1 x2 y2)"
        if min(x2 - x1, y2 - y1) <= THIN:
            problem = "is empty or inverted; left out"
        elif not kept[index]:
            problem = f"lies outside the image of {width} x {height}; left out"
        else:
            problem = f"reaches out of the image of {width} x {height}; clipped"
        repairs.append(Repair(where, f"{what} {problem}"))
    return clipped.astype(np.float32), kept, repairs


def repair_size(
    where: Path, written: tuple[int, int] | None, image: tuple[int, int], boxes: NDArray[np.float64]
) -> list[Repair]:
    """Compare the size that an annotation gives with the image's own, which is what counts from then on.

    Another size is a repair if every box is inside the image as it is. It is an error if one is not, or where
    width and height have changed places: the boxes are then of another picture than the one that is trained on.

    Raises: DataError.
    """
    if written == image:
        return []
    width, height = image
    if written is None:
        return [Repair(where, f"gives no size; the image's own, {width} x {height}, is taken")]
    says = f"the image is {width} x {height} pixels, and its annotation has {written[0]} x {written[1]}"
    if written == (height, width):
        raise DataError(f"{where}: {says}: it was annotated lying on its side; turn the image or its boxes")
    if len(boxes) and (boxes[:, 2:].max(axis=0) > np.asarray(image) + ROUNDING).any():
        raise DataError(f"{where}: {says}, and a box reaches out of it; annotate the image as it is now")
    return [Repair(where, f"{says}; the image's own size is taken")]


def repair_masks(
    where: Path, names: Sequence[str], masks: Sequence[Mask], boxes: NDArray[np.float32], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], list[Repair]]:
    """Return which objects have a mask with a pixel, and the repairs: the others are left out.

    Shape: boxes (N, 4), kept (N,) -> (N,)
    Raises: DataError, if the mask of an object that is `kept` is elsewhere than its box.
    """
    covering, repairs = np.ones(len(masks), np.bool_), []
    for index, mask in enumerate(masks):
        which = f"object {index + 1}, {names[index]}: its mask"
        if not mask.area:
            covering[index] = False
            repairs.append(Repair(where, f"{which} has no pixel; left out"))
        elif kept[index]:
            low, high = np.maximum(boxes[index, :2], mask.box[:2]), np.minimum(boxes[index, 2:], mask.box[2:])
            if (high <= low).any():
                own, box = (" ".join(f"{side:g}" for side in one) for one in (mask.box, boxes[index].tolist()))
                raise DataError(f"{where}: {which} is in {own}, and its box {box} (x1 y1 x2 y2) is elsewhere")
    return covering, repairs
