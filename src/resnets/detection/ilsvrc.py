"""ILSVRC's detection data (DET), in the folders of 2015 and later or of 2013 and 2014. Paper: appendix B, Table 12.

A box is written by its first and last pixel, counted from 0, where VOC counts from 1.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import WNID
from resnets.data.formats import SUFFIXES
from resnets.data.headers import read_headers
from resnets.detection import voc
from resnets.detection.annotations import files_by_id
from resnets.detection.assemble import Image, Images, turned_note
from resnets.detection.fields import lines_of, shown, unit_note
from resnets.detection.ilsvrc_classes import CATEGORIES, NAMES
from resnets.detection.repairs import repair_size
from resnets.errors import DataError, nearest
from resnets.quantities import plural

DEFAULT_SETS = "val1+train1000/val2"
"""Table 12 trains on the training images and val1; how many of the former, the paper does not say: see `positives`."""

SPLITS = ("train", "val", "test")
_IMAGES = ("Data/DET/{0}", "ILSVRC*_DET_{0}")
_ANNOTATIONS = ("Annotations/DET/{0}", "ILSVRC*_DET_bbox_{0}")
_LISTS = ("ImageSets/DET", "*devkit*/data/det_lists", "det_lists", ".")
_BLACKLISTS = tuple(f"{folder}/*det_validation_blacklist.txt" for folder in ("*devkit*/data", "ImageSets/DET", "."))
_NUMBER = re.compile(r"-?\d{1,9}")
_POSITIVES = re.compile(r"train(\d{0,9})")
_LAST = np.asarray((0.0, 0.0, 1.0, 1.0))  # a box ends behind its last pixel


def boxes_of(corners: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return boxes in continuous coordinates of xmin, ymin, xmax, ymax as ILSVRC writes them. Shape: (N, 4)."""
    return corners.astype(np.float64) + _LAST


