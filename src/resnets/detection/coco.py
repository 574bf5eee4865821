"""COCO's layout, official or custom: an instances JSON for each set of images, and the images next to it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from resnets.errors import DataError, nearest

Id = int | str


@dataclass(frozen=True, eq=False)
class Instances:
    """The content of an instances JSON, verified but not changed: what belongs together is there, and only once."""

    path: Path
    images: tuple[dict[str, Any], ...]
    categories: tuple[dict[str, Any], ...]  # sorted by id, as COCO's own tools have them
    annotations: dict[Id, list[dict[str, Any]]]  # by image id
    annotated: bool  # False for COCO's test images, whose annotations only the server knows


def read(path: Path) -> Instances:
    """Return the content of an instances JSON.

    Raises: DataError, if it is missing, no instances JSON, has an id twice, an annotation of an unknown image or
        category, or a box that is not four finite numbers.
    """
    content = read_json(path)
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
    _ids(path, "annotation", [entry for entry in annotations if "id" in entry], int)
    by_image: dict[Id, list[dict[str, Any]]] = {number: [] for number in image_ids}
    for number, entry in enumerate(annotations, 1):
        which = f"annotation {entry.get('id', f'number {number}')}"
        if not is_id(entry.get("image_id"), image_ids):
            raise DataError(f"{path}: {which} is of image {entry.get('image_id')}, which is not among the images")
        if not is_id(entry.get("category_id"), category_ids):
            raise DataError(f"{path}: {which} is of the unknown category {entry.get('category_id')}")
        if not is_box(entry.get("bbox")):
            raise DataError(
                f"{path}: {which}: bbox {entry.get('bbox')!r} is not four finite numbers x, y, width, height"
            )
        by_image[entry["image_id"]].append(entry)
    ordered = tuple(sorted(categories, key=lambda entry: entry["id"]))
    return Instances(path, tuple(images), ordered, by_image, annotated)


def names(instances: Instances) -> tuple[list[str], dict[int, str]]:
    """Return the images' file names and the categories' names by id, which training needs, and scoring does not.

    Raises: DataError, if one is missing, or a category's is there twice.
    """
    for what, key, entries in (("image", "file_name", instances.images), ("category", "name", instances.categories)):
        for entry in entries:
            if not isinstance(entry.get(key), str):
                raise DataError(f"{instances.path}: {what} {entry['id']} has no {key}")
    _once(instances.path, "category name", (entry["name"] for entry in instances.categories))
    files = [entry["file_name"] for entry in instances.images]
    return files, {entry["id"]: entry["name"] for entry in instances.categories}


def size_of(image: dict[str, Any]) -> tuple[int, int] | None:
    """Return the width and height that are written of an image, or None."""
    width, height = image.get("width"), image.get("height")
    if is_number(width) and is_number(height) and width > 0 and height > 0:
        return int(width), int(height)
    return None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises: DataError, if it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: failed to read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None


def is_id(value: Any, known: Container[Any]) -> bool:
    """Return whether this is one of the known ids; from a file it can be anything, and a list has no hash."""
    return isinstance(value, Id) and not isinstance(value, bool) and value in known


def is_box(box: Any) -> bool:
    """Return whether this is a list of four finite numbers."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether this is a finite number, and no truth value."""
    # not math.isfinite, which fails on whole numbers that no float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _ids(path: Path, what: str, entries: list[dict[str, Any]], kind: Any) -> set[Any]:
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry.get("id"), kind) or isinstance(entry["id"], bool):
            raise DataError(f"{path}: {what} number {number} has the id {entry.get('id')!r}; an id is an integer")
    return _once(path, f"{what} id", (entry["id"] for entry in entries))


def _once(path: Path, what: str, values: Iterable[Any]) -> set[Any]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise DataError(f"{path}: {what} {value} is there twice")
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

        Raises: DataError, if one is missing.
        """
        folders = dict.fromkeys((name, name.replace("test-dev", "test")))  # COCO's test-dev is a part of its test set
        places = [parent / folder for folder in folders for parent in (self.path, self.path / "images")]
        places.append(self.path / "images")
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            raise DataError(f"{self.path}: no folder {name}/ of images")
        listed = {file.name for file in folder.iterdir()}
        missing = [file for file in files if file not in listed and not (folder / file).is_file()]
        if missing:
            raise DataError(
                f"{folder}: {len(missing):,} of {len(files):,} images are missing; the first is {missing[0]}"
            )
        return [folder / file for file in files]

    def usual_sets(self) -> tuple[str, str | None, str] | None:
        """Return the sets that are trained, validated and tested on when none is named: the newest year's."""
        known = self.sets()
        for year in sorted({re.sub(r"\D", "", name) for name in known}, reverse=True):
            train, val, test = (f"{split}{year}" for split in ("train", "val", "test"))
            val = val if val in known else f"valid{year}"
            if train in known and val in known:
                return (train, val, test) if test in known else (train, None, val)
        return None
