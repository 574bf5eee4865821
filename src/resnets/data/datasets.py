"""What a data set is here: images in memory, image files, or any map-style dataset, in two or three splits."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Subset

from resnets.data.stored import ImageFile, Paths, size_of
from resnets.errors import DataError
from resnets.runtime.processes import Share


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images of one size in memory; labels of any integer type become int64.

    Shape: images (N, H, W, C) uint8, labels (N,) int64
    Raises: DataError, if they have another type or shape.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DataError(f"images in memory are {found}; they must be uint8 of shape (N, H, W, C)")
        object.__setattr__(self, "labels", _labels(self.labels, len(self.images)))

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: NDArray[np.int64]) -> ImageArrays:
        """Return the images at `indices`."""
        return ImageArrays(self.images[indices], self.labels[indices])

    def digest(self) -> str:
        """Return the SHA-256 of all pixels, then all labels as bytes (as two bytes from 256 classes on)."""
        labels = self.labels.astype(np.uint8 if self.labels.max(initial=0) < 256 else "<u2")
        content = hashlib.sha256(np.ascontiguousarray(self.images).data)
        content.update(labels.tobytes())
        return content.hexdigest()


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of any size, decoded when they are needed; labels of any integer type become int64.

    A file may lie on its own, in a tar shard or in a table.

    Shape: labels (N,) int64
    Raises: DataError, if the labels have another type or number.
    """

    paths: Sequence[ImageFile]
    labels: NDArray[np.int64]
    content_digest: str | None = None  # where the source tells it; else it is reckoned from names and sizes

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _labels(self.labels, len(self.paths)))
        if isinstance(self.paths, tuple | list) and all(isinstance(path, Path) for path in self.paths):
            object.__setattr__(self, "paths", Paths(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: NDArray[np.int64]) -> ImageFiles:
        """Return the files at `indices`."""
        return ImageFiles(tuple(self.paths[i] for i in indices), self.labels[indices])

    def digest(self) -> str:
        """Return the SHA-256 over each file's class, name and size in bytes, in order.

        Not over its content, which would have to be read: an edited file of the same size goes unnoticed.

        Raises: DataError, if a file is gone.
        """
        if self.content_digest is not None:
            return self.content_digest
        content = hashlib.sha256()
        for path, label in zip(self.paths, self.labels.tolist(), strict=True):
            try:
                size = size_of(path)
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from None
            content.update(b"%d/%s/%d\n" % (label, os.fsencode(path.name), size))  # a name may be no UTF-8
        return content.hexdigest()


def _labels(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise DataError(
            f"labels are {labels.dtype} {labels.shape}; they must be {count:,} integers, one for each image"
        )
    return np.ascontiguousarray(labels, np.int64)


Images = ImageArrays | ImageFiles | Dataset[Any]
"""One split. A map-style dataset gives (image tensor (C, H, W), label), already augmented and normalised."""


@dataclass(frozen=True, eq=False)
class DataSplits:
    """A data set: what is trained on, what is tested on, and (optionally) what choices are made on.

    Raises: DataError, if a split is empty or has a label without a class.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    validation: Images | None = None
    digest: str | None = None  # of the content; None for a dataset object whose content is unknown

    def __post_init__(self) -> None:
        for name, split in (("training", self.train), ("test", self.test), ("validation", self.validation)):
            if isinstance(split, ImageArrays | ImageFiles):
                if len(split) == 0:
                    raise DataError(f"{self.name}: there are no {name} images")
                low, high = int(split.labels.min()), int(split.labels.max())
                if low < 0 or high >= len(self.classes):
                    wrong = low if low < 0 else high
                    raise DataError(
                        f"{self.name}: a {name} image has label {wrong}; {len(self.classes)} classes have labels "
                        f"0 to {len(self.classes) - 1}"
                    )

    def hold_out(self, count: int, seed: int) -> DataSplits:
        """Return the splits with `count` training images, drawn by `seed`, set apart for validation.

        Of a dataset object the held-out samples come as it gives them, with any augmentation that it has.

        Raises: DataError, if there are not more training images than that.
        Paper: section 4.2, the 45k/5k split of CIFAR-10.
        """
        total = len(self.train)  # type: ignore[arg-type]
        if not 0 < count < total:
            raise DataError(f"{self.name}: cannot hold out {count} of {total} training images")
        return self._without(_order(total, seed)[:count])

    def hold_out_share(self, percent: float, seed: int) -> DataSplits:
        """Return the splits with a share of the training images, drawn by `seed`, set apart for validation.

        Of images in memory and of files it is that share of each class, to one image: a class of two or more has at
        least one on either side. Of a dataset object, whose labels are not known, it is of all samples.

        Raises: DataError, if the share is no image, or all of them.
        """
        total = len(self.train)  # type: ignore[arg-type]
        if not isinstance(self.train, ImageArrays | ImageFiles):
            return self.hold_out(round(total * percent / 100), seed)
        order = _order(total, seed)
        labels = self.train.labels[order]
        held = []
        for label in range(len(self.classes)):
            own = order[labels == label]
            least, most = (1, len(own) - 1) if len(own) > 1 else (0, 0)
            held.append(own[: min(max(round(len(own) * percent / 100), least), most)])
        chosen = np.concatenate(held)
        if not 0 < len(chosen) < total:
            raise DataError(f"{self.name}: cannot hold out {len(chosen)} of {total} training images")
        return self._without(chosen)

    def _without(self, held: NDArray[np.int64]) -> DataSplits:
        """Return the splits with these training images moved to the validation split, both in their old order."""
        rest = np.setdiff1d(np.arange(len(self.train)), held)  # type: ignore[arg-type]
        return dataclasses.replace(self, train=select(self.train, rest), validation=select(self.train, np.sort(held)))


def _order(total: int, seed: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(key=seed)).permutation(total)


def select(split: Images, indices: NDArray[np.int64]) -> Images:
    """Return the images at `indices`."""
    return split.select(indices) if isinstance(split, ImageArrays | ImageFiles) else Subset(split, indices.tolist())


def take(split: Images, share: Share) -> Images:
    """Return the images numbered rank, rank + size, ...: each is in exactly one share, and a share may be empty."""
    if share.size == 1:
        return split
    own = slice(share.rank, None, share.size)
    if isinstance(split, ImageArrays):
        return ImageArrays(split.images[own], split.labels[own])
    if isinstance(split, ImageFiles):
        return ImageFiles(split.paths[own], split.labels[own])
    return Subset(split, range(len(split))[own])  # type: ignore[arg-type]
