"""A folder of detections: each image with its objects drawn on it, and all of them in one JSON file."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image

from resnets.detection.drawing import Labelled, draw
from resnets.errors import UsageError
from resnets.storage import write_durably, writing

LIST = "detections.json"


@dataclass(frozen=True)
class DetectedObject:
    """One object of an image. Box: x1, y1, x2, y2 in the image's pixels; score in [0, 1]."""

    name: str
    score: float
    box: tuple[float, float, float, float]


class Album:
    """Writes NAME.jpg of each image, and at the end of its `with` block detections.json, which lists them.

    A file that is there counts as taken, and is never written over, unless an earlier detections.json lists it.

    Raises: UsageError, if the folder holds another detections.json; RunError, if it cannot be written.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder = folder
        self.labels = {name: label for label, name in enumerate(classes)}
        self.entries: list[dict[str, object]] = []
        self.names: set[str] = set()
        self.earlier = _drawn_before(folder / LIST)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, path: Path, image: Image.Image, objects: Sequence[DetectedObject]) -> Path:
        """Draw the objects on an image, and return the file."""
        drawn = draw(
            image,
            [Labelled(found.box, f"{found.name} {found.score:.2f}", self.labels[found.name]) for found in objects],
        )
        content = io.BytesIO()
        drawn.save(content, "JPEG", quality=92)
        target = self.folder / f"{self._free(path.stem)}.jpg"
        self.entries.append(
            {"image": str(path), "drawn": target.name, "objects": [dataclasses.asdict(found) for found in objects]}
        )
        with writing(target):
            target.write_bytes(content.getvalue())
        return target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        text = ",\n".join(json.dumps(entry) for entry in self.entries)
        with writing(self.folder):
            write_durably(self.folder / LIST, f"[\n{text}\n]\n".encode())

    def _free(self, stem: str) -> str:
        """Return a name that no other file has: two folders may have images of one name, and this one photos."""
        name, number = stem, 1
        while name in self.names or (f"{name}.jpg" not in self.earlier and (self.folder / f"{name}.jpg").exists()):
            number += 1
            name = f"{stem}-{number}"
        self.names.add(name)
        return name


def _drawn_before(path: Path) -> set[str]:
    """Return the files that an earlier album lists."""
    if not path.exists():
        return set()
    try:
        return {entry["drawn"] for entry in json.loads(path.read_text())}
    except (OSError, ValueError, TypeError, KeyError):
        raise UsageError(f"{path} is not of `detect predict`, and would be lost; name another folder") from None
