"""PASCAL VOC's layout, official or custom: Annotations/*.xml, ImageSets/Main/SET.txt and JPEGImages."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.decoding import open_header, quiet, refusing
from resnets.data.formats import SUFFIXES
from resnets.detection.annotations import files_by_id
from resnets.detection.fields import content_of, flag, is_name, is_place, lines_of, shown
from resnets.detection.masks import Mask
from resnets.errors import DataError, import_extra, nearest

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")
VOID = 255  # the index of pixels that are left out: borders, and objects that were not identified
_FIRST = np.asarray((1.0, 1.0, 0.0, 0.0))  # VOC counts pixels from 1, and a box ends behind its last one


@dataclass(frozen=True, eq=False)
class Record:
    """One annotation file as it is written: nothing is repaired or left out.

    Shape: corners (N, 4) float64, difficult (N,) bool
    Units: pixels; xmin, ymin, xmax, ymax are the first and last pixels inside, counted from 1
    """

    path: Path
    size: tuple[int, int] | None
    names: tuple[str, ...]
    corners: NDArray[np.float64]
    difficult: NDArray[np.bool_]
    unmarked: int = 0  # objects of which it is not written whether they are difficult: they are not

    @property
    def boxes(self) -> NDArray[np.float64]:
        """The boxes in continuous coordinates from 0, as `AnnotatedImage` has them. Shape: (N, 4)."""
        return self.corners - _FIRST


def corners(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return boxes in continuous coordinates as VOC writes them: xmin, ymin, xmax, ymax. Shape: (N, 4)."""
    return boxes.astype(np.float64) + _FIRST


