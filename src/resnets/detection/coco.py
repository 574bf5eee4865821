"""COCO's layout, official or custom: an instances JSON for each set of images, and the images next to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.detection.fields import Id, flag, is_box, is_id, is_name, is_number, json_of, shown
from resnets.detection.mask_checks import MaskChecks
from resnets.detection.masks import Mask
from resnets.errors import DataError, nearest

MAX_AREA = 10**10
"""Square pixels; COCO's score passes over larger objects in silence."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object of an image, with what its file has of it; null is as good as missing.

    Units: pixels; `box` is x, y, width, height as written
    """

    id: int | None
    image: Id
    category: int
    box: tuple[float, float, float, float]
    crowd: bool  # False where it is not written
    area: float | None  # None where it is not written, or is negative: the box's counts
    segmentation: Any  # not verified; None where it is not written


@dataclass(frozen=True, eq=False)
class Instances:
    """The content of an instances JSON, verified: what belongs together is there, and only once."""

    path: Path
    images: tuple[dict[str, Any], ...]
    categories: tuple[dict[str, Any], ...]  # sorted by id, as COCO's own tools have them
    annotations: dict[Id, list[Annotation]]  # by image id
    annotated: bool  # False for COCO's test images, whose annotations only the server knows
    notes: tuple[str, ...]  # what is not written, and what is taken instead

    def without_masks(self) -> bool:
        """Return whether there are annotations, and none has a segmentation."""
        written = [bool(one.segmentation) for several in self.annotations.values() for one in several]
        return bool(written) and not any(written)


def read(path: Path) -> Instances:
    """Return the content of an instances JSON.

    Raises: DataError, if it is missing, no instances JSON, has an id or a category's name twice, an annotation of an
        unknown image or category, or a box, area or crowd flag that is none.
    """
    content = json_of(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: a {type(content).__name__}; an instances JSON is an object")
    annotated = "annotations" in content
    content.setdefault("annotations", [])
    for part in ("images", "annotations", "categories"):
        if not isinstance(content.get(part), list) or not all(isinstance(entry, dict) for entry in content[part]):
            raise DataError(f"{path}: no list {part!r} of objects; images, annotations and categories make it up")
    images, annotations, categories = (content[part] for part in ("images", "annotations", "categories"))
    image_ids = _ids(path, "image", images, int | str)
    category_ids = _ids(path, "category", categories, int)
    _once(path, "category name", (entry["name"] for entry in categories if isinstance(entry.get("name"), str)))
    _ids(path, "annotation", [entry for entry in annotations if entry.get("id") is not None], int)
    by_image: dict[Id, list[Annotation]] = {number: [] for number in image_ids}
    for number, entry in enumerate(annotations, 1):
        which = f"{path}: annotation {shown(entry['id']) if entry.get('id') is not None else f'number {number}'}"
        if not is_id(entry.get("image_id"), image_ids):
            raise DataError(f"{which} is of image {shown(entry.get('image_id'))}, which is not among the images")
        if not is_id(entry.get("category_id"), category_ids):
            raise DataError(f"{which} is of the unknown category {shown(entry.get('category_id'))}")
        by_image[entry["image_id"]].append(_annotation(which, entry))
    ordered = tuple(sorted(categories, key=lambda entry: entry["id"]))
    return Instances(path, tuple(images), ordered, by_image, annotated, _notes(path, annotations))


def _annotation(which: str, entry: dict[str, Any]) -> Annotation:
    box, area, crowd = entry.get("bbox"), entry.get("area"), entry.get("iscrowd")
    if not is_box(box):
        raise DataError(f"{which}: bbox {shown(box)} is not four numbers x, y, width, height in pixels")
    if area is not None and not (is_number(area) and area <= MAX_AREA):
        raise DataError(f"{which}: area {shown(area)} is not a number up to {MAX_AREA:,}; without it, the box's counts")
    crowded = False if crowd is None else flag(crowd)
    if crowded is None:
        raise DataError(f"{which}: iscrowd is {shown(crowd)}; it must be 0 or 1")
    x, y, width, height = map(float, box)
    return Annotation(
        id=entry.get("id"),
        image=entry["image_id"],
        category=entry["category_id"],
        box=(x, y, width, height),
        crowd=crowded,
        area=None if area is None or area < 0 else area,  # as of an inverted box
        segmentation=entry.get("segmentation"),
    )


def masks(path: Path, objects: Sequence[Annotation], size: tuple[int, int], checks: MaskChecks) -> tuple[Mask, ...]:
    """Return the masks of the objects of an image, whose own size (width, height) counts.

    Raises: DataError, if one is missing or none of that image.
    """
    made = []
    for number, one in enumerate(objects, 1):
        own = f"number {number}" if one.id is None else shown(one.id)
        which = f"{path}: annotation {own} of image {shown(one.image)}"
        if not one.segmentation:
            raise DataError(f"{which} has no segmentation, which masks are made of; boxes need none")
        made.append(Mask.of_segmentation(checks.verified(which, one.image, one.segmentation), (size[1], size[0])))
    return tuple(made)


def _notes(path: Path, annotations: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return what is not written of annotations, or null, and what is taken instead."""
    taken = {"id": "they are numbered", "iscrowd": "they are taken as no crowds", "area": "the box's is taken"}
    lacking = {key: sum(entry.get(key) is None for entry in annotations) for key in taken}
    lacking["area"] += sum(entry.get("area") is not None and entry["area"] < 0 for entry in annotations)
    return tuple(
        f"{path}: {lacking[key]:,} of {len(annotations):,} annotations have no {key!r}; {instead}"
        for key, instead in taken.items()
        if lacking[key]
    )


