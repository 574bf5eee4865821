"""ILSVRC's localisation data (CLS-LOC), as ImageNet and Kaggle give it: boxes by XML or by LOC_*_solution.csv.

A box is written by its first and last pixel, counted from 0.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import WNID
from resnets.data.formats import SUFFIXES
from resnets.data.imagenet import folders_around, readable
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
VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})")
"""Names of ILSVRC's validation images, which hold their numbers."""

ALL_VALIDATION = 50_000


@dataclass(frozen=True, eq=False)
class Boxes:
    """The objects of an image, all of one class; `size` is the image's (width, height) where the annotation gives it.

    Shape: boxes (N, 4) float64, in continuous coordinates
    """

    wnid: str
    boxes: NDArray[np.float64]
    size: tuple[int, int] | None = None


@dataclass
class _Reader:
    """A data set that is read: its images, the folders that may have lists (the nearest first), what was left out."""

    path: Path
    images: Path
    near: tuple[Path, ...]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> _Reader:
        images = next((path / inside for inside in IMAGES if (path / inside / "train").is_dir()), None)
        if images is None:
            raise DataError(f"{path}: no folder Data/CLS-LOC/train; images go to Data/CLS-LOC/train/WNID/* and val/*")
        near = [path, path / "ILSVRC", *folders_around(images)]
        return cls(path, images, tuple(folder for folder in dict.fromkeys(near) if folder.is_dir()))

    def find(self, *names: str) -> Path | None:
        """Return the first of some files or folders that is there, in the nearest folder that has one."""
        return next((folder / name for folder in self.near for name in names if (folder / name).exists()), None)

    def objects(self, name: str) -> tuple[Path, dict[str, Boxes]]:
        """Return the table or folder with the objects of a set, and these by the images' names. Raises: DataError."""
        where = self.find(f"LOC_{name}_solution.csv", f"{ANNOTATIONS}/{name}")
        if where is None:
            raise DataError(
                f"{self.path}: neither LOC_{name}_solution.csv nor {ANNOTATIONS}/{name} has the boxes of {name}"
            )
        return where, dict(_annotated(where) if where.is_dir() else read_table(where))

    def read(self, name: str, *, needed: bool) -> tuple[dict[str, Path], dict[str, Boxes]]:
        """Return the images of a set and their objects; those `needed` to train on are the ones that have boxes."""
        files = _files(self.images / name)
        if name == "test" and not needed:
            return files, {}
        where, written = self.objects(name)
        if missing := sorted(written.keys() - files.keys()):
            raise DataError(
                f"{self.images / name}: {len(missing):,} of the {len(written):,} images with boxes in {where} are "
                f"missing; the first is {missing[0]}"
            )
        objects = self.kept(name, written)
        emptied = len(written) - len(objects)
        without = sorted(files.keys() - objects.keys())
        of_which = f" ({emptied:,} of them only boxes that are left out)" if emptied else ""
        if without and not needed:
            raise DataError(
                f"{self.images / name}: {len(without):,} images have no boxes{of_which}; the first is {without[0]}"
            )
        if without:
            self.notes.append(
                f"{name}: {len(without):,} of {len(files):,} images have no boxes{of_which}, and are not trained on"
            )
        return {image: files[image] for image in sorted(objects)}, objects

    def kept(self, name: str, written: Mapping[str, Boxes]) -> dict[str, Boxes]:
        """Return the objects of the images that have boxes: clipped where the image's size is written, and counted."""
        owns = list(written.values())
        counts = np.asarray([len(own.boxes) for own in owns], np.int64)
        boxes = np.concatenate([np.zeros((0, 4)), *(own.boxes for own in owns)])
        limits = np.asarray([(own.size or (math.inf, math.inf)) * 2 for own in owns]).reshape(-1, 4)
        clipped = boxes.clip(0, limits.repeat(counts, 0))
        ordered, inside = ((some[:, 2:] > some[:, :2]).all(1) for some in (boxes, clipped))
        for found, what in (
            (~ordered, "end before they start, and are left out"),
            (ordered & ~inside, "are outside their images, and are left out"),
            (inside & (clipped != boxes).any(1), "reach out of their images, and are clipped"),
        ):
            if found.any():
                self.notes.append(f"{name}: {int(found.sum()):,} boxes {what}")
        of_each = [np.split(some, counts.cumsum())[:-1] for some in (clipped, inside)]
        parts = zip(written, owns, *of_each, strict=True)
        return {image: replace(own, boxes=some[real]) for image, own, some, real in parts if real.any()}

    def boxed(self, name: str, files: dict[str, Path], objects: dict[str, Boxes], wnids: list[str]) -> BoxedImages:
        """Return images with their labels and boxes. Raises: DataError, for a class that is not trained on."""
        numbers = {wnid: number for number, wnid in enumerate(wnids)}
        owns = [objects.get(image, Boxes("", np.zeros((0, 4)))) for image in files]  # none, where only a server knows
        for image, own in zip(files, owns, strict=True):
            if own.wnid and own.wnid not in numbers:
                raise DataError(f"{self.images / name}: image {image} is of class {own.wnid}, which is not trained on")
        return BoxedImages.of(
            list(files.values()),
            [numbers.get(own.wnid, 0) for own in owns],
            [own.boxes for own in owns],
            [own.size or (0, 0) for own in owns],
        )


