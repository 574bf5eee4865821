"""Localisation data sets: image files of one class each, with the boxes of its objects. Appendix C.

Boxes are x1, y1, x2, y2 in the continuous coordinates of `detection.annotations`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from resnets.data.image_files import ImageFiles
from resnets.data.named_splits import NamedSplits, adjective
from resnets.data.splits import DataSplits, drawn_of_each_class
from resnets.errors import DataError, UsageError


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """Image files with their classes, and the boxes of all of them in order; those of image i start at `starts[i]`.

    `sizes` are the images' widths and heights as their annotations give them, 0 where they do not; None where they were
    compared with the images already.

    Shape: boxes (M, 4) float32, starts (N + 1,), sizes (N, 2)
    """

    files: ImageFiles
    boxes: NDArray[np.float32]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        labels: Sequence[int],
        boxes: Sequence[NDArray[np.floating]],
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Self:
        """Return images with the boxes of each, and the sizes that their annotations give."""
        joined = np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float32)
        files = ImageFiles(tuple(paths), np.asarray(labels, np.int64))
        written = None if sizes is None else np.asarray(sizes, np.int64).reshape(-1, 2)
        return cls(files, joined, np.cumsum([0, *map(len, boxes)], dtype=np.int64), written)

    def __len__(self) -> int:
        return len(self.files)

    def boxes_of(self, index: int) -> NDArray[np.float32]:
        """Return the boxes of an image. Shape: (M, 4)"""
        return self.boxes[self.starts[index] : self.starts[index + 1]]

    def name(self, index: int) -> str:
        """Return an image's name: its file's, without suffix."""
        return Path(self.files.paths[index].name).stem

    def select(self, indices: NDArray[np.int64]) -> BoxedImages:
        """Return some of the images."""
        boxes = [self.boxes_of(index) for index in indices.tolist()]
        starts = np.cumsum([0, *map(len, boxes)], dtype=np.int64)
        joined = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
        return BoxedImages(
            self.files.select(indices), joined, starts, None if self.sizes is None else self.sizes[indices]
        )

    def require_boxes(self, where: str) -> None:
        """Verify that each image has a box, and each box an area. Raises: DataError, naming the image."""
        if len(without := np.flatnonzero(np.diff(self.starts) == 0)):
            raise DataError(f"{where}: image {self.name(int(without[0]))} has no box; leave such images out")
        if len(empty := np.flatnonzero(~(self.boxes[:, 2:] > self.boxes[:, :2]).all(1))):
            box = " ".join(f"{side:g}" for side in self.boxes[empty[0]].tolist())
            name = self.name(int(np.searchsorted(self.starts, empty[0], side="right")) - 1)
            raise DataError(f"{where}: image {name} has the box {box}; x1 y1 x2 y2 must have x1 < x2 and y1 < y2")


@dataclass(frozen=True, eq=False)
class LocalisationSplits(NamedSplits[BoxedImages]):
    """A localisation data set: training and test images, and optionally validation images.

    `class_ids` are the numbers of the classes in the files of the server, `blacklist` the places of test images that
    do not count, from 0. Of test images that are not `test_annotated` only a server knows classes and boxes.

    Raises: DataError, if a split is empty, or an image whose boxes should be known has none, or one without an area.
    """

    name: str
    classes: tuple[str, ...]
    train: BoxedImages
    test: BoxedImages
    validation: BoxedImages | None = None
    test_annotated: bool = True
    class_ids: tuple[int, ...] | None = None
    blacklist: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    digest: str | None = None  # of the content of all images

    def __post_init__(self) -> None:
        for name, images in self.splits().items():
            if not len(images):
                raise DataError(f"{self.name}: there are no {adjective(name)} images")
            if name != "test" or self.test_annotated:
                images.require_boxes(f"{self.name}, {adjective(name)} images")

    def blacklist_of(self, split: str) -> frozenset[int]:
        """Return the places of images of a split that do not count."""
        return self.blacklist if split == "test" else frozenset()

    def to_classify(self, split: str) -> DataSplits:
        """Return the images without their boxes, as a classifier is tested on those of a split."""
        return DataSplits(name=self.name, classes=self.classes, train=self.train.files, test=self.of(split).files)

    def divided(self, split: str, seed: int) -> LocalisationSplits:
        """Return all training images (`all`), or a share of each class held out to validate on, drawn by the seed.

        Raises: UsageError, if there is no such split.
        """
        if split == "all":
            return self
        try:
            share = float(split.removesuffix("%"))
        except ValueError:
            share = 0.0
        if not split.endswith("%") or not 0 < share < 100:
            raise UsageError(f"split is {split!r}; it must be all or a share such as 10%")
        if self.validation is not None:
            raise UsageError(f"{self.name} has a validation split of its own; its split must be all, not {split}")
        held = np.sort(drawn_of_each_class(self.train.files.labels, len(self.classes), share, seed))
        rest = np.setdiff1d(np.arange(len(self.train)), held)
        return dataclasses.replace(self, train=self.train.select(rest), validation=self.train.select(held))


def digest(classes: Sequence[str], splits: Iterable[BoxedImages]) -> str:
    """Return the SHA-256 over the classes and, of each split, the files as `ImageFiles.digest` has them, and the boxes.

    Raises: DataError, if a file is missing.
    """
    content = hashlib.sha256("\n".join(classes).encode())
    for images in splits:
        content.update(images.files.digest().encode())
        content.update(images.boxes.astype("<f4").tobytes() + images.starts.astype("<i8").tobytes())
    return content.hexdigest()
