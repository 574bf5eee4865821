"""What a data set is here: images in memory, image files, or any map-style dataset, in two or three splits."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from resnets.errors import DataError, UsageError


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images of one size in memory.

    Shape: images (N, H, W, C) uint8, labels (N,) int64
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: NDArray[np.int64]) -> ImageArrays:
        """Return the images at `indices`."""
        return ImageArrays(self.images[indices], self.labels[indices])

    def digest(self) -> str:
        """Return the SHA-256 of all pixels, then all labels as bytes (as two bytes from 256 classes on)."""
        labels = self.labels.astype(np.uint8 if self.labels.max(initial=0) < 256 else "<u2")
        content = hashlib.sha256(np.ascontiguousarray(self.images))
        content.update(labels.tobytes())
        return content.hexdigest()


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of any size, decoded when they are needed.

    Shape: labels (N,) int64
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: NDArray[np.int64]) -> ImageFiles:
        """Return the files at `indices`."""
        return ImageFiles(tuple(self.paths[i] for i in indices), self.labels[indices])

    def digest(self) -> str:
        """Return the SHA-256 over each file's class, name and size in bytes (not its content)."""
        content = hashlib.sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            content.update(f"{label}/{path.name}/{path.stat().st_size}\n".encode())
        return content.hexdigest()


Images = ImageArrays | ImageFiles | Dataset[Any]
"""One split. A map-style dataset gives (image tensor (C, H, W), label), already augmented and normalised."""


@dataclass(frozen=True, eq=False)
class DataSplits:
    """A data set: what is trained on, what is tested on, and (optionally) what choices are made on."""

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    validation: Images | None = None
    digest: str | None = None  # of the content; None for a dataset object whose content is unknown

    def hold_out(self, count: int, seed: int) -> DataSplits:
        """Return the splits with `count` training images, drawn by `seed`, set apart for validation.

        Paper: section 4.2, the 45k/5k split of CIFAR-10.
        """
        if not isinstance(self.train, ImageArrays | ImageFiles):
            raise UsageError("a validation split cannot be drawn from a dataset object; pass one of your own")
        total = len(self.train)
        if not 0 < count < total:
            raise DataError(f"{self.name}: cannot hold out {count} of {total} training images")
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(total)
        return dataclasses.replace(
            self,
            train=self.train.select(np.sort(order[count:])),
            validation=self.train.select(np.sort(order[:count])),
        )
