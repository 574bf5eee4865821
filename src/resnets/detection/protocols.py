"""Detections on a split, scored and written by the name of a protocol: voc07, voc or coco."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from resnets.detection.annotations import AnnotatedImage, Detections, DetectionSplits
from resnets.detection.extra import need
from resnets.detection.scoring import coco, results, voc
from resnets.errors import DataError, UsageError, nearest

PROTOCOLS = (*voc.METRICS, "coco")

Score = Callable[[Sequence[AnnotatedImage], Sequence[Detections]], dict[str, Any]]
"""What detections on a split come to, JSON-ready: the protocol, `mean_ap`, `ap` of each class, in [0, 1].

By COCO's protocol `mean_ap` is AP at IoU 0.50:0.95, and the twelve `numbers` are there too.
"""


def score_for(splits: DetectionSplits, protocol: str | None = None) -> Score:
    """Return what scores detections on a split of a data set by a protocol, its own if none is named.

    Raises: UsageError, if there is no such protocol, or what it needs is not installed.
    """
    name = _known(splits, protocol)
    classes = splits.classes
    if name == "coco":
        need("pycocotools.coco")  # better now than after days of training

        def by_coco(images: Sequence[AnnotatedImage], detections: Sequence[Detections]) -> dict[str, Any]:
            found = coco.score(images, detections, classes)
            return {"protocol": name, "mean_ap": found.numbers["AP"], "numbers": found.numbers, "ap": found.ap}

        return by_coco

    def by_voc(images: Sequence[AnnotatedImage], detections: Sequence[Detections]) -> dict[str, Any]:
        found = voc.score(images, detections, classes, voc.METRICS[name])
        return {"protocol": name, "mean_ap": found.mean_ap, "ap": found.ap}

    return by_voc


def require_objects(images: Sequence[AnnotatedImage], protocol: str, where: str) -> None:
    """Make sure that a split can be scored, before hours of work that end in it.

    Raises: DataError, if no object counts: an average precision of nothing is no number.
    """
    if all((image.crowd if protocol == "coco" else ~image.trainable).all() for image in images):
        raise DataError(f"{where}: no object that counts is in any of the {len(images):,}; there is nothing to score")


def write(
    folder: Path, splits: DetectionSplits, detections: Sequence[Detections], *, split: str, protocol: str | None = None
) -> list[Path]:
    """Write detections as the protocol's tools and servers take them, and return the files.

    VOC: comp4_det_SPLIT_CLASS.txt for each class. COCO: detections_SPLIT_results.json.

    Raises: RunError, if the folder cannot be written; UsageError, as `score_for`.
    """
    if _known(splits, protocol) != "coco":
        return results.write_voc(folder, detections, splits.classes, split=split)
    path = folder / f"detections_{split}_results.json"
    folder.mkdir(parents=True, exist_ok=True)
    results.write_coco(path, detections, splits.category_ids)
    return [path]


def _known(splits: DetectionSplits, protocol: str | None) -> str:
    name = protocol or splits.protocol
    if name not in PROTOCOLS:
        raise UsageError(f"unknown protocol {name!r}{nearest(name, PROTOCOLS)}; known: {', '.join(PROTOCOLS)}")
    return name
