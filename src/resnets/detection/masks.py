"""Masks of objects: made of polygons, run lengths or pixels, and kept as COCO's compressed run lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resnets.detection.mask_checks import decompressed
from resnets.errors import import_extra


@dataclass(frozen=True)
class Mask:
    """Which pixels of an image are an object's: COCO's compressed run lengths.

    Units: pixels; `size` is (height, width) of the image
    """

    size: tuple[int, int]
    counts: bytes

    @classmethod
    def of_segmentation(cls, segmentation: Any, size: tuple[int, int]) -> Self:
        """Return the mask of polygons or run lengths of an image of `size` (height, width), which are verified."""
        api = _pycocotools()
        if isinstance(segmentation, dict):
            text = segmentation["counts"]
            counts = text.encode() if isinstance(text, str) else api.frPyObjects(segmentation, *size)["counts"]
        else:
            counts = api.merge(api.frPyObjects(segmentation, *size))["counts"]
        return cls(size, counts)

    @classmethod
    def of_pixels(cls, pixels: NDArray[Any]) -> Self:
        """Return the mask of the pixels that are not 0. Shape: (H, W)"""
        counts = _pycocotools().encode(np.asfortranarray(pixels != 0, np.uint8))["counts"]
        return cls((pixels.shape[0], pixels.shape[1]), counts)

    def decode(self) -> NDArray[np.uint8]:
        """Return the pixels, 1 where they are the object's. Shape: (H, W)"""
        runs = decompressed(self.counts.decode()) or []
        return np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs).reshape(self.size[::-1]).T

    def rle(self) -> dict[str, Any]:
        """Return the run lengths as COCO's JSON files have them."""
        return {"size": list(self.size), "counts": self.counts.decode()}

    @property
    def area(self) -> int:
        """The number of the object's pixels."""
        return int(_pycocotools().area(self._encoded()))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The box around the object: x1, y1, x2, y2."""
        x, y, width, height = _pycocotools().toBbox(self._encoded()).tolist()
        return x, y, x + width, y + height

    def _encoded(self) -> dict[str, Any]:
        return {"size": list(self.size), "counts": self.counts}


def _pycocotools() -> Any:
    return import_extra("pycocotools.mask", "detection")
