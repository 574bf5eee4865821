"""Checks of localisation data sets: their content counted, and boxes compared with the images that they are of."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from resnets.data.audit import decode_each
from resnets.data.headers import ImageHeader
from resnets.data.shard_writer import Progress
from resnets.detection.assemble import turned_note
from resnets.detection.repairs import ROUNDING, repair_size
from resnets.errors import DataError
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits


@dataclass(frozen=True)
class BoxedContent:
    """How many images a split has, those that do not count, all boxes, and the images of a class.

    Of images that are not annotated the classes are not known.
    """

    images: int
    excluded: int
    boxes: int
    of_class: dict[str, int] | None

    @classmethod
    def of(cls, splits: LocalisationSplits, split: str) -> Self:
        """Count a split."""
        found = splits.of(split)
        annotated = split != "test" or splits.test_annotated
        counts = np.bincount(found.files.labels, minlength=len(splits.classes)).tolist()
        return cls(
            images=len(found),
            excluded=len(splits.blacklist_of(split)),
            boxes=len(found.boxes),
            of_class=dict(zip(splits.classes, counts, strict=True)) if annotated else None,
        )


@dataclass
class CheckedImages:
    """What is wrong with the images of a data set when all are decoded, and what is worth knowing.

    Of `damaged` ones training would fail; `mismatched` are those whose annotation is of another picture.
    """

    damaged: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_images(splits: LocalisationSplits, progress: Progress) -> CheckedImages:
    """Decode every image as training does, and compare it with its boxes and the size that its annotation gives.

    What was compared when the data was loaded, as of the sources `voc` and `coco`, is not compared again. `progress` is
    called with the number of finished images and their total.
    """
    checked = CheckedImages()
    files = [file for images in splits.splits().values() for file in images.files.paths]
    found = decode_each(files, progress)
    for name, images in splits.splits().items():
        headers = list(islice(found, len(images)))
        checked.damaged += [header for header in headers if isinstance(header, str)]
        if images.sizes is not None:
            _compare(name, images, headers, checked)
    return checked


def _compare(name: str, images: BoxedImages, headers: list[ImageHeader | str], checked: CheckedImages) -> None:
    """Compare the images of a split with their boxes and the sizes that annotations give, 0 where they give none."""
    assert images.sizes is not None
    resized, outside = [], []
    for index, (path, header) in enumerate(zip(images.files.paths, headers, strict=True)):
        if isinstance(header, str):
            continue
        size, boxes = (header.width, header.height), images.boxes_of(index).astype(np.float64)
        width, height = images.sizes[index].tolist()
        try:
            if width and repair_size(Path(str(path)), (width, height), size, boxes):
                resized.append(path)
            outside += [path] * int((boxes[:, 2:] > np.asarray(size) + ROUNDING).any(1).sum())
        except DataError as error:
            checked.mismatched.append(str(error))
    checked.notes += turned_note(name, [header for header in headers if isinstance(header, ImageHeader)])
    for where, what in (
        (resized, "images are of another size than their annotations give"),
        (outside, "boxes reach out of their images"),
    ):
        if where:
            checked.notes.append(f"{name}: {len(where):,} {what}; the first is {where[0]}")