def read(path: Path) -> Record:
    """Return what an annotation file says of its objects; the `part`s of a person are no objects.

    Raises: DataError, if it is missing, no VOC annotation, hostile (entities that grow), or a box is incomplete or
        not of finite numbers.
    """
    defused, xml = (import_extra(name, "detection") for name in ("defusedxml", "defusedxml.ElementTree"))
    try:
        root = xml.fromstring(content_of(path))
    except defused.DefusedXmlException:
        raise DataError(
            f"{path}: declares XML entities, which no annotation needs and which can fill the memory"
        ) from None
    except (xml.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise DataError(f"{path}: not XML ({error})") from None
    if root.tag != "annotation":
        raise DataError(f"{path}: not a VOC annotation: its root is <{shown(root.tag)[1:-1]}>, not <annotation>")
    objects = root.findall("object")
    names = tuple(" ".join((entry.findtext("name") or "").split()) for entry in objects)
    for number, name in enumerate(names, 1):
        if not name:
            raise DataError(f"{path}: object {number} has no <name>")
        if not is_name(name):
            raise DataError(f"{path}: object {number}: <name> is {shown(name)}; it must have no control characters")
    each = [(f"object {n}, {name}", entry) for n, (name, entry) in enumerate(zip(names, objects, strict=True), 1)]
    corners = [_corners(path, which, entry) for which, entry in each]
    marks = [_difficult(path, which, entry) for which, entry in each]
    return Record(
        path=path,
        size=_size(root),
        names=names,
        corners=np.asarray(corners, np.float64).reshape(-1, 4),
        difficult=np.asarray([mark is True for mark in marks], np.bool_),
        unmarked=marks.count(None),
    )


def _corners(path: Path, which: str, entry: Any) -> list[float]:
    box = entry.find("bndbox")  # of the object itself: the boxes of its parts are deeper
    if box is None:
        raise DataError(f"{path}: {which} has no <bndbox>")
    numbers = []
    for corner in CORNERS:
        text = box.findtext(corner)
        try:
            number = float(text)
        except (TypeError, ValueError):
            number = math.nan
        if not is_place(number):
            found = f"is {shown(text.strip())}, not a number of pixels" if text else "is missing"
            raise DataError(f"{path}: {which}: <{corner}> {found}")
        numbers.append(number)
    return numbers


def _difficult(path: Path, which: str, entry: Any) -> bool | None:
    """Return whether an object is difficult, or None where it is not written."""
    text = entry.findtext("difficult")
    if text is None or not text.strip():
        return None
    mark = flag(text)
    if mark is None:
        raise DataError(f"{path}: {which}: <difficult> is {shown(text.strip())}; it must be 0 or 1")
    return mark


def unmarked_note(where: Path, records: Iterable[Record]) -> list[str]:
    """Return a note, if of objects in these annotations it is not written whether they are difficult."""
    count = sum(record.unmarked for record in records)
    return [f"{where}: {count:,} objects have no <difficult>; they are taken as not difficult"] if count else []


def _size(root: Any) -> tuple[int, int] | None:
    """Return the width and height that are written, or None: tools that do not know them leave them out or write 0."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}"))) for side in ("width", "height"))
    except (TypeError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def read_masks(path: Path, count: int, size: tuple[int, int]) -> list[Mask]:
    """Return the masks of an image's objects from a PNG of indices: pixels of value n are of the n-th object.

    0 is background, and so is 255, the border that VOC leaves out. `size` is the image's (width, height).

    Raises: DataError, if the file is missing, no such PNG, of another size, or has an index without an object.
    """
    with quiet, refusing(path):
        image, kind = open_header(content_of(path))
        if kind.name != "PNG" or image.mode not in ("P", "L"):
            raise DataError(
                f"{path}: a {kind.name} of mode {image.mode}; masks are a PNG of indices, one for an object"
            )
        if image.size != size:
            raise DataError(f"{path}: {image.width} x {image.height} pixels, and its image is {size[0]} x {size[1]}")
        image.load()
        indices = np.asarray(image)
    found = sorted(set(np.unique(indices).tolist()) - {0, VOID})
    if found and found[-1] > count:
        raise DataError(f"{path}: index {found[-1]}, and the annotation has {count} objects; index n is the n-th one")
    return [Mask.of_pixels(indices == number) for number in range(1, count + 1)]


@dataclass(frozen=True)
class Folder:
    """One folder in VOC's layout, such as VOC2007."""

    path: Path

    def sets(self) -> tuple[str, ...]:
        """Return the names of the image sets there are, sorted; VOC's per-class lists (dog_train.txt) are none."""
        main = self.path / "ImageSets" / "Main"
        names = sorted(file.stem for file in main.glob("[!.]*.txt")) if main.is_dir() else []
        classes = {f"{name}_" for name in CLASSES}
        return tuple(name for name in names if not any(name.startswith(prefix) for prefix in classes))

    def image_set(self, name: str, *, masks: bool = False) -> Path:
        """Return where an image set is, with `masks` that of the images with masks, which may be fewer."""
        segmented = self.path / "ImageSets" / "Segmentation" / f"{name}.txt"
        return segmented if masks and segmented.exists() else self.path / "ImageSets" / "Main" / f"{name}.txt"

    def image_ids(self, name: str, *, masks: bool = False) -> list[str]:
        """Return the image ids of a set, in its order.

        Raises: DataError, if there is no such set, it is empty or an image is in it twice.
        """
        path = self.image_set(name, masks=masks)
        if not os.path.lexists(path):
            known = self.sets()
            there = f"; there are {', '.join(known)}" if known else ""
            raise DataError(f"{path}: no such image set{nearest(name, known)}{there}")
        ids = [self._id(line.strip()) for line in lines_of(path) if line.strip()]
        if not ids:
            raise DataError(f"{path}: an empty image set")
        seen: set[str] = set()
        for image_id in ids:
            if image_id in seen:
                raise DataError(f"{path}: image {image_id} is in it twice")
            seen.add(image_id)
        return ids

    def _id(self, line: str) -> str:
        """Return the image id of a line, which may be a file's name or path, and may be followed by -1, 0 or 1."""
        flagged = re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", line)
        image_id = flagged[1] if flagged and not self.has_annotation(line) else line
        name = image_id.replace("\\", "/").rpartition("/")[2]
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUFFIXES or self.has_annotation(image_id):
            return image_id
        is_file = self.has_annotation(stem) or os.path.lexists(self.path / "JPEGImages" / name)
        return stem if is_file else image_id

    def has_annotation(self, image_id: str) -> bool:
        """Return whether there is an annotation of an image."""
        return os.path.lexists(self.annotation(image_id))

    def annotation(self, image_id: str) -> Path:
        """Return where the annotation of an image is."""
        return self.path / "Annotations" / f"{image_id}.xml"

    def segmentation(self, image_id: str) -> Path:
        """Return where the PNG with the masks of an image is."""
        return self.path / "SegmentationObject" / f"{image_id}.png"

    def has_masks(self) -> bool:
        """Return whether there is a folder of masks."""
        return (self.path / "SegmentationObject").is_dir()

    def fewer_note(self, name: str, masked: int) -> list[str]:
        """Return a note, if a set has fewer images with masks than it has images."""
        main, own = self.image_set(name), self.image_set(name, masks=True)
        count = len(self.image_ids(name)) if own != main and main.exists() else masked
        if count == masked:
            return []
        return [
            f"{own}: {masked:,} images with masks; the {count:,} of {main} are not used, nor are boxes scored on them"
        ]

    def images(self, ids: Sequence[str]) -> list[Path]:
        """Return the image files of these ids.

        Raises: DataError, if one is missing, or is there with two suffixes.
        """
        folder = self.path / "JPEGImages"
        listed = files_by_id(folder, SUFFIXES)
        missing = [image_id for image_id in ids if image_id not in listed]
        if missing:
            raise DataError(
                f"{folder}: {len(missing):,} of {len(ids):,} images are missing; the first is {missing[0]} "
                f"({', '.join(SUFFIXES)})"
            )
        return [folder / listed[image_id] for image_id in ids]
