"""Drawings and lists of detections."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from resnets.data.decoding import decode
from resnets.detection.fields import json_of
from resnets.detection.masks import Mask
from resnets.errors import ANOTHER_FOLDER, DataError, UsageError
from resnets.files import free_name, make_folder, write_durably, writing
from resnets.inference.images import STDIN, find_images
from resnets.quantities import plural

LIST = "detections.json"


@dataclass(frozen=True)
class DetectedObject:
    """One object of an image. Box: x1, y1, x2, y2 in the image's pixels; score in [0, 1]; a mask, if there is one."""

    name: str
    score: float
    box: tuple[float, float, float, float]
    mask: Mask | None = None

    def __str__(self) -> str:
        pixels = "" if self.mask is None else f"  {plural(self.mask.area, 'pixel')}"
        return f"{self.name} {self.score:.2f}  {' '.join(f'{side:.1f}' for side in self.box)}{pixels}"

    def entry(self) -> dict[str, object]:
        """Return the object as JSON has it, a mask as COCO's compressed run lengths."""
        return {"name": self.name, "score": self.score, "box": list(self.box)} | (
            {} if self.mask is None else {"mask": self.mask.rle()}
        )


Answer = list[DetectedObject] | DataError


def answers(
    images: str | Path | Iterable[str | Path],
    find: Callable[[Image.Image], list[DetectedObject]],
    classes: Sequence[str],
    out: Path | None,
) -> Iterator[tuple[Path | str, Answer]]:
    """Yield what is found on each image file, or the error if it is not an image; the folder `out` gets drawings of it.

    Each comes with its path or, of an image in a shard or on standard input, its name.

    Raises: as `find_images` and `DetectionWriter`.
    """
    with nullcontext() if out is None else DetectionWriter(out, classes) as writer:
        for file in find_images(images):
            name = file if isinstance(file, Path) else str(file)
            try:
                image = decode(file)
            except DataError as error:
                yield name, error
                continue
            objects = find(image)
            if writer is not None:
                writer.add(name, image, objects)
            yield name, objects


class DetectionWriter:
    """Writes NAME.jpg of each image with its objects, and at the end of its `with` block detections.json, their list.

    An existing file is only overwritten if an earlier detections.json lists it.

    Raises: UsageError, if the folder holds another detections.json; RunError, if it is not writable.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder = folder
        self.labels = {name: label for label, name in enumerate(classes)}
        self.entries: list[dict[str, object]] = []
        self.names: set[str] = set()
        self.earlier = _earlier_drawings(folder / LIST)
        with writing(folder):
            make_folder(folder)

    def add(self, name: Path | str, image: Image.Image, objects: Sequence[DetectedObject]) -> Path:
        """Draw the objects on an image, and return the file."""
        drawn = draw(
            image,
            [
                Labelled(found.box, f"{found.name} {found.score:.2f}", self.labels[found.name], found.mask)
                for found in objects
            ],
        )
        content = io.BytesIO()
        drawn.save(content, "JPEG", quality=92)
        stem = "stdin" if str(name) == STDIN else Path(name).stem
        target = self.folder / free_name(self.folder, stem, ".jpg", self.names, self.earlier)
        self.entries.append({"image": str(name), "drawn": target.name, "objects": [found.entry() for found in objects]})
        with writing(target):
            target.write_bytes(content.getvalue())
        return target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        text = ",\n".join(json.dumps(entry) for entry in self.entries)
        with writing(self.folder):
            write_durably(self.folder / LIST, f"[\n{text}\n]\n".encode())


def _earlier_drawings(path: Path) -> set[str]:
    """Return the files that an earlier detections.json lists."""
    if not path.exists():
        return set()
    try:
        return {entry["drawn"] for entry in json_of(path)}
    except (DataError, TypeError, KeyError):
        raise UsageError(f"{path} is not of `detect predict`, and would be lost; {ANOTHER_FOLDER}") from None


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Okabe and Ito's colours, which colour-blind people distinguish; the ninth class has the first one's again."""


class Labelled(NamedTuple):
    """A box to draw: x1, y1, x2, y2 in pixels; and a mask to tint."""

    box: tuple[float, float, float, float]
    text: str
    label: int
    mask: Mask | None = None


TINT = 0.55
"""Share of a mask's colour in its pixels."""


def draw(image: Image.Image, objects: Sequence[Labelled]) -> Image.Image:
    """Return a copy of an RGB image with tinted masks, boxes and texts on it, legible at the image's size.

    An object with a mask that is small next to its text has none.
    """
    drawn = _tinted(image, objects)
    pen = ImageDraw.Draw(drawn)
    side = max(drawn.size)
    width, size = max(2, round(side / 300)), max(11, round(side / 45))
    font = ImageFont.load_default(size)
    for box, text, label, mask in reversed(objects):  # the most certain, which come first, are drawn over the others
        colour = COLOURS[label % len(COLOURS)]
        pen.rectangle(box, outline=colour, width=width if mask is None else width // 2)
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        if mask is not None and right - left > 2 * (box[2] - box[0]):
            continue  # it would hide the masks of its neighbours
        height = bottom - top + width
        x = max(0, min(box[0], drawn.width - (right - left) - width))
        y = box[1] - height if box[1] >= height else box[1]  # above the box where there is room
        pen.rectangle((x, y, x + right - left + width, y + height), fill=colour)
        ink = "black" if colour in ("#f0e442", "#e69f00", "#56b4e9") else "white"
        pen.text((x + width / 2 - left, y + width / 2 - top), text, fill=ink, font=font)
    return drawn


def _tinted(image: Image.Image, objects: Sequence[Labelled]) -> Image.Image:
    """Return a copy of an RGB image with each mask in a colour of its own, as objects of one class may touch."""
    if all(one.mask is None for one in objects):
        return image.copy()
    pixels = np.array(image)
    for number, one in reversed(list(enumerate(objects))):
        if one.mask is not None:
            inside = one.mask.decode() != 0
            colour = np.array(ImageColor.getrgb(COLOURS[number % (len(COLOURS) - 1)]))
            pixels[inside] = ((1 - TINT) * pixels[inside] + TINT * colour).round()
    return Image.fromarray(pixels)
