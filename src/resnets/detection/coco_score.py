"""COCO's score: the twelve numbers of pycocotools, of JSON files or of detections in memory, by boxes or masks."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets.detection import coco
from resnets.detection.annotations import AnnotatedImage, Detections
from resnets.detection.fields import Id, is_box, is_id, is_number, json_of, shown, unit_note
from resnets.detection.mask_checks import MaskChecks
from resnets.detection.result_files import coco_results
from resnets.errors import DataError, import_extra

NUMBERS = {
    "AP": "IoU 0.50:0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small objects",
    "APm": "medium objects",
    "APl": "large objects",
    "AR1": "1 detection an image",
    "AR10": "10 detections an image",
    "AR100": "100 detections an image",
    "ARs": "small objects",
    "ARm": "medium objects",
    "ARl": "large objects",
}
"""The twelve numbers, in the order of pycocotools, and what each is of."""

PAIRS, PAIRS_OF_AN_OBJECT = 2_000_000, 100
"""Pairs of a category and an image that are scored, in any case and for each object: pycocotools visits all of them."""


@dataclass(frozen=True)
class CocoScore:
    """The twelve numbers as fractions, by the names in `NUMBERS`; -1 where no object is of that size, as COCO has it.

    `ap` is AP (IoU 0.50:0.95) of each class, None for one without objects.
    """

    numbers: dict[str, float]
    ap: dict[str, float | None]
    iou_type: str
    images: int
    notes: tuple[str, ...] = ()


def score_files(ground_truth: Path, detections: Path, iou_type: str = "bbox") -> CocoScore:
    """Return the score of a COCO result JSON against an instances JSON; the images themselves are not read.

    Raises: DataError, if a file is missing or damaged, or a detection is of an image that the instances lack.
    """
    instances = coco.read(ground_truth)
    if not instances.annotated:
        raise DataError(f"{ground_truth}: no list 'annotations' of objects; it is no ground truth")
    found = json_of(detections)
    sizes = {image["id"]: coco.size_of(image) for image in instances.images}
    masks = MaskChecks(sizes, sum(os.path.getsize(path) for path in (ground_truth, detections)))
    truth, notes = _truth_of_file(instances, masks, iou_type)
    entries, of_found = _detections_of_file(detections, found, instances, masks, iou_type)
    return _score(truth, entries, iou_type, notes + of_found, ground_truth)


def score(
    images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: Sequence[str], iou_type: str = "bbox"
) -> CocoScore:
    """Return the score of detections in annotated images, by boxes or masks, which both must then have.

    COCO knows no difficult objects: they count.

    Raises: DataError, if a detection is of another image.
    """
    known = [image.id for image in images]
    if all(isinstance(one, int) for one in known):  # ties of scores are in the order of the ids, as for files
        numbers: dict[int | str, int] = {one: int(one) for one in known}
    else:
        numbers = {one: number for number, one in enumerate(sorted(known, key=str), 1)}
    unknown = [found.id for found in detections if found.id not in numbers]
    if unknown:
        raise DataError(f"there are detections in image {unknown[0]}, which is not among the {len(images):,} images")
    annotations = [
        {
            "image_id": numbers[image.id],
            "category_id": int(label) + 1,
            "bbox": [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)],
            "iscrowd": int(crowd),
            "area": float(area),
            **({} if mask is None else {"segmentation": mask.rle()}),
        }
        for image in images
        for label, (x1, y1, x2, y2), crowd, area, mask in zip(
            image.labels, image.boxes, image.crowd, image.areas, image.masks or [None] * len(image.labels), strict=True
        )
    ]
    truth = {
        "images": [
            {"id": numbers[image.id], "file_name": image.path.name, "width": image.size[0], "height": image.size[1]}
            for image in images
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
        "annotations": [{"id": number, **entry} for number, entry in enumerate(annotations, 1)],
    }
    found = coco_results(detections, range(1, len(classes) + 1), numbers, iou_type=iou_type)
    return _score(truth, found, iou_type, [], None)


def _truth_of_file(instances: coco.Instances, masks: MaskChecks, iou_type: str) -> tuple[dict[str, Any], list[str]]:
    """Return the ground truth for pycocotools, and notes; what it cannot do without is filled in."""
    annotations = [one for several in instances.annotations.values() for one in several]
    used = {one.id for one in annotations}
    free = (number for number in itertools.count(1) if number not in used)
    entries = []
    for one in annotations:
        entry = {
            "id": next(free) if one.id is None else one.id,
            "image_id": one.image,
            "category_id": one.category,
            "bbox": list(one.box),
            "iscrowd": int(one.crowd),
            "area": one.box[2] * one.box[3] if one.area is None else one.area,
        }
        if iou_type == "segm":
            which = f"{instances.path}: annotation {shown(entry['id'])} of image {shown(one.image)}"
            if not one.segmentation:
                raise DataError(f"{which} has no segmentation; boxes need none")
            entry["segmentation"] = masks.verified(which, one.image, one.segmentation)
        entries.append(entry)
    notes = [*instances.notes, *unit_note(instances.path, np.asarray([one.box for one in annotations]))]
    notes += masks.notes(instances.path)
    if 0 in used:
        notes.append(f"{instances.path} has an annotation with the id 0, which COCO's own tool never takes for found")
    truth = {
        "images": [{"id": image["id"]} | _sides(image) for image in instances.images],
        "categories": [
            {"id": entry["id"], "name": str(entry.get("name") or entry["id"])} for entry in instances.categories
        ],
        "annotations": entries,
    }
    return truth, notes


def _sides(image: dict[str, Any]) -> dict[str, int]:
    size = coco.size_of(image)
    return {} if size is None else {"width": size[0], "height": size[1]}


def _detections_of_file(
    path: Path, found: Any, instances: coco.Instances, masks: MaskChecks, iou_type: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the detections in a result JSON for pycocotools, and notes.

    Raises: DataError, if pycocotools could not take it.
    """
    if not isinstance(found, list):
        raise DataError(f"{path}: a {type(found).__name__}; a result JSON is a list of detections")
    categories = {entry["id"] for entry in instances.categories}
    # the first detection decides, as in pycocotools
    boxed = bool(found) and isinstance(found[0], dict) and bool(found[0].get("bbox"))
    entries, unknown, without_masks = [], 0, 0
    for number, entry in enumerate(found, 1):
        which = f"{path}: detection number {number}"
        if not isinstance(entry, dict) or not {"image_id", "category_id", "score"} <= entry.keys():
            raise DataError(f"{which} lacks one of image_id, category_id and score")
        if not is_id(entry["image_id"], instances.annotations):
            raise DataError(f"{which} is of image {shown(entry['image_id'])}, which is not in {instances.path}")
        if not is_number(entry["score"]):
            raise DataError(f"{which} has the score {shown(entry['score'])}, which is not a finite number")
        box, mask = entry.get("bbox"), entry.get("segmentation")
        if boxed and not is_box(box):
            raise DataError(f"{which}: bbox {shown(box)} is not four numbers x, y, width, height in pixels")
        if not boxed and not isinstance(mask, dict):
            raise DataError(
                f"{which} has neither a bbox nor a segmentation as RLE, or not the one of the first detection"
            )
        if not is_id(entry["category_id"], categories):
            unknown += 1
            continue
        made = {key: entry[key] for key in ("image_id", "category_id", "score")} | ({"bbox": box} if boxed else {})
        if iou_type == "segm" and mask is None and is_box(box):
            without_masks += 1
            x, y, width, height = box
            mask = [[x, y, x, y + height, x + width, y + height, x + width, y]]
        if iou_type == "segm" or not boxed:
            made["segmentation"] = masks.verified(which, entry["image_id"], mask)
        entries.append(made)
    notes = unit_note(path, np.asarray([entry["bbox"] for entry in entries])) if boxed else []
    if unknown:
        notes.append(
            f"{unknown:,} detections of {path} are of categories that {instances.path} lacks; passed over, as COCO's "
            "own tool does"
        )
    if without_masks:
        notes.append(f"{path} has boxes without masks; the whole box is taken as the mask, as COCO's own tool does")
    return entries, notes


