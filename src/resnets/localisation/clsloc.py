"""ILSVRC's localisation data (CLS-LOC), as ImageNet and Kaggle give it: boxes by XML or by LOC_*_solution.csv.

A box is written by its first and last pixel, counted from 0.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import WNID
from resnets.data.formats import SUFFIXES
from resnets.data.imagenet import readable
from resnets.detection import ilsvrc, voc
from resnets.detection.fields import is_place, lines_of
from resnets.errors import DataError, UsageError
from resnets.files import read_bytes, reading
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits, digest

MOST_BYTES = 500_000_000  # of a table of boxes
IMAGES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", ".")
ANNOTATIONS = "Annotations/CLS-LOC"
SETS = ("train", "val", "test")
CLASS_IDS = "map_clsloc.txt"


@dataclass(frozen=True, eq=False)
class Boxes:
    """The objects of an image, all of one class. Shape: boxes (N, 4) float64, in continuous coordinates"""

    wnid: str
    boxes: NDArray[np.float64]


@dataclass
class _Reader:
    """A data set that is read: its images, the folders that may have lists, and what was left out."""

    path: Path
    images: Path
    near: tuple[Path, ...]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> _Reader:
        images = next((path / inside for inside in IMAGES if (path / inside / "train").is_dir()), None)
        if images is None:
            raise DataError(f"{path}: no folder Data/CLS-LOC/train; images go to Data/CLS-LOC/train/WNID/* and val/*")
        above = [path, path / "ILSVRC", *images.parents[:3]]
        return cls(path, images, tuple(folder for folder in dict.fromkeys(above) if folder.is_dir()))

    def find(self, *names: str) -> Path | None:
        """Return the first of some files or folders that is there."""
        return next((folder / name for folder in self.near for name in names if (folder / name).exists()), None)

    def objects(self, name: str) -> dict[str, Boxes]:
        """Return the objects of a set by the images' names. Raises: DataError, if there are none."""
        if (table := self.find(f"LOC_{name}_solution.csv")) is not None:
            return dict(read_table(table))
        if (folder := self.find(f"{ANNOTATIONS}/{name}")) is not None:
            return dict(_annotated(folder))
        raise DataError(
            f"{self.path}: neither LOC_{name}_solution.csv nor {ANNOTATIONS}/{name} has the boxes of {name}"
        )

    def read(self, name: str, *, needed: bool) -> tuple[dict[str, Path], dict[str, Boxes]]:
        """Return the images of a set and their objects; those `needed` to train on are the ones that have boxes."""
        files = _files(self.images / name)
        if name == "test" and not needed:
            return files, {}
        objects = self.objects(name)
        if missing := sorted(objects.keys() - files.keys()):
            raise DataError(
                f"{self.images / name}: {len(missing):,} of {len(objects):,} images with boxes are missing; the first "
                f"is {missing[0]}"
            )
        without = sorted(files.keys() - objects.keys())
        if without and not needed:
            raise DataError(f"{self.images / name}: {len(without):,} images have no boxes; the first is {without[0]}")
        if without:
            self.notes.append(
                f"{name}: {len(without):,} of {len(files):,} images have no boxes, and are not trained on"
            )
        return {image: files[image] for image in sorted(objects)}, objects

    def boxed(self, name: str, files: dict[str, Path], objects: dict[str, Boxes], wnids: list[str]) -> BoxedImages:
        """Return images with their labels and boxes. Raises: DataError, for a class that is not trained on."""
        numbers = {wnid: number for number, wnid in enumerate(wnids)}
        labels, boxes, empty = [], [], 0
        for image in files:
            own = objects.get(image)
            if own is not None and own.wnid not in numbers:
                raise DataError(f"{self.images / name}: image {image} is of class {own.wnid}, which is not trained on")
            labels.append(0 if own is None else numbers[own.wnid])
            found = np.zeros((0, 4)) if own is None else own.boxes
            real = (found[:, 2:] > found[:, :2]).all(1)
            empty += int((~real).sum())
            boxes.append(found[real])
        if empty:
            self.notes.append(f"{name}: {empty:,} boxes end before they start, and are left out")
        return BoxedImages.of(list(files.values()), labels, boxes)


def load(path: Path, sets: str | None = None) -> LocalisationSplits:
    """Return the data set of a folder, trained on one set and tested on another: `train/val`, or `train/test`.

    The classes are the sorted WordNet ids of the training images, named as the source `imagenet` does. Where there are
    both, Kaggle's tables are read in place of the XML files: they have the same boxes.

    Raises: UsageError, if the sets are others; DataError, if images or boxes are missing or damaged.
    """
    train, _, test = (sets or "train/val").partition("/")
    if not {train, test} <= {*SETS}:
        raise UsageError(f"image sets {sets!r}: they must be TRAIN/TEST, each one of {', '.join(SETS)}")
    reader = _Reader.of(path)
    files, objects = reader.read(train, needed=True)
    wnids = sorted({own.wnid for own in objects.values()})
    images = reader.boxed(train, files, objects, wnids)
    tested = images if test == train else reader.boxed(test, *reader.read(test, needed=False), wnids)
    ids = reader.find(f"devkit/data/{CLASS_IDS}", CLASS_IDS)
    classes = readable(tuple(wnids))
    return LocalisationSplits(
        name=path.resolve().name,
        classes=classes,
        train=images,
        test=tested,
        test_annotated=test != "test",
        class_ids=None if ids is None else _in_order(read_class_ids(ids), wnids, ids),
        blacklist=_blacklist(reader, len(tested)) if test == "val" else frozenset(),
        notes=tuple(reader.notes),
        digest=digest(classes, (images, tested)),
    )


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The objects of validation images by name, in order, the server's numbers of the classes, and what is excluded."""

    objects: dict[str, Boxes]
    class_ids: dict[str, int] | None
    blacklist: frozenset[int]


