"""Scores by protocol: of detections in files, without a model or torch, and of detections in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from resnets.detection import coco_score, ilsvrc_score, result_files, voc_score
from resnets.detection.annotations import AnnotatedImage, Detections, DetectionSplits
from resnets.detection.average_precision import ClassScores
from resnets.detection.coco_score import CocoScore
from resnets.errors import DataError, UsageError, import_extra, nearest, public
from resnets.records.runs import DetectionScores, MaskScores

PROTOCOLS = (*voc_score.METRICS, "coco", "ilsvrc")

Score = Callable[[Sequence[AnnotatedImage], Sequence[Detections]], DetectionScores]
"""Scores detections on a split. With COCO's protocol `mean_ap` is AP at IoU 0.50:0.95, with the twelve `numbers`."""


def score_for(splits: DetectionSplits, protocol: str | None = None) -> Score:
    """Return the function that scores detections on a data set by a protocol, by default the data set's own.

    Masks, where images and detections have them, are scored by COCO's protocol in any case.

    Raises: UsageError, if there is no such protocol, or what it needs is not installed.
    """
    name = _require_known(protocol or splits.protocol)
    classes = splits.classes
    if name == "coco":
        import_extra("pycocotools.coco", "detection")  # now rather than after days of training

    def by_protocol(images: Sequence[AnnotatedImage], detections: Sequence[Detections]) -> DetectionScores:
        masks = _mask_scores(images, detections, classes)
        if name == "coco":
            coco = coco_score.score(images, detections, classes)
            return DetectionScores(
                protocol=name, mean_ap=coco.numbers["AP"], numbers=coco.numbers, ap=coco.ap, masks=masks
            )
        if name == "ilsvrc":
            found = ilsvrc_score.score(images, detections, classes)
        else:
            found = voc_score.score(images, detections, classes, voc_score.METRICS[name])
        return DetectionScores(protocol=name, mean_ap=found.mean_ap, ap=found.ap, masks=masks)

    return by_protocol


def _mask_scores(
    images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: Sequence[str]
) -> MaskScores | None:
    """Return COCO's score of masks, whatever boxes are scored by; None where there are none."""
    if any(image.masks is None for image in images) or any(found.masks is None for found in detections):
        return None
    found = coco_score.score(images, detections, classes, "segm")
    return MaskScores(numbers=found.numbers, ap=found.ap)


def require_objects(images: Sequence[AnnotatedImage], protocol: str, where: str) -> None:
    """Verify that a split can be scored, before hours of work that end in it.

    Raises: DataError, if no object counts: an average precision of nothing is no number.
    """
    left_out = {"coco": lambda image: image.crowd, "ilsvrc": lambda image: np.isin(image.labels, image.excluded)}
    if all(left_out.get(protocol, lambda image: ~image.trainable)(image).all() for image in images):
        raise DataError(f"{where}: no object that counts is in any of the {len(images):,}; there is nothing to score")


def require_writable(splits: DetectionSplits, split: str, protocol: str | None = None) -> None:
    """Verify that `write_detections` can write detections on a split. Raises: UsageError."""
    ids = [image.id for image in splits.of(split)]
    name = _require_known(protocol or splits.protocol)
    if name == "ilsvrc":
        result_files.require_numbers(ids)
    elif name != "coco":
        result_files.require_voc_names(splits.classes, ids, split=split)


def write_detections(
    folder: Path, splits: DetectionSplits, detections: Sequence[Detections], *, split: str, protocol: str | None = None
) -> list[Path]:
    """Write detections in the format of the protocol's tools and servers, and return the files.

    VOC: comp4_det_SPLIT_CLASS.txt for each class. COCO: detections_SPLIT_results.json. ILSVRC: detections_SPLIT.txt.
    Masks, of any protocol: segmentations_SPLIT_results.json, COCO's result JSON without boxes.

    Raises: RunError, if the folder is not writable; UsageError, as `score_for`.
    """
    name = _require_known(protocol or splits.protocol)
    if name == "ilsvrc":
        paths = [folder / f"detections_{split}.txt"]
        result_files.write_ilsvrc(paths[0], detections, splits.category_ids)
    elif name != "coco":
        paths = result_files.write_voc(folder, detections, splits.classes, split=split)
    else:
        paths = [folder / f"detections_{split}_results.json"]
        result_files.write_coco(paths[0], detections, splits.category_ids)
    if all(found.masks is not None for found in detections):
        paths.append(folder / f"segmentations_{split}_results.json")
        result_files.write_coco(paths[-1], detections, splits.category_ids, "segm")
    return paths


@public
def score_detections(
    ground_truth: str | PathLike[str],
    detections: str | PathLike[str],
    protocol: str,
    *,
    split: str | None = None,
    iou_type: str = "bbox",
) -> ClassScores | CocoScore:
    """Return the score of detection files by the rules of PASCAL VOC, COCO or ILSVRC.

    Args:
        ground_truth: a VOC20YY folder, an instances JSON file of COCO, or a folder with ILSVRC's detection data.
        detections: a folder of comp4_det_SPLIT_CLASS.txt files, a result JSON file of COCO, or a text file of ILSVRC.
        protocol: `voc07` (11-point AP), `voc` (area AP, as from VOC 2010), `coco` or `ilsvrc`.
        split: image set of VOC or ILSVRC; None is `test` of VOC and `val2` of ILSVRC.
        iou_type: overlap in COCO of boxes (`bbox`) or masks (`segm`).

    Raises: UsageError, for an unknown protocol or an option that it does not have; DataError, if a file is missing
        or damaged.
    Paper: Tables 7 to 12.
    """
    _require_known(protocol)
    if iou_type not in ("bbox", "segm"):
        raise UsageError(f"IoU type is {iou_type!r}; it must be bbox or segm")
    if protocol == "coco":
        if split is not None:
            raise UsageError(f"split {split!r}: an instances JSON is one split; name the JSON of the split that counts")
        return coco_score.score_files(Path(ground_truth), Path(detections), iou_type)
    if iou_type != "bbox":
        raise UsageError(f"protocol {protocol} scores boxes only; masks are scored by protocol coco")
    if protocol == "ilsvrc":
        return ilsvrc_score.score_files(Path(ground_truth), Path(detections), split or "val2")
    return voc_score.score_files(Path(ground_truth), Path(detections), voc_score.METRICS[protocol], split or "test")


def _require_known(protocol: str) -> str:
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}{nearest(protocol, PROTOCOLS)}; known: {', '.join(PROTOCOLS)}")
    return protocol
