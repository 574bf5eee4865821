"""Scoring detections in files, and looking through a detection data set: no model and no torch are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from resnets.detection import sources
from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.detection.scoring import coco, voc
from resnets.detection.scoring.coco import CocoScore
from resnets.detection.scoring.voc import VocScore
from resnets.errors import UsageError, nearest

PROTOCOLS = ("voc07", "voc", "coco")


def score_detections(
    ground_truth: str | PathLike[str],
    detections: str | PathLike[str],
    protocol: str,
    *,
    split: str | None = None,
    iou_type: str = "bbox",
) -> VocScore | CocoScore:
    """Return the score of detections in files, by the rules of PASCAL VOC or COCO.

    `voc07` (11-point AP) and `voc` (area AP, VOC 2010 and later) take a VOC20YY folder and a folder of
    comp4_det_SPLIT_CLASS.txt, and score the images of ImageSets/Main/SPLIT.txt (`test` if no split is named). `coco`
    takes an instances JSON and a result JSON, by boxes or, with `iou_type` segm, by masks.

    Raises: UsageError, for an unknown protocol or an option that it does not have; DataError, if a file is missing
        or damaged.
    Paper: Tables 7 to 11.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}{nearest(protocol, PROTOCOLS)}; known: {', '.join(PROTOCOLS)}")
    if iou_type not in ("bbox", "segm"):
        raise UsageError(f"IoU type is {iou_type!r}; it must be bbox or segm")
    if protocol == "coco":
        if split is not None:
            raise UsageError(f"split {split!r}: an instances JSON is one split; name the JSON of the split that counts")
        return coco.score_files(Path(ground_truth), Path(detections), iou_type)
    if iou_type != "bbox":
        raise UsageError(f"protocol {protocol} scores boxes only; masks are scored by protocol coco")
    return voc.score_files(Path(ground_truth), Path(detections), voc.METRICS[protocol], split or "test")


def load_detection_data(source: str, classes: Sequence[str] | None = None) -> DetectionSplits:
    """Return the detection data set that a source names: `voc:PATH[@SETS]` or `coco:PATH[@SETS]`.

    What a source can be, and what is done about annotations that cannot be, says `detection.sources.load`.

    Raises: UsageError, if the source is none; DataError, if the data is missing or damaged.
    """
    return sources.load(source, classes)


@dataclass(frozen=True)
class SplitContent:
    """How many images and objects a split has; difficult and crowd objects are among the objects."""

    images: int
    without_objects: int
    objects: dict[str, int]
    difficult: int
    crowd: int


def contents(data: DetectionSplits) -> dict[str, SplitContent]:
    """Return the content of each split: training, validation (where there is one) and test."""
    return {name: _content(split, data.classes) for name, split in data.splits()}


def _content(images: Sequence[AnnotatedImage], classes: Sequence[str]) -> SplitContent:
    counts = sum((np.bincount(image.labels, minlength=len(classes)) for image in images), np.zeros(len(classes), int))
    return SplitContent(
        images=len(images),
        without_objects=sum(not len(image.labels) for image in images),
        objects=dict(zip(classes, counts.tolist(), strict=True)),
        difficult=sum(int(image.difficult.sum()) for image in images),
        crowd=sum(int(image.crowd.sum()) for image in images),
    )
