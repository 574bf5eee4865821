"""Detection data sets: images with boxes, in two or three splits (section 4.3, appendices A and B).

A box is x1, y1, x2, y2 in continuous coordinates whose origin is the upper left corner of the image: pixel number i,
counted from 0, covers the interval from i to i + 1, so a box's width is x2 - x1 and a box around the whole image is
0, 0, width, height. VOC writes the first and the last pixel inside a box, counted from 1; hence x1 = xmin - 1 and
x2 = xmax, and the devkit's width xmax - xmin + 1 is x2 - x1. COCO writes x1, y1, width and height in just these
coordinates.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from resnets.data.named_splits import NamedSplits, adjective
from resnets.detection.masks import Mask
from resnets.errors import DataError
from resnets.files import reading

NAMED = 10  # classes in a note or an error, at most


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image file and its objects; labels count the data set's classes from 0 (the background is none of them).

    VOC's difficult objects and COCO's crowd regions are among the objects, and marked: neither is trained on, and
    each protocol of scoring passes over them in its own way. An object's area is its mask's where the data set knows
    it, else its box's.

    Shape: boxes (N, 4) float32; labels (N,) int64; difficult, crowd (N,) bool; areas (N,) float32
    Units: pixels; `size` is (width, height) of the image as `data.decoding.decode` gives it, upright
    Raises: DataError, if the arrays have other shapes, a box is not finite, or a label is no integer.
    """

    path: Path
    id: int | str  # the image's name among the detections: COCO's or ILSVRC's number, VOC's file name without suffix
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float32]
    masks: tuple[Mask, ...] | None = None  # of the objects; None where they were not requested
    excluded: tuple[int, ...] = ()  # labels that ILSVRC's blacklist excludes from this image's score

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.dtype.kind not in "iuf" or not np.array_equal(labels, np.trunc(labels)):
            raise DataError(f"{self.path}: its labels are {labels.tolist()}; they must be integers")
        for name, kind in (
            ("boxes", np.float32),
            ("labels", np.int64),
            ("difficult", np.bool_),
            ("crowd", np.bool_),
            ("areas", np.float32),
        ):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), kind))
        count = len(self.labels)
        if self.boxes.shape != (count, 4) or not len(self.difficult) == len(self.crowd) == len(self.areas) == count:
            raise DataError(f"{self.path}: {count} labels with boxes of shape {self.boxes.shape}; they must be (N, 4)")
        if not np.isfinite(self.boxes).all():
            raise DataError(f"{self.path}: a box of it is not finite: {self.boxes.tolist()}")
        width, height = self.size
        if self.masks is not None and [mask.size for mask in self.masks] != [(height, width)] * count:
            raise DataError(f"{self.path}: its masks are not {count} of {width} x {height} pixels")

    @property
    def trainable(self) -> NDArray[np.bool_]:
        """Which objects are trained on: those neither difficult nor a crowd. Shape: (N,) bool."""
        return ~(self.difficult | self.crowd)


@dataclass(frozen=True)
class Repair:
    """A repaired fault of an annotation."""

    where: Path
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class SplitContent:
    """Numbers of images and objects in a split; difficult and crowd objects are among the objects."""

    images: int
    without_objects: int
    objects: dict[str, int]
    difficult: int
    crowd: int

    @classmethod
    def of(cls, images: Sequence[AnnotatedImage], classes: Sequence[str]) -> Self:
        """Return the content of a split."""
        labels = np.concatenate([image.labels for image in images])
        counts = np.bincount(labels, minlength=len(classes))
        return cls(
            images=len(images),
            without_objects=sum(not len(image.labels) for image in images),
            objects=dict(zip(classes, counts.tolist(), strict=True)),
            difficult=sum(int(image.difficult.sum()) for image in images),
            crowd=sum(int(image.crowd.sum()) for image in images),
        )