def corners(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return boxes in continuous coordinates as ILSVRC writes them: xmin, ymin, xmax, ymax. Shape: (N, 4)."""
    return boxes.astype(np.float64) - _LAST


@dataclass(frozen=True, eq=False)
class _Tree:
    """Files below a folder, found by the ids of lists, which may name more or fewer of the folders above a file."""

    root: Path
    suffixes: tuple[str, ...]
    listed: dict[Path, dict[str, str]] = field(default_factory=dict)

    def find(self, image_id: str) -> Path | None:
        """Return the file of an id such as n02113978/n02113978_996, or None. Raises: DataError, if there are two."""
        *above, name = image_id.split("/")
        for base in (self.root, *self._nested):
            for start in range(len(above) + 1):
                folder = base.joinpath(*above[start:])
                if file := self._files(folder).get(name):
                    return folder / file
        return None

    @cached_property
    def _nested(self) -> list[Path]:
        """The folders that hold images or folders of classes, such as ILSVRC2013_train."""
        return sorted(one for one in self.root.iterdir() if not WNID.fullmatch(one.name) and one.is_dir())

    def _files(self, folder: Path) -> dict[str, str]:
        """Return the files of a folder, by their names without suffix."""
        if folder not in self.listed:
            self.listed[folder] = files_by_id(folder, self.suffixes)
        return self.listed[folder]


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder with ILSVRC's detection data, or the folder that it is in."""

    path: Path

    @cached_property
    def _bases(self) -> list[Path]:
        return [self.path, *sorted(one for one in self.path.glob("ILSVRC*") if "_DET_" not in one.name)]

    def _found(self, *patterns: str) -> list[Path]:
        return [found for base in self._bases for pattern in patterns for found in sorted(base.glob(pattern))]

    def list_of(self, name: str) -> Path | None:
        """Return the file NAME.txt of a list, or None."""
        return next(iter(self._found(*(f"{folder}/{name}.txt" for folder in _LISTS))), None)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The server's number of each validation and test image, by its id. Raises: DataError, for a damaged list."""
        found: dict[str, int] = {}
        for name in ("val", "test"):
            if (path := self.list_of(name)) is not None:
                found |= {image_id: number for image_id, number in _lines(path) if number is not None}
        return found

    @cached_property
    def blacklist(self) -> dict[int, tuple[str, ...]]:
        """The classes that do not count in validation images, by these images' numbers. Raises: DataError."""
        found: dict[int, tuple[str, ...]] = {}
        for path in self._found(*_BLACKLISTS)[:1]:
            for line, words in enumerate(map(str.split, lines_of(path)), 1):
                if words and (len(words) != 2 or not _NUMBER.fullmatch(words[0]) or words[1] not in NAMES):
                    raise DataError(
                        f"{path}: line {line}, {shown(' '.join(words))}, is not the number of a validation image and "
                        "a class, such as 46 n00007846"
                    )
                if words:
                    found[int(words[0])] = (*found.get(int(words[0]), ()), NAMES[words[1]])
            if found and self.list_of("val") is None:
                raise DataError(f"{path} is of images by their numbers, which no val.txt in ImageSets/DET has")
        return found

    def sets(self) -> tuple[str, ...]:
        """Return the names of the image sets there are, sorted; the lists of a class (train_1.txt) are none."""
        found = {one.stem for one in self._found(*(f"{folder}/*.txt" for folder in _LISTS[:-1]))}
        return tuple(sorted(name for name in found if not name.startswith("train_")))

    def ids(self, name: str) -> list[str]:
        """Return the image ids of a set, in its order: of NAME.txt, or of `train`, `train1000` as `positives` has them.

        Raises: DataError, if there is no such set, it is empty or an image is in it twice.
        """
        path = self.list_of(name)
        if path is None and (own := _POSITIVES.fullmatch(name)):
            return self.positives(int(own[1]) if own[1] else None)
        if path is None:
            known = self.sets()
            where = self.path / "ImageSets" / "DET"
            published = (
                "; the authors of R-CNN publish it: github.com/rbgirshick/rcnn, data/splits/ilsvrc13"
                if name in ("val1", "val2")
                else f"{nearest(name, known)}; there are {', '.join(known) or 'none'}"
            )
            raise DataError(f"{where}: no image set {name}.txt{published}")
        ids = [image_id for image_id, _ in _lines(path)]
        if not ids:
            raise DataError(f"{path}: an empty image set")
        if len(set(ids)) < len(ids):
            twice = next(one for one, count in Counter(ids).items() if count > 1)
            raise DataError(f"{path}: image {twice} is in it twice")
        return ids

    def positives(self, most: int | None = None) -> list[str]:
        """Return the training images that have a class, at most the first `most` of each class's list; each once.

        The lists are train_N.txt of 2015, in which positive images are followed by 1, or train_pos_N.txt.

        Raises: DataError, if a list is missing.
        """
        ids: dict[str, None] = {}
        for number, name in CATEGORIES.items():
            if (path := self.list_of(f"train_pos_{number}")) is not None:
                own = [image_id for image_id, _ in _lines(path)]
            elif (path := self.list_of(f"train_{number}")) is not None:
                own = [image_id for image_id, mark in _lines(path) if mark == 1]
            else:
                raise DataError(
                    f"{self.path / 'ImageSets' / 'DET'}: neither train_{number}.txt nor train_pos_{number}.txt, the "
                    f"training images of {name}"
                )
            ids |= dict.fromkeys(own[:most])
        return list(ids)

    def trees(self, split: str, *, annotations: bool) -> list[_Tree]:
        """Return where the images, or the annotations, of a set's split are, and then where others are."""
        order = sorted(SPLITS, key=lambda one: not split.startswith(one))
        patterns = _ANNOTATIONS if annotations else _IMAGES
        roots = [root for one in order for root in self._found(*(pattern.format(one) for pattern in patterns))]
        return [_Tree(root, (".xml",) if annotations else SUFFIXES) for root in dict.fromkeys(roots)]


def _lines(path: Path) -> Iterator[tuple[str, int | None]]:
    """Yield the id of each line of a list, and the number after it. Raises: DataError, for another line."""
    for line, words in enumerate(map(str.split, lines_of(path)), 1):
        if words and (len(words) > 2 or not _NUMBER.fullmatch((*words, "0")[1])):
            raise DataError(f"{path}: line {line}, {shown(' '.join(words))}, is not an image's id and a number")
        if words:
            yield words[0], int(words[1]) if len(words) == 2 else None


def read(path: Path) -> voc.Record:
    """Return what an annotation file says of its objects, their classes by name; corners are counted from 0.

    Raises: DataError, as `voc.read`, or for a class that is none of the 200.
    """
    record = voc.read(path)
    for number, wnid in enumerate(record.names, 1):
        if wnid not in NAMES:
            raise DataError(
                f"{path}: object {number} is of class {shown(wnid)}, which is none of the {len(NAMES)} of ILSVRC's "
                "detection, such as n02084071"
            )
    return dataclasses.replace(record, names=tuple(NAMES[wnid] for wnid in record.names))


def _found(trees: Sequence[_Tree], ids: Sequence[str]) -> list[Path | None]:
    """Return the file of each id, None where there is none. Raises: DataError, if it is that of another id too."""
    files = [next(filter(None, (tree.find(one) for tree in trees)), None) for one in ids]
    taken: dict[Path, str] = {}
    for image_id, file in zip(ids, files, strict=True):
        if file is not None and (other := taken.setdefault(file, image_id)) != image_id:
            raise DataError(f"{file}: the only file for both {other} and {image_id}; each image needs one of its own")
    return files


def annotated(folder: Folder, name: str, ids: Sequence[str]) -> list[voc.Record | None]:
    """Return the annotations of a set's images; None where there is no file: such an image has no objects.

    Raises: DataError, if one is damaged, or missing of an image that is listed for a class.
    """
    files = _found(folder.trees(name, annotations=True), ids)
    missing = [one for one, file in zip(ids, files, strict=True) if file is None]
    if missing and folder.list_of(name) is None:
        raise DataError(
            f"{folder.path}: {len(missing):,} of {len(ids):,} annotations of the set {name} are missing; the first is "
            f"Annotations/DET/train/{missing[0]}.xml"
        )
    return [None if file is None else read(file) for file in files]


def images(folder: Folder, name: str, *, needed: bool) -> Images:
    """Return a set of images. A set that is not `needed` to train on may have no annotations at all.

    Their ids are the server's numbers where a list has them.

    Raises: DataError, if an image or its annotation is missing or damaged.
    """
    ids = folder.ids(name)
    trees = folder.trees(name, annotations=False)
    if not trees:
        raise DataError(f"{folder.path}: no folder Data/DET/{name} of images, nor one such as ILSVRC2013_DET_{name}")
    found = _found(trees, ids)
    paths = [path for path in found if path is not None]
    if len(paths) < len(ids):
        raise DataError(
            f"{trees[0].root}: {len(ids) - len(paths):,} of {len(ids):,} images of the set {name} are missing; the "
            f"first is {ids[found.index(None)]}"
        )
    records = annotated(folder, name, ids)
    absent = sum(record is None for record in records)
    unannotated = absent == len(ids)
    if unannotated and needed:
        raise DataError(f"{folder.path}: none of the {len(ids):,} images of the set {name} has an annotation")
    headers, blacklist = list(read_headers(paths)), folder.blacklist
    made, repairs = [], []
    for image_id, path, record, header in zip(ids, paths, records, headers, strict=True):
        size = header.width, header.height
        if record is None:
            record = voc.Record(path, size, (), np.zeros((0, 4)), np.zeros(0, np.bool_))
        boxes, count = boxes_of(record.corners), len(record.names)
        repairs += repair_size(record.path, record.size, size, boxes)
        number = folder.numbers.get(image_id)
        made.append(
            Image(
                path=path,
                where=record.path,
                id=image_id if number is None else number,
                size=size,
                names=record.names,
                boxes=boxes,
                difficult=np.zeros(count, np.bool_),
                crowd=np.zeros(count, np.bool_),
                areas=np.full(count, math.nan),
                masks=None,
                excluded=() if number is None else blacklist.get(number, ()),
            )
        )
    where = folder.list_of(name) or folder.path
    notes = [*unit_note(where, np.concatenate([one.boxes for one in made]) - _LAST), *turned_note(where, headers)]
    if absent and not unannotated:
        notes.append(f"{where}: {plural(absent, 'image')} without an annotation file; taken as without objects")
    return Images(folder.path, tuple(made), tuple(repairs), tuple(notes), CATEGORIES, annotated=not unannotated)