def names(instances: Instances) -> tuple[list[str], dict[int, str]]:
    """Return the images' file names and the categories' names by id, which training needs, and scoring does not.

    Raises: DataError, if one is missing.
    """
    for image in instances.images:
        if not isinstance(image.get("file_name"), str):
            raise DataError(f"{instances.path}: image {shown(image['id'])} has no file_name")
    for category in instances.categories:
        if not is_name(category.get("name")):
            raise DataError(
                f"{instances.path}: category {category['id']} has the name {shown(category.get('name'))}; it must be "
                "a text without control characters"
            )
    files = [entry["file_name"] for entry in instances.images]
    return files, {entry["id"]: entry["name"] for entry in instances.categories}


def size_of(image: dict[str, Any]) -> tuple[int, int] | None:
    """Return the width and height that are written of an image, or None."""
    width, height = image.get("width"), image.get("height")
    if is_number(width) and is_number(height) and width >= 1 and height >= 1:
        return int(width), int(height)
    return None


def _ids(path: Path, what: str, entries: list[dict[str, Any]], kind: Any) -> set[Any]:
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry.get("id"), kind) or isinstance(entry["id"], bool):
            raise DataError(f"{path}: {what} number {number} has the id {shown(entry.get('id'))}; an id is an integer")
        if type(entry["id"]) is not type(entries[0]["id"]):
            raise DataError(
                f"{path}: {what} ids are numbers and texts, {shown(entries[0]['id'])} and {shown(entry['id'])}; "
                "pycocotools confuses them"
            )
        if isinstance(entry["id"], int) and abs(entry["id"]) >= 2**63:
            raise DataError(f"{path}: {what} number {number} has the id {shown(entry['id'])}, of more than 64 bits")
    return _once(path, f"{what} id", (entry["id"] for entry in entries))


def _once(path: Path, what: str, values: Iterable[Any]) -> set[Any]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise DataError(f"{path}: {what} {shown(value)} is there twice")
        seen.add(value)
    return seen


@dataclass(frozen=True)
class Folder:
    """A folder in COCO's layout, or in that of the tools which write train/_annotations.coco.json."""

    path: Path

    def sets(self) -> tuple[str, ...]:
        """Return the names of the sets there are, sorted: NAME of annotations/instances_NAME.json."""
        official = (
            file.stem.removeprefix("instances_") for file in (self.path / "annotations").glob("instances_*.json")
        )
        nested = (file.parent.name for file in self.path.glob("*/_annotations.coco.json"))
        return tuple(sorted({*official, *nested}))

    def instances(self, name: str) -> Path:
        """Return the instances JSON of a set.

        Raises: DataError, if there is none.
        """
        for path in (
            self.path / "annotations" / f"instances_{name}.json",
            self.path / "annotations" / f"image_info_{name}.json",
            self.path / name / "_annotations.coco.json",
        ):
            if path.is_file():
                return path
        known = self.sets()
        there = f"; there are {', '.join(known)}" if known else ""
        raise DataError(f"{self.path}: no annotations/instances_{name}.json{nearest(name, known)}{there}")

    def images(self, name: str, files: Sequence[str]) -> list[Path]:
        """Return the image files of a set: in the folder NAME, in images/NAME, or in images; test-dev's with test's.

        A name that is not there may have the folder in it: train/0.jpg, in the whole data set's folder or in images.

        Raises: DataError, if one is missing.
        """
        folders = dict.fromkeys((name, name.replace("test-dev", "test")))  # COCO's test-dev is a part of its test set
        places = [parent / folder for folder in folders for parent in (self.path, self.path / "images")]
        places.append(self.path / "images")
        folder = next((place for place in places if place.is_dir()), None)
        listed = set(os.listdir(folder)) if folder is not None else set()
        bases = [place for place in (folder, self.path, self.path / "images") if place is not None]
        found = [folder / file if folder is not None and file in listed else _image(bases, file) for file in files]
        missing = [file for file, path in zip(files, found, strict=True) if path is None]
        if missing and folder is None:
            raise DataError(f"{self.path}: no folder {name}/ of images")
        if missing:
            raise DataError(
                f"{folder}: {len(missing):,} of {len(files):,} images are missing; the first is {shown(missing[0])}"
            )
        return [path for path in found if path is not None]

    def usual_sets(self) -> tuple[str, str | None, str] | None:
        """Return the sets that are trained, validated and tested on when none is named: the newest year's."""
        known = self.sets()
        for year in sorted({re.sub(r"\D", "", name) for name in known}, reverse=True):
            train, val, test = (f"{split}{year}" for split in ("train", "val", "test"))
            val = val if val in known else f"valid{year}"
            if train in known and val in known:
                return (train, val, test) if test in known else (train, None, val)
        return None


def _image(bases: Sequence[Path], file: str) -> Path | None:
    """Return an image file by its name in one of several folders; on Windows names are written with backslashes."""
    for name in dict.fromkeys((file, file.replace("\\", "/"))):
        for base in bases:
            if os.path.lexists(base / name):  # whatever it is: its reader reports what is no file
                return base / name
    return None
