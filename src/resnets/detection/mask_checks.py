"""Masks of COCO's files, verified: wrong counts or sizes make the C code of pycocotools write outside its memory.

A mask is a list of polygons x1, y1, x2, y2 ..., or run lengths of a size (height, width): a list of counts, or the text
that they are compressed to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.limits import MAX_PIXELS
from resnets.detection.fields import Id, is_place, shown
from resnets.errors import DataError

MAX_OUTLINE = 4_000_000
"""Pixels along the polygons of one mask: pycocotools takes 50 bytes for each."""

OUTLINES, OUTLINES_PER_BYTE = 50_000_000, 50
"""Pixels along all polygons, of a small file and for each byte of a larger one: pycocotools takes up to 200 ns each.

They are in excess of the border of each mask's image: a few corners in a few bytes may go around all of a large one.
"""

CORNERS = 3  # of a polygon, at least

FIRST, BITS, MORE, SIGN = 48, 0x1F, 0x20, 0x10  # of a character of compressed counts


class MaskChecks:
    """Verifies the masks of images of these sizes (width, height), where they are known, in files of `bytes` bytes."""

    def __init__(self, sizes: Mapping[Id, tuple[int, int] | None], bytes: int) -> None:
        self.sizes = sizes
        self.most = max(OUTLINES, OUTLINES_PER_BYTE * bytes)
        self.outlines = 0.0  # in excess of the images' borders
        self.left_out = 0  # polygons

    def verified(self, which: str, image: Id, mask: Any) -> Any:
        """Return a mask of an image without the polygons that are none: two points next to others cover no pixel.

        Raises: DataError, which says `which` is wrong.
        """
        size = self.sizes[image]
        if size is not None and size[0] * size[1] > MAX_PIXELS:
            raise DataError(f"{which}: its image is {size[0]} x {size[1]}; masks have at most {MAX_PIXELS:,} pixels")
        if isinstance(mask, dict):
            self._runs(which, mask, size)
            return mask
        if size is None:
            raise DataError(f"{which}: its image has no width and height, which polygons need")
        return self._polygons(which, mask, size)

    def notes(self, where: object) -> list[str]:
        """Return a note, if polygons were left out."""
        return (
            [f"{where}: {self.left_out:,} polygons of two points are left out; they cover no pixel"]
            if self.left_out
            else []
        )

    def _runs(self, which: str, mask: dict[str, Any], image: tuple[int, int] | None) -> None:
        size, counts = mask.get("size"), mask.get("counts")
        if not isinstance(size, list) or len(size) != 2 or not all(is_count(side) and side > 0 for side in size):
            raise DataError(f"{which}: the mask's size is {shown(size)}; it must be its height and width")
        height, width = size
        if image not in (None, (width, height)):
            raise DataError(f"{which}: the mask is {width} x {height}, and its image {image[0]} x {image[1]}")
        if height * width > MAX_PIXELS:
            raise DataError(f"{which}: the mask is {width} x {height}; at most {MAX_PIXELS:,} pixels are read")
        if isinstance(counts, str):
            runs = decompressed(counts)
        else:
            runs = counts if isinstance(counts, list) and all(map(is_count, counts)) else None
        if runs is None or sum(runs) != height * width:
            raise DataError(f"{which}: the mask's counts are not run lengths of {width} x {height} pixels")

    def _polygons(self, which: str, mask: Any, size: tuple[int, int]) -> list[list[float]]:
        if not isinstance(mask, list) or not mask or not all(map(_is_line, mask)):
            raise DataError(f"{which}: the segmentation is neither run lengths nor polygons x1, y1, x2, y2 ...")
        polygons = [points for points in mask if len(points) >= 2 * CORNERS]
        if not polygons:
            raise DataError(f"{which}: its polygon is {shown(mask[0])}; one has {CORNERS} corners x, y or more")
        self.left_out += len(mask) - len(polygons)
        outline, (width, height) = sum(map(_outline, polygons)), size
        if outline > MAX_OUTLINE:
            raise DataError(f"{which}: its polygons are {outline:,.0f} pixels long; at most {MAX_OUTLINE:,} are drawn")
        border = 2 * (width + height) + max(size)  # as `_outline` counts it
        self.outlines += max(0.0, outline - border)
        if self.outlines > self.most:
            raise DataError(
                f"{which}: with it all polygons up to here are {self.outlines:,.0f} pixels longer than the borders of "
                f"their images; at most {self.most:,} are drawn of a file of this size"
            )
        return polygons


def is_count(value: Any) -> bool:
    """Return whether this is an integer from 0 to the number of a mask's pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PIXELS


def _is_line(points: Any) -> bool:
    return isinstance(points, list) and len(points) >= 4 and len(points) % 2 == 0 and all(map(is_place, points))


def _outline(points: list[float]) -> float:
    """Return the pixels along a polygon, which is closed, and on the way to it."""
    ends = np.asarray(points, np.float64).reshape(-1, 2)
    steps = np.abs(np.diff(ends, axis=0, append=ends[:1])).max(axis=1)
    return float(steps.sum() + np.abs(ends).max())  # far outside nothing is drawn, and integers overflow


def decompressed(text: str) -> list[int] | None:
    """Return the run lengths that a text is compressed to; None if it is none.

    A count is written in groups of five bits, the lowest first, and from the fourth on as the difference from the one
    two before.
    """
    codes = np.frombuffer(text.encode(errors="surrogatepass"), np.uint8).astype(np.int64) - FIRST
    if not len(codes) or codes.min() < 0 or codes.max() > (BITS | MORE) or codes[-1] & MORE:
        return None
    ends = np.flatnonzero(codes & MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 6:  # 30 bits, more than any mask has pixels
        return None
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & BITS) << (5 * places), starts)
    values -= ((codes[ends] & SIGN) > 0) * (np.int64(1) << (5 * lengths))
    runs = _undone(values)
    return runs.tolist() if runs.min() >= 0 else None


def _undone(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts whose differences these are."""
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return runs
