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
from resnets.storage import write_durably, writing


@dataclass(frozen=True)
class DetectedObject:
    """One object of an image. Box: x1, y1, x2, y2 in the image's pixels; score in [0, 1]."""

    name: str
    score: float
    box: tuple[float, float, float, float]


class Album:
    """Writes NAME.jpg of each image, and at the end of its `with` block detections.json, which lists them.

    Raises: RunError, if the folder cannot be written.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder = folder
        self.labels = {name: label for label, name in enumerate(classes)}
        self.entries: list[dict[str, object]] = []
        self.names: set[str] = set()
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
            write_durably(self.folder / "detections.json", f"[\n{text}\n]\n".encode())

    def _free(self, stem: str) -> str:
        """Return a name that no other image has: two folders may have images of one name."""
        name, number = stem, 1
        while name in self.names:
            number += 1
            name = f"{stem}-{number}"
        self.names.add(name)
        return name
