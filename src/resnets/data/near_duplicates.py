"""Images that are nearly the same: resized, recompressed, brightened or slightly cropped copies.

An image is looked at as 32 x 32 greys. Its perceptual hash is one bit for each of 64 low frequencies of their discrete
cosine transform: whether it is above the median. Hashes that differ in few bits are of images with alike coarse
structure, such as two ships on two seas; those pairs are compared by their details as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # pixels of the greys
BITS = 64
DISTANCE = 12  # bits, up to which hashes are alike
ALIKE = 0.6  # correlation of the details, from which two images are nearly the same
SHIFT = 2  # pixels of the greys by which one may be shifted against the other
BLUR = 1.5  # pixels: the standard deviation of the blur that details are the difference to
FLAT = 2.0  # grey levels: images whose greys deviate less from their mean have no structure
ROWS, COLUMNS = 250, 2_000  # hashes that are compared together; their distances fit a processor's cache
PAIRS = 2_000  # pairs whose details are compared together


class Match(NamedTuple):
    """An image that is nearly the same as an earlier one; both are numbers in the order in which they were added."""

    image: int
    earlier: int
    correlation: float  # of their details


def greys_of(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image as greys. Shape: (32, 32)"""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0))


def hashes_of(greys: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return perceptual hashes. Shape: (N, 32, 32) -> (N, 64)"""
    from scipy.fft import dctn  # type: ignore[import-untyped]

    down, across = _low_frequencies()
    coefficients = dctn(greys.astype(np.float32), axes=(1, 2))[:, down, across]
    return np.asarray(coefficients > np.median(coefficients, axis=1, keepdims=True))


def _low_frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the 64 lowest frequencies but the mean, down and across. Shape: (64,), (64,)"""
    places = [(i + j, i, j) for i in range(SIDE) for j in range(SIDE) if i + j > 0]
    chosen = np.asarray(sorted(places)[:BITS])
    return chosen[:, 1], chosen[:, 2]


def details_correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how alike the details of pairs are: the largest correlation over all shifts of up to two pixels.

    Shape: (N, 32, 32), (N, 32, 32) -> (N,), from -1 to 1
    """
    one, other = _details(first), _details(second)
    inner = slice(SHIFT, SIDE - SHIFT)
    unshifted = _standardized(one[:, inner, inner])
    best = np.full(len(first), -1, np.float32)
    for down in range(2 * SHIFT + 1):
        for across in range(2 * SHIFT + 1):
            rows, columns = (slice(at, SIDE - 2 * SHIFT + at) for at in (down, across))
            shifted = _standardized(other[:, rows, columns])
            np.maximum(best, np.einsum("np,np->n", unshifted, shifted), out=best)
    return best


def _details(greys: NDArray[np.uint8]) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    values = greys.astype(np.float32)
    return np.asarray(values - gaussian_filter(values, (0, BLUR, BLUR), mode="nearest"))


def _standardized(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return parts of images as vectors of length 1 and mean 0. Shape: (N, h, w) -> (N, h * w)"""
    flat = parts.reshape(len(parts), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


@dataclass
class NearDuplicates:
    """Images one after the other, in groups such as splits, and the nearly equal ones among them.

    An image takes a kilobyte of memory.
    """

    _groups: list[int] = field(default_factory=list)
    _greys: bytearray = field(default_factory=bytearray)

    def add(self, greys: NDArray[np.uint8], group: int) -> None:
        """Add an image of a group, which is not smaller than that of the image before. Shape: (32, 32)"""
        self._groups.append(group)
        self._greys += greys.tobytes()

    def matches(self) -> Iterator[Match]:
        """Yield for each image the most alike one of each group among those before it, where that is nearly the same.

        All pairs are compared, a block at a time: 100,000 images take some ten seconds on a core.
        """
        greys = np.frombuffer(bytes(self._greys), np.uint8).reshape(-1, SIDE, SIDE)
        kept = np.flatnonzero(greys.std((1, 2)) >= FLAT) if len(greys) else np.zeros(0, np.int64)
        groups = np.asarray(self._groups, np.int64)[kept]
        count = int(groups.max(initial=0)) + 1
        best = np.zeros((len(kept), count), np.float32)
        found = np.full((len(kept), count), -1)
        for images, earlier in _alike(_signs(greys, kept)):
            alike = details_correlation(greys[kept[images]], greys[kept[earlier]])
            of_group = groups[earlier]
            better = np.flatnonzero((alike >= ALIKE) & (alike > best[images, of_group]))
            better = better[np.argsort(alike[better], kind="stable")]  # of one image the best one is assigned last
            best[images[better], of_group[better]] = alike[better]
            found[images[better], of_group[better]] = earlier[better]
        for place, group in np.argwhere(found >= 0).tolist():
            yield Match(int(kept[place]), int(kept[found[place, group]]), float(best[place, group]))


def _signs(greys: NDArray[np.uint8], kept: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return hashes as -1 and 1, so that a product of two is 64 minus twice their distance. Shape: (N, 64)"""
    signs = np.empty((len(kept), BITS), np.float32)
    for start in range(0, len(kept), COLUMNS):
        part = slice(start, start + COLUMNS)
        signs[part] = np.where(hashes_of(greys[kept[part]]), 1, -1)
    return signs


def _alike(signs: NDArray[np.float32]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield pairs of places whose hashes are alike, the second one before the first. Shape: (n,), (n,)"""
    products = np.empty((ROWS, COLUMNS), np.float32)
    near = np.empty((ROWS, COLUMNS), np.bool_)
    for top in range(0, len(signs), ROWS):
        rows = signs[top : top + ROWS]
        for left in range(0, top + len(rows), COLUMNS):
            columns = signs[left : min(left + COLUMNS, top + len(rows))]
            part = np.s_[: len(rows), : len(columns)]
            np.matmul(rows, columns.T, out=products[part])
            np.greater_equal(products[part], BITS - 2 * DISTANCE, out=near[part])
            if not near[part].any():
                continue
            images, earlier = np.nonzero(near[part])
            images, earlier = images + top, earlier + left
            before = earlier < images
            images, earlier = images[before], earlier[before]
            for start in range(0, len(images), PAIRS):
                yield images[start : start + PAIRS], earlier[start : start + PAIRS]
