"""COCO's layout, official or of one's own: an instances JSON for each set of images, and the images beside it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.errors import DataError, nearest


@dataclass(frozen=True, eq=False)
class Instances:
    """The content of an instances JSON, verified but not changed: what belongs together is there, and only once."""

    path: Path
    images: tuple[dict[str, Any], ...]
    categories: tuple[dict[str, Any], ...]  # sorted by id, as COCO's own tools have them
    annotations: dict[int, list[dict[str, Any]]]  # by image id


def read(path: Path) -> Instances:
    """Return the content of an instances JSON.

    Raises: DataError, if it is missing, no instances JSON, has an id twice, an annotation of an unknown image or
        category, or a box that is not four finite numbers.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: a {type(content).__name__}; an instances JSON is an object")
    for part in ("images", "annotations", "categories"):
        if not isinstance(content.get(part), list) or not all(isinstance(entry, dict) for entry in content[part]):
            raise DataError(
                f"{path}: no list {part!r} of objects; an instances JSON has images, annotations, categories"
            )
    images, annotations, categories = (content[part] for part in ("images", "annotations", "categories"))
    image_ids = _ids(path, "image", images)
    category_ids = _ids(path, "category", categories)
    _ids(path, "annotation", [entry for entry in annotations if "id" in entry])
    for entry in categories:
        if not isinstance(entry.get("name"), str):
            raise DataError(f"{path}: category {entry['id']} has no name")
    _once(path, "category name", (entry["name"] for entry in categories))
    for entry in images:
        if not isinstance(entry.get("file_name"), str):
            raise DataError(f"{path}: image {entry['id']} has no file_name")
    by_image: dict[int, list[dict[str, Any]]] = {number: [] for number in image_ids}
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
    return Instances(path, tuple(images), tuple(sorted(categories, key=lambda entry: entry["id"])), by_image)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises: DataError, if it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None


def is_id(value: Any, known: Container[int]) -> bool:
    """Return whether this is one of the known ids; from a file it can be anything, and a list has no hash."""
    return isinstance(value, int) and not isinstance(value, bool) and value in known


def is_box(box: Any) -> bool:
    """Return whether this is a list of four finite numbers."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def is_number(value: Any) -> bool:
    """Return whether this is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ids(path: Path, what: str, entries: list[dict[str, Any]]) -> set[int]:
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry.get("id"), int) or isinstance(entry["id"], bool):
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
        beside = (file.parent.name for file in self.path.glob("*/_annotations.coco.json"))
        return tuple(sorted({*official, *beside}))

    def instances(self, name: str) -> Path:
        """Return the instances JSON of a set.

        Raises: DataError, if there is none.
        """
        for path in (
            self.path / "annotations" / f"instances_{name}.json",
            self.path / name / "_annotations.coco.json",
        ):
            if path.is_file():
                return path
        known = self.sets()
        there = f"; there are {', '.join(known)}" if known else ""
        raise DataError(f"{self.path}: no annotations/instances_{name}.json{nearest(name, known)}{there}")

    def images(self, name: str, instances: Instances) -> list[Path]:
        """Return the image files of a set: in the folder NAME, in images/NAME, or in images.

        Raises: DataError, if one is missing.
        """
        places = [self.path / name, self.path / "images" / name, self.path / "images"]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            raise DataError(f"{self.path}: no folder {name}/ of images")
        names = [entry["file_name"] for entry in instances.images]
        listed = {file.name for file in folder.iterdir()}
        missing = [file for file in names if file not in listed and not (folder / file).is_file()]
        if missing:
            raise DataError(
                f"{folder}: {len(missing):,} of {len(names):,} images are missing; the first is {missing[0]}"
            )
        return [folder / file for file in names]

    def usual_sets(self) -> tuple[str, str | None, str] | None:
        """Return the sets that are trained, validated and tested on when none is named: the newest year's."""
        known = self.sets()
        for year in sorted({re.sub(r"\D", "", name) for name in known}, reverse=True):
            train, val, test = (f"{split}{year}" for split in ("train", "val", "test"))
            val = val if val in known else f"valid{year}"
            if train in known and val in known:
                return (train, val, test) if test in known else (train, None, val)
        return None
