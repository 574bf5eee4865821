"""COCO's score: the twelve numbers of pycocotools, of JSON files or of detections in memory, by boxes or masks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.detection import coco
from resnets.detection.annotations import AnnotatedImage, Detections
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
    truth, notes = _truth_of_file(instances, iou_type)
    found = coco.read_json(detections)
    notes += _verify(detections, found, instances, iou_type)
    return _score(truth, found, iou_type, notes, ground_truth)


def score(images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: Sequence[str]) -> CocoScore:
    """Return the score by boxes of detections in annotated images. COCO knows no difficult objects: they count.

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
        }
        for image in images
        for label, (x1, y1, x2, y2), crowd, area in zip(
            image.labels, image.boxes, image.crowd, image.areas, strict=True
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
    found = coco_results(detections, range(1, len(classes) + 1), numbers)
    return _score(truth, found, "bbox", [], None)


def _truth_of_file(instances: coco.Instances, iou_type: str) -> tuple[dict[str, Any], list[str]]:
    """Return the ground truth for pycocotools; what it cannot do without is filled in, and said."""
    annotations = [entry for entries in instances.annotations.values() for entry in entries]
    notes = []
    lacking = {"id": 0, "iscrowd": 0, "area": 0}
    used = {entry["id"] for entry in annotations if "id" in entry}
    free = iter(range(1, len(annotations) + len(used) + 1))
    for entry in annotations:
        if iou_type == "segm" and not entry.get("segmentation"):
            raise DataError(
                f"{instances.path}: an annotation of image {entry['image_id']} has no segmentation; boxes need none"
            )
        lacking = {key: count + (key not in entry) for key, count in lacking.items()}
        if "id" not in entry:
            entry["id"] = next(number for number in free if number not in used)
        entry.setdefault("iscrowd", 0)
        entry.setdefault("area", entry["bbox"][2] * entry["bbox"][3])
    for key, taken in (("id", "numbered"), ("iscrowd", "taken as no crowd"), ("area", "the box's is taken")):
        if lacking[key]:
            notes.append(f"{lacking[key]:,} annotations of {instances.path} have no {key!r}; {taken}")
    if 0 in used:
        notes.append(f"{instances.path} has an annotation with the id 0, which COCO's own tool never takes for found")
    truth = {"images": list(instances.images), "categories": list(instances.categories), "annotations": annotations}
    return truth, notes


def _verify(path: Path, found: Any, instances: coco.Instances, iou_type: str) -> list[str]:
    """Return notes on a result JSON. Raises: DataError, if pycocotools could not take it."""
    if not isinstance(found, list):
        raise DataError(f"{path}: a {type(found).__name__}; a result JSON is a list of detections")
    categories = {entry["id"] for entry in instances.categories}
    # the first detection decides, as in pycocotools
    boxed = bool(found) and isinstance(found[0], dict) and bool(found[0].get("bbox"))
    unknown = 0
    for number, entry in enumerate(found, 1):
        which = f"{path}: detection number {number}"
        if not isinstance(entry, dict) or not {"image_id", "category_id", "score"} <= entry.keys():
            raise DataError(f"{which} lacks one of image_id, category_id and score")
        if not coco.is_id(entry["image_id"], instances.annotations):
            raise DataError(f"{which} is of image {entry['image_id']!r}, which is not in {instances.path}")
        if not coco.is_number(entry["score"]):
            raise DataError(f"{which} has the score {entry['score']!r}, which is not a finite number")
        if boxed and not coco.is_box(entry.get("bbox")):
            raise DataError(f"{which}: bbox {entry.get('bbox')!r} is not four finite numbers x, y, width, height")
        if not boxed and not isinstance(entry.get("segmentation"), dict):
            raise DataError(
                f"{which} has neither a bbox nor a segmentation as RLE, or not the one of the first detection"
            )
        unknown += not coco.is_id(entry["category_id"], categories)
    notes = []
    if unknown:
        notes.append(
            f"{unknown:,} detections of {path} are of categories that {instances.path} lacks; passed over, as COCO's "
            "own tool does"
        )
    if iou_type == "segm" and boxed and any("segmentation" not in entry for entry in found):
        notes.append(f"{path} has boxes without masks; the whole box is taken as the mask, as COCO's own tool does")
    return notes


def _score(
    truth: dict[str, Any], found: list[dict[str, Any]], iou_type: str, notes: list[str], where: Path | None
) -> CocoScore:
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
            run.evaluate()
            run.accumulate()
            run.summarize()
        except Exception as error:  # of masks that are none, for example
            reason = str(error) or type(error).__name__
            raise DataError(f"{where or 'the detections'}: pycocotools cannot score these ({reason})") from error
    precision = run.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class), all sizes, 100 detections
    names = {entry["id"]: str(entry.get("name", entry["id"])) for entry in truth["categories"]}
    ap: dict[str, float | None] = {}
    for index, category in enumerate(run.params.catIds):
        here = precision[:, :, index]
        ap[names[category]] = float(here[here > -1].mean()) if (here > -1).any() else None
    return CocoScore(
        numbers={name: float(value) for name, value in zip(NUMBERS, run.stats, strict=True)},
        ap=ap,
        iou_type=iou_type,
        images=len(truth["images"]),
        notes=tuple(notes),
    )
