"""Small detection data sets in VOC's and COCO's layouts, written for a test."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Object = tuple[Any, ...]
"""A class, xmin, ymin, xmax, ymax and, where it is one, True for a difficult object."""


def annotation(objects: Sequence[Object], size: tuple[object, object] | None = (100, 80)) -> str:
    """Return the XML of an image's objects."""
    entries = "".join(
        f"<object><name>{name}</name><difficult>{int(bool(difficult))}</difficult><bndbox>"
        f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, *box, difficult in (entry if len(entry) == 6 else (*entry, False) for entry in objects)
    )
    written = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>{written}{entries}</annotation>"


def write_image(path: Path, size: tuple[int, int] = (100, 80)) -> None:
    """Write a grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (120, 120, 120)).save(path)


def write_voc(
    root: Path, sets: Mapping[str, Mapping[str, Sequence[Object]]], *, images: bool = True, size: Any = (100, 80)
) -> Path:
    """Write image sets, each of images by id with their objects, and return the folder."""
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "Annotations").mkdir()
    for name, contents in sets.items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{image_id}\n" for image_id in contents))
        for image_id, objects in contents.items():
            (root / "Annotations" / f"{image_id}.xml").write_text(annotation(objects, size))
            if images:
                write_image(root / "JPEGImages" / f"{image_id}.jpg", size)
    return root


def write_rectangles(root: Path, narrow: str, wide: str, step: int = 6) -> Path:
    """Write a VOC folder of four images of one dark rectangle each, and return it: two to train on, two to test."""
    sets: dict[str, dict[str, list[Object]]] = {"train": {}, "test": {}}
    for number in range(4):
        left, width = 8 + step * number, 20 + 20 * (number % 2)
        entry = (wide if number % 2 else narrow, left + 1, 9, left + width, 48)
        sets["train" if number < 2 else "test"][str(number)] = [entry]
        image = Image.new("RGB", (96, 64), (200, 180, 190))
        image.paste((90, 30, 120), (left, 8, left + width, 48))
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        image.save(root / "JPEGImages" / f"{number}.jpg", quality=95)
    return write_voc(root, sets, images=False, size=(96, 64))


def instances(
    images: Sequence[int],
    annotations: Sequence[Mapping[str, Any]],
    categories: Mapping[int, str],
    size: tuple[int, int] = (100, 80),
) -> dict[str, Any]:
    """Return the content of an instances JSON; annotations are numbered, and an area is that of the box."""
    return {
        "images": [{"id": i, "file_name": f"{i:06}.jpg", "width": size[0], "height": size[1]} for i in images],
        "categories": [{"id": number, "name": name} for number, name in categories.items()],
        "annotations": [
            {"id": n, "iscrowd": 0, "area": math.prod((entry["bbox"] or [])[2:]), **entry}
            for n, entry in enumerate(annotations, 1)
        ],
    }


def write_coco(root: Path, sets: Mapping[str, dict[str, Any]], size: tuple[int, int] = (100, 80)) -> Path:
    """Write annotations/instances_SET.json and SET/*.jpg, and return the folder."""
    (root / "annotations").mkdir(parents=True)
    for name, content in sets.items():
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
        for image in content["images"]:
            write_image(root / name / image["file_name"], size)
    return root


def random_boxes(generator: np.random.Generator, count: int, reach: int = 60) -> np.ndarray[Any, Any]:
    """Return boxes of whole pixels, xmin, ymin, xmax, ymax, which overlap a lot. Shape: (N, 4)."""
    first = generator.integers(1, reach // 2, (count, 2))
    return np.concatenate([first, first + generator.integers(0, reach // 2, (count, 2))], axis=1)