def load_truth(path: Path, class_ids: Path | None, blacklist: Path | None) -> TrueBoxes:
    """Return what guesses for the validation images are scored by, without the images.

    It is in a folder as `load` takes it, a folder of XML files or Kaggle's table; lists that are not named are those of
    the folder.

    Raises: DataError, if a file is missing or damaged.
    """
    reader = _Reader(path, path, tuple(folder for folder in (path, path / "ILSVRC") if folder.is_dir()))
    if path.is_file():
        found = dict(read_table(path))
    elif reader.near and any(path.glob("*.xml")):
        found = dict(_annotated(path))
    elif reader.near:
        found = reader.objects("val")
    else:
        raise DataError(f"{path}: no such file or folder")
    class_ids = class_ids or reader.find(f"devkit/data/{CLASS_IDS}", CLASS_IDS)
    return TrueBoxes(
        dict(sorted(found.items())),
        None if class_ids is None else read_class_ids(class_ids),
        _blacklist(reader, len(found)) if blacklist is None else read_blacklist(blacklist, len(found)),
    )


def read_table(path: Path) -> Iterator[tuple[str, Boxes]]:
    """Yield the images of Kaggle's table with their objects: `WNID xmin ymin xmax ymax`, repeated.

    Raises: DataError, naming the image, if it is another table, or an image has objects of two classes.
    """
    try:
        with reading(path, DataError):
            content = read_bytes(path, MOST_BYTES)
        rows = csv.DictReader(StringIO(content.decode("utf-8-sig"), newline=""))
        if not {"ImageId", "PredictionString"} <= {*(rows.fieldnames or ())}:
            raise DataError(f"{path}: not Kaggle's table of ImageId and PredictionString")
        for row in rows:
            name, words = row["ImageId"], (row["PredictionString"] or "").split()
            boxes = [words[start + 1 : start + 5] for start in range(0, len(words), 5)]
            yield name, _objects(f"{path}: image {name}", words[::5], boxes)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not Kaggle's table of ImageId and PredictionString ({error})") from None


def _annotated(folder: Path) -> Iterator[tuple[str, Boxes]]:
    """Yield the images of a folder's XML files, at any depth, with their objects; files without any are left out."""
    for file in sorted(Path(found, name) for found, _, names in os.walk(folder) for name in names):
        if file.suffix != ".xml":
            continue
        record = voc.read(file)
        if record.names:
            yield file.stem, _objects(str(file), record.names, record.corners)


def _objects(where: str, names: Iterable[str], corners: Iterable[Iterable[object]]) -> Boxes:
    """Return the objects of an image. Raises: DataError, if they are of several classes, or not four numbers each."""
    wnids = list(dict.fromkeys(names))
    if len(wnids) != 1 or not WNID.fullmatch(wnids[0]):
        shown = ", ".join(wnids[:3]) or "none"
        raise DataError(f"{where}: its objects are of class {shown}; they must be of one, such as n01440764")
    try:
        boxes = [[float(number) for number in box] for box in corners]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        boxes = []
    if not boxes or any(len(box) != 4 or not all(map(is_place, box)) for box in boxes):
        raise DataError(f"{where}: an object is not four numbers of pixels after its class")
    return Boxes(wnids[0], ilsvrc.boxes_of(np.asarray(boxes, np.float64)))


def _files(folder: Path) -> dict[str, Path]:
    """Return the images of a folder, at any depth, by their names without suffix, sorted. Raises: DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    found: dict[str, Path] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES and not name.startswith("."):
                if stem in found:
                    raise DataError(f"{Path(place, name)} and {found[stem]} are images of one name; remove one")
                found[stem] = Path(place, name)
    return dict(sorted(found.items()))


def read_class_ids(path: Path) -> dict[str, int]:
    """Return the number of each WordNet id in a list with both on a line. Raises: DataError, if it is none."""
    ids: dict[str, int] = {}
    for number, line in enumerate(lines_of(path), 1):
        first = line.split()[:2]
        wnid = next((word for word in first if WNID.fullmatch(word)), None)
        own = next((word for word in first if re.fullmatch(r"[1-9][0-9]*", word)), None)
        if line.strip():
            if wnid is None or own is None:
                raise DataError(f"{path}, line {number}: not a WordNet id and its number, such as n02119789 1 kit_fox")
            ids[wnid] = int(own)
    return ids


def _in_order(ids: dict[str, int], wnids: Iterable[str], where: Path) -> tuple[int, ...]:
    try:
        return tuple(ids[wnid] for wnid in wnids)
    except KeyError as error:
        raise DataError(f"{where}: class {error.args[0]} has no number in it") from None


def read_blacklist(path: Path, images: int) -> frozenset[int]:
    """Return the places, from 0, of a list's images, which it counts from 1. Raises: DataError, if one is none."""
    places = set()
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            if not line.strip().isdecimal() or not 1 <= int(line) <= images:
                raise DataError(
                    f"{path}, line {number}: {line.strip()[:20]!r} is not the number of one of {images:,} images"
                )
            places.add(int(line) - 1)
    return frozenset(places)


def _blacklist(reader: _Reader, images: int) -> frozenset[int]:
    for folder in reader.near:
        for path in sorted((folder / "devkit" / "data").glob("*clsloc_validation_blacklist.txt")):
            return read_blacklist(path, images)
    return frozenset()