def _counted(truth: dict[str, Any], found: Sequence[dict[str, Any]], where: Path | None) -> tuple[list[int], list[Id]]:
    """Return the categories and images that count: a category without objects and an image without either do not.

    Raises: DataError, if there are so many of both, and so few objects, that pycocotools would take minutes and
        gigabytes for nothing.
    """
    objects = truth["annotations"]
    categories = sorted({entry["category_id"] for entry in objects})
    images = sorted({entry["image_id"] for entry in (*objects, *found)})
    pairs, most = len(categories) * len(images), max(PAIRS, PAIRS_OF_AN_OBJECT * (len(objects) + len(found)))
    if pairs > most:
        raise DataError(
            f"{where or 'the detections'}: {len(categories):,} categories in {len(images):,} images are {pairs:,} "
            f"pairs; at most {most:,} are scored"
        )
    return categories, images


def _score(
    truth: dict[str, Any], found: list[dict[str, Any]], iou_type: str, notes: list[str], where: Path | None
) -> CocoScore:
    categories, images = _counted(truth, found, where)
    api, evaluation = (import_extra(f"pycocotools.{name}", "detection") for name in ("coco", "cocoeval"))
    truth_api = api.COCO()
    with contextlib.redirect_stdout(io.StringIO()):  # its running commentary
        truth_api.dataset = truth
        truth_api.createIndex()
        try:
            if found:
                found_api = truth_api.loadRes(found)
            else:  # loadRes looks at the first detection
                found_api = api.COCO()
                found_api.dataset = {**truth, "annotations": []}
                found_api.createIndex()
            run = evaluation.COCOeval(truth_api, found_api, iou_type)
            run.params.catIds, run.params.imgIds = categories, images
            run.evaluate()
            run.accumulate()
            run.summarize()
        except Exception as error:  # of masks that are none, for example
            reason = str(error) or type(error).__name__
            raise DataError(f"{where or 'the detections'}: pycocotools cannot score these ({reason})") from error
    precision = run.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class), all sizes, 100 detections
    names = {entry["id"]: entry["name"] for entry in truth["categories"]}
    ap: dict[str, float | None] = dict.fromkeys(names.values())
    for index, category in enumerate(categories):
        here = precision[:, :, index]
        ap[names[category]] = float(here[here > -1].mean()) if (here > -1).any() else None
    return CocoScore(
        numbers={name: float(value) for name, value in zip(NUMBERS, run.stats, strict=True)},
        ap=ap,
        iou_type=iou_type,
        images=len(truth["images"]),
        notes=tuple(notes),
    )
