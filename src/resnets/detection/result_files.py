"""Detections in files of the official tools: VOC's for each class, COCO's result JSON, ILSVRC's lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnets.detection import ilsvrc, voc
from resnets.detection.annotations import Detections
from resnets.detection.fields import is_name, shown
from resnets.errors import UsageError
from resnets.files import make_folder, write_durably, writing

LONGEST = 240
"""Bytes of a file's name: file systems take 255, of which a file that is being written needs a few more."""


def write_voc(
    folder: Path, detections: Sequence[Detections], classes: Sequence[str], *, split: str = "test"
) -> list[Path]:
    """Write comp4_det_SPLIT_CLASS.txt of every class, found or not, and return the files.

    Numbers keep all their digits, so that scoring the files gives exactly the score of the detections.

    Raises: RunError, if the folder is not writable; UsageError, as `require_voc_names`.
    """
    require_voc_names(classes, (found.id for found in detections), split=split)
    lines: dict[int, list[str]] = {label: [] for label in range(len(classes))}
    for found in detections:
        corners = voc.corners(found.boxes).tolist()
        for label, score, box in zip(found.labels.tolist(), found.scores.tolist(), corners, strict=True):
            lines[label].append(f"{found.id} {score!r} {' '.join(map(repr, box))}\n")
    paths = []
    with writing(folder):
        make_folder(folder)
        for label, name in enumerate(classes):
            paths.append(folder / _voc_file(split, name))
            write_durably(paths[-1], "".join(lines[label]).encode())
    return paths


def require_voc_names(classes: Sequence[str], ids: Iterable[int | str], *, split: str) -> None:
    """Verify that VOC's files can hold detections of these classes and images, before hours of detection.

    Raises: UsageError, for a class that no file can be named after, or an id that is no part of a line.
    """
    for name in classes:
        if "/" in name or not is_name(name) or len(os.fsencode(_voc_file(split, name))) > LONGEST:
            raise UsageError(
                f"class {shown(name)} is not valid in the name of a detection file; COCO's JSON takes it: protocol coco"
            )
    for image_id in ids:
        text = str(image_id)
        if not is_name(text) or text != text.strip():
            raise UsageError(
                f"image {shown(text)} is not valid in the lines of detection files; COCO's JSON takes it: protocol coco"
            )


def _voc_file(split: str, name: str) -> str:
    return f"comp4_det_{split}_{name}.txt"


def write_ilsvrc(path: Path, detections: Sequence[Detections], category_ids: Sequence[int]) -> None:
    """Write a line of each detection: INDEX ID CONFIDENCE XMIN YMIN XMAX YMAX. Numbers keep all their digits.

    Raises: RunError, if the file is not writable; UsageError, as `require_numbers`.
    """
    require_numbers(found.id for found in detections)
    lines = []
    for found in detections:
        corners = ilsvrc.corners(found.boxes).tolist()
        for label, score, box in zip(found.labels.tolist(), found.scores.tolist(), corners, strict=True):
            lines.append(f"{found.id} {category_ids[label]} {score!r} {' '.join(map(repr, box))}\n")
    with writing(path):
        make_folder(path.parent)
        write_durably(path, "".join(lines).encode())


def require_numbers(ids: Iterable[int | str]) -> None:
    """Verify that ILSVRC's file can hold detections of these images. Raises: UsageError, for one without a number."""
    for image_id in ids:
        if not isinstance(image_id, int):
            raise UsageError(
                f"image {shown(image_id)} has no number, by which ILSVRC's file names images; val.txt and test.txt of "
                "ilsvrc:PATH have them"
            )


def write_coco(
    path: Path, detections: Sequence[Detections], category_ids: Sequence[int], iou_type: str = "bbox"
) -> None:
    """Write COCO's result JSON. Raises: RunError, if the file is not writable."""
    with writing(path):
        make_folder(path.parent)
        write_durably(path, json.dumps(coco_results(detections, category_ids, iou_type=iou_type)).encode())


def coco_results(
    detections: Sequence[Detections],
    category_ids: Sequence[int],
    image_ids: Mapping[int | str, int] | None = None,
    *,
    iou_type: str = "bbox",
) -> list[dict[str, Any]]:
    """Return detections as the entries of COCO's result JSON, the images' ids replaced by `image_ids` where given.

    Entries have a box or a mask: from one with both, pycocotools would take the box's area as the mask's.
    """
    return [
        {
            "image_id": found.id if image_ids is None else image_ids[found.id],
            "category_id": category_ids[label],
            **({"bbox": [x1, y1, x2 - x1, y2 - y1]} if mask is None else {"segmentation": mask.rle()}),
            "score": score,
        }
        for found in detections
        for label, score, (x1, y1, x2, y2), mask in zip(
            found.labels.tolist(),
            found.scores.tolist(),
            found.boxes.tolist(),
            (iou_type == "segm" and found.masks) or [None] * len(found.labels),
            strict=True,
        )
    ]