def load(path: Path, sets: str | None = None) -> LocalisationSplits:
    """Return the data set of a folder, trained on one set and tested on another: `train/val`, or `train/test`.

    The classes are the sorted WordNet ids of the training images, named as the source `imagenet` does. Lists may be in
    the folders around it; the nearest count. Where a folder has both, Kaggle's tables are read in place of the XML
    files: they have the same boxes. Boxes that end before they start or are outside the size that an XML file gives are
    left out, and others clipped to it.

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
        blacklist=_blacklist(reader, list(map(tested.name, range(len(tested))))) if test == "val" else frozenset(),
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
        _, found = reader.objects("val")
    else:
        raise DataError(f"{path}: no such file or folder")
    class_ids, names = class_ids or reader.find(f"devkit/data/{CLASS_IDS}", CLASS_IDS), sorted(found)
    return TrueBoxes(
        {name: found[name] for name in names},
        None if class_ids is None else read_class_ids(class_ids),
        _blacklist(reader, names) if blacklist is None else read_blacklist(blacklist, names),
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
            yield file.stem, replace(_objects(str(file), record.names, record.corners), size=record.size)


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


def read_blacklist(path: Path, names: Sequence[str]) -> frozenset[int]:
    """Return the places, from 0, of a list's images among those of these names; it counts them from 1.

    Its numbers are those of ILSVRC's validation images where all have their names, such as ILSVRC2012_val_00000001:
    they may be a part, and the numbers of others are passed over. Else they are the places of the images in order.

    Raises: DataError, if one is no such number.
    """
    official = _numbers(names)
    numbers, most = (range(1, len(names) + 1), len(names)) if official is None else (official, ALL_VALIDATION)
    place_of = {number: place for place, number in enumerate(numbers)}
    places = set()
    for line, text in enumerate(map(str.strip, lines_of(path)), 1):
        if text and not (text.isdecimal() and 1 <= int(text) <= most):
            raise DataError(f"{path}, line {line}: {text[:20]!r} is not the number of one of {most:,} images")
        if text and int(text) in place_of:
            places.add(place_of[int(text)])
    return frozenset(places)


def _numbers(names: Sequence[str]) -> list[int] | None:
    """Return the numbers in the names of ILSVRC's validation images; None if one has another name."""
    found = [VALIDATION.fullmatch(name) for name in names]
    return None if None in found else [int(match[1]) for match in found if match is not None]


def _blacklist(reader: _Reader, names: Sequence[str]) -> frozenset[int]:
    """Return the places of the images in the nearest blacklist; one around the data set is of ILSVRC's images alone."""
    for folder in reader.near:
        if folder.is_relative_to(reader.path) or _numbers(names) is not None:
            for path in sorted((folder / "devkit" / "data").glob("*clsloc_validation_blacklist.txt")):
                return read_blacklist(path, names)
    return frozenset()