@dataclass(frozen=True, eq=False)
class DetectionSplits(NamedSplits[tuple[AnnotatedImage, ...]]):
    """A detection data set: training and test images, and optionally validation images.

    Raises: DataError, if a split is empty, an image is twice in one, or a label has no class.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[AnnotatedImage, ...]
    test: tuple[AnnotatedImage, ...]
    validation: tuple[AnnotatedImage, ...] | None = None
    category_ids: tuple[int, ...] = ()  # of the classes in COCO's files, which skip numbers; 1, 2, ... if not given
    protocol: str = "voc"  # that scores it if none is named: voc07, voc, coco or ilsvrc
    test_annotated: bool = True  # False for VOC 2012 test, whose boxes only the server knows
    left_out: tuple[str, ...] = ()  # classes of other objects in the data, where some were requested
    repairs: tuple[Repair, ...] = ()
    notes: tuple[str, ...] = ()  # what the source took for granted, and what looks wrong in it
    digest: str | None = None  # of the content; None for images that did not come from `load_detection_data`

    def __post_init__(self) -> None:
        if not self.category_ids:
            object.__setattr__(self, "category_ids", tuple(range(1, len(self.classes) + 1)))
        if len(set(self.classes)) != len(self.classes) or len(self.category_ids) != len(self.classes):
            raise DataError(f"{self.name}: the {len(self.classes)} classes do not have names or ids of their own")
        for name, split in self.splits().items():
            if not split:
                raise DataError(f"{self.name}: there are no {adjective(name)} images")
            seen: set[int | str] = set()
            for image in split:
                if image.id in seen:
                    raise DataError(f"{self.name}: image {image.id} is twice among the {adjective(name)} images")
                seen.add(image.id)
                if len(image.labels) and not 0 <= image.labels.min() <= image.labels.max() < len(self.classes):
                    raise DataError(
                        f"{image.path}: its labels are {image.labels.min()} to {image.labels.max()}; "
                        f"{len(self.classes)} classes have labels 0 to {len(self.classes) - 1}"
                    )

    def untrained(self) -> list[str]:
        """Return the classes of which no training image has an object to learn."""
        present = {label for image in self.train for label in image.labels[image.trainable].tolist()}
        return [name for label, name in enumerate(self.classes) if label not in present]

    def remarks(self) -> list[str]:
        """Return what is to be shown of the data before a training: the notes, and classes that cannot be learnt."""
        if not (untrained := self.untrained()):
            return list(self.notes)
        which = f"{len(untrained)} of {len(self.classes)} classes: {in_short(untrained)}"
        return [*self.notes, f"{self.name}: no training image has an object to learn of {which}"]

    def contents(self) -> dict[str, SplitContent]:
        """Return the content of each split, by name."""
        return {name: SplitContent.of(split, self.classes) for name, split in self.splits().items()}


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections in one image; labels and boxes as in `AnnotatedImage`, so floats and not clipped to pixels.

    Shape: boxes (N, 4), scores (N,), labels (N,) int64
    """

    id: int | str
    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    labels: NDArray[np.int64]
    masks: tuple[Mask, ...] | None = None  # of the size of the image; None by a detector of boxes

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or len(self.labels) != count:
            raise DataError(
                f"image {self.id}: {count} scores with boxes of shape {self.boxes.shape} and {len(self.labels)} labels"
            )


def in_short(names: Sequence[str]) -> str:
    """Return the first names of classes."""
    return f"{', '.join(names[:NAMED])}{' ...' if len(names) > NAMED else ''}"


def files_by_id(folder: Path, suffixes: Container[str]) -> dict[str, str]:
    """Return the names of a folder's files by those without suffix; there are none where there is no such folder.

    Raises: DataError, if two are of one id.
    """
    found: dict[str, str] = {}
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError):  # no folder, or no name of one
        names = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes and not name.startswith("."):
            if stem in found:
                raise DataError(f"{folder}: {found[stem]} and {name} are of one id; remove one")
            found[stem] = name
    return found


def digest(classes: Sequence[str], splits: Iterable[Sequence[AnnotatedImage]]) -> str:
    """Return the SHA-256 over the classes and, in order, each image's name, sizes in bytes and pixels, and objects.

    Not over its pixels, which would have to be read: an edited file of the same size goes unnoticed.

    Raises: DataError, if a file is missing.
    """
    content = hashlib.sha256("\n".join(classes).encode())
    for images in splits:
        content.update(b"\nsplit\n")
        for image in images:
            with reading(image.path, DataError):
                size = image.path.stat().st_size
            content.update(b"%s/%d/%d/%d\n" % (os.fsencode(image.path.name), size, *image.size))
            for array in (image.boxes, image.labels, image.difficult, image.crowd, image.areas):
                content.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
            for mask in image.masks or ():
                content.update(b"%s\n" % mask.counts)
            if image.excluded:
                content.update(b"excluded %s\n" % repr(image.excluded).encode())
    return content.hexdigest()
