"""Average precisions: PASCAL VOC's of one class, step by step as in the devkit (VOCevaldet.m, VOCap.m), and the mean.

Where the devkit and the well-known port of it to Python (Fast R-CNN's voc_eval.py) differ, this is how it is here:

- detections of one confidence are taken in the order of their file, as by MATLAB's sort, which is stable (the port's
  sort is not, so that its result may change from machine to machine);
- the 11 points of recall are k * 0.1 in floating point, as in the port and in Octave; MATLAB's own 0:0.1:1 differs from
  that in the last bit at 0.6 and 0.7, which counts when a recall is exactly that;
- where only difficult objects have been found so far, precision is 0 (0 / 0 in the devkit, whose 11-point AP of a
  class is not a number if no other object is ever found);
- a class without any object that counts has no average precision, and is left out of the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from resnets.errors import DataError

Metric = Literal["11-point", "area"]


@dataclass(frozen=True)
class ClassScores:
    """Average precisions of classes at an overlap of 0.5 (ILSVRC: less for small objects), as fractions.

    The mean is over the classes that have objects which count. A class without a detection file has no AP of its own
    (None, in `missing`) and counts as 0 in the mean, as if the detector had found nothing; a class without objects
    that count has none either (None, in `no_objects`), and is left out of the mean.
    """

    mean_ap: float
    ap: dict[str, float | None]
    missing: tuple[str, ...]
    no_objects: tuple[str, ...]
    metric: Metric | Literal["ILSVRC"]
    images: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        ap: Mapping[str, float | None],
        metric: Metric | Literal["ILSVRC"],
        images: int,
        *,
        without_file: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Self:
        """Return the scores of classes, None of one without objects that count. Raises: DataError, if all are."""
        counted = [value for value in ap.values() if value is not None]
        if not counted:
            raise DataError("the ground truth has no object that counts; there is nothing to score")
        no_objects = tuple(name for name, value in ap.items() if value is None)
        missing = tuple(name for name in without_file if name not in no_objects)
        said = list(notes)
        if missing:
            said.append(f"no detection file for {', '.join(missing)}; each counts as AP 0 in the mean")
        if no_objects:
            said.append(f"no object that counts of {', '.join(no_objects)}; left out of the mean")
        return cls(
            mean_ap=float(np.mean(counted)),
            ap={name: None if name in missing else value for name, value in ap.items()},
            missing=missing,
            no_objects=no_objects,
            metric=metric,
            images=images,
            notes=tuple(said),
        )


def average_precision(
    truth: Mapping[str, tuple[NDArray[np.float64], NDArray[np.bool_]]],
    image_ids: Sequence[str],
    confidences: NDArray[np.float64],
    boxes: NDArray[np.float64],
    metric: Metric,
) -> float | None:
    """Return the average precision of one class, or None if `truth` has no object that counts.

    `truth` gives, for each image with objects of the class, their boxes and which of them are difficult; the
    detections are given by image, confidence and box. The steps are those of the devkit: detections by decreasing
    confidence; each is compared with the object of its image that it overlaps most; below 0.5 it is false; on a
    difficult object neither true nor false; on one that is found already, false.

    Shape: boxes of the truth (N, 4), confidences (M,), boxes (M, 4)
    Units: boxes are xmin, ymin, xmax, ymax, the first and last pixels inside, so that a width is xmax - xmin + 1
    Paper: Tables 7, 10 and 11.
    """
    objects = sum(int((~difficult).sum()) for _, difficult in truth.values())
    if objects == 0:
        return None
    order = np.argsort(-confidences, kind="stable")
    places: dict[str, list[int]] = {}  # of each image's detections, among those sorted by confidence
    for place, index in enumerate(order):
        places.setdefault(image_ids[index], []).append(place)
    true, false = np.zeros(len(order)), np.ones(len(order))
    for image_id, here in places.items():
        if image_id not in truth or not len(truth[image_id][1]):
            continue
        theirs, difficult = truth[image_id]
        overlaps = intersection_over_union(boxes[order[here]][:, None], theirs)  # (detections, objects)
        found = np.zeros(len(theirs), np.bool_)
        for place, best, which in zip(here, overlaps.max(axis=1), overlaps.argmax(axis=1), strict=True):
            if best < 0.5:
                continue
            true[place] = not (difficult[which] or found[which])
            false[place] = not difficult[which] and found[which]
            found[which] = True
    true, false = true.cumsum(), false.cumsum()
    recall = true / objects
    precision = true / np.maximum(true + false, 1)
    return _eleven_points(recall, precision) if metric == "11-point" else area(recall, precision)


def intersection_over_union(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the overlaps of boxes with others, given by first and last pixels; -inf where they have none in common.

    Shape: (..., 4), (..., 4), which are broadcast -> (...)
    """
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2]) + 1
    common = sides.prod(axis=-1)
    areas, theirs = ((given[..., 2:] - given[..., :2] + 1).prod(axis=-1) for given in (boxes, others))
    with np.errstate(divide="ignore", invalid="ignore"):  # inverted boxes can have any area
        return np.where((sides > 0).all(axis=-1), common / (areas + theirs - common), -np.inf)


def _eleven_points(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Return the mean, over recalls of 0, 0.1 ... 1, of the best precision at that or a higher recall (VOC 2007)."""
    total = 0.0
    for point in np.arange(11) * 0.1:
        total += precision[recall >= point].max(initial=0.0) / 11
    return float(total)


def area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Return the area under the curve of precision by recall, made to fall monotonically (VOC 2010, ILSVRC)."""
    recall = np.concatenate(([0.0], recall, [1.0]))
    precision = np.concatenate(([0.0], precision, [0.0]))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())
