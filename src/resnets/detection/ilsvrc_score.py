"""ILSVRC's score of detections: the average precision of each class and their mean, as in eval_detection.m.

It differs from VOC's in three points: small objects are found at smaller overlaps; a detection takes, of the objects
that are not found yet, the one that it overlaps most; a class that is blacklisted in an image counts neither way there.
Paper: Table 12.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resnets.detection import ilsvrc
from resnets.detection.annotations import AnnotatedImage, Detections
from resnets.detection.average_precision import ClassScores, area, intersection_over_union
from resnets.detection.fields import FARTHEST, lines_of, shown, unit_note
from resnets.detection.ilsvrc_classes import CATEGORIES, NAMES
from resnets.errors import DataError

OVERLAP = 0.5
TOLERANCE = 10  # pixels more or less of each side that a box may have: less than OVERLAP for small objects


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes in several images. Shape: images, labels (N,) int64, corners (N, 4) float64.

    `images` are the images' places in the order of their ids; `corners` are the first and last pixels.
    """

    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    corners: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Iterable[tuple[int, NDArray[np.integer], NDArray[np.floating]]]) -> Self:
        """Return the boxes of images, each given by its place, its labels and its corners."""
        each = list(parts)
        return cls(
            np.repeat(np.asarray([place for place, _, _ in each], np.int64), [len(labels) for _, labels, _ in each]),
            np.concatenate([np.zeros(0, np.int64), *(labels for _, labels, _ in each)]),
            np.concatenate([np.zeros((0, 4)), *(corners for _, _, corners in each)]),
        )

    def at(self, which: NDArray[Any]) -> Boxes:
        """Return some of the boxes, by their places or by a mask."""
        return Boxes(self.images[which], self.labels[which], self.corners[which])


def average_precision(
    objects: Boxes, found: Boxes, confidences: NDArray[np.floating], excluded: Collection[int] = ()
) -> float | None:
    """Return the average precision of one class, or None if no object of it counts.

    In the `excluded` images neither objects nor detections count.

    Shape: confidences (M,) of the M detections
    """
    objects = objects.at(~np.isin(objects.images, list(excluded)))
    kept = ~np.isin(found.images, list(excluded))
    found, confidences = found.at(kept), confidences[kept]
    if not len(objects.images):
        return None
    order = np.lexsort((found.images, -confidences))  # stable: equal ones in an image are in the given order
    true = _true(objects, found.at(order)).cumsum()
    return area(true / len(objects.images), true / np.arange(1, len(true) + 1))


def _true(objects: Boxes, found: Boxes) -> NDArray[np.bool_]:
    """Return which detections, the most confident first, find an object that none before has found. Shape: (M,)"""
    order = np.argsort(objects.images, kind="stable")
    images, corners = objects.images[order], objects.corners[order]
    first, end = (np.searchsorted(images, found.images, side) for side in ("left", "right"))
    count = end - first
    detection = np.repeat(np.arange(len(count)), count)  # of each pair with an object of its image
    which = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    overlaps = intersection_over_union(found.corners[detection], corners[which])
    near = np.flatnonzero(overlaps >= thresholds(corners)[which])
    best_first = near[np.lexsort((which[near], -overlaps[near], detection[near]))]
    true, taken = np.zeros(len(count), np.bool_), np.zeros(len(images), np.bool_)
    for one, own in zip(detection[best_first].tolist(), which[best_first].tolist(), strict=True):
        if not true[one] and not taken[own]:
            true[one] = taken[own] = True
    return true


def thresholds(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the overlap from which each object is found: that with a box `TOLERANCE` larger, at most `OVERLAP`.

    Shape: (N, 4) -> (N,)
    """
    sides = corners[:, 2:] - corners[:, :2] + 1
    return np.minimum(OVERLAP, sides.prod(axis=1) / (sides + TOLERANCE).prod(axis=1))


def score(images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: Sequence[str]) -> ClassScores:
    """Return the score of detections in annotated images; difficult objects and crowds count as others do.

    Raises: DataError, if no image has an object that counts, or a detection is of another image.
    """
    ids = sorted((image.id for image in images), key=lambda one: (isinstance(one, str), one))
    places = {image_id: place for place, image_id in enumerate(ids)}
    if unknown := [found.id for found in detections if found.id not in places]:
        raise DataError(f"there are detections in image {unknown[0]}, which is not among the {len(images):,} images")
    objects = Boxes.joined((places[one.id], one.labels, ilsvrc.corners(one.boxes)) for one in images)
    found = Boxes.joined((places[one.id], one.labels, ilsvrc.corners(one.boxes)) for one in detections)
    confidences = np.concatenate([np.zeros(0), *(one.scores for one in detections)])
    excluded = [(places[image.id], label) for image in images for label in image.excluded]
    return _score(objects, found, confidences, excluded, classes, len(images), ())


def score_files(ground_truth: Path, detections: Path, split: str = "val2") -> ClassScores:
    """Return the score of a file of detections against a folder with ILSVRC's annotations and lists, without images.

    Boxes count as they are written, on both sides.

    Raises: DataError, if a file is missing or damaged, or a detection is of an image outside the split.
    """
    if not ground_truth.is_dir():
        raise DataError(f"{ground_truth}: no such folder; the ground truth is a folder with Annotations/DET")
    folder = ilsvrc.Folder(ground_truth)
    ids = folder.ids(split)
    if unnumbered := [one for one in ids if one not in folder.numbers]:
        raise DataError(
            f"{ground_truth}: image {unnumbered[0]} of the set {split} has no number in val.txt or test.txt"
        )
    records = dict(zip((folder.numbers[one] for one in ids), ilsvrc.annotated(folder, split, ids), strict=True))
    places = {number: place for place, number in enumerate(sorted(records))}
    labels = {name: label for label, name in enumerate(NAMES.values())}
    objects = Boxes.joined(
        (places[number], np.asarray([labels[name] for name in record.names], np.int64), record.corners)
        for number, record in records.items()
        if record is not None
    )
    rows = _read(detections, sorted(records), split)
    found = Boxes(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64) - 1, rows[:, 3:])
    excluded = [
        (places[number], labels[name])
        for number, names in folder.blacklist.items()
        if number in places
        for name in names
    ]
    notes = unit_note(detections, rows[:, 3:])
    return _score(objects, found, rows[:, 2], excluded, tuple(NAMES.values()), len(ids), notes)


def _score(
    objects: Boxes,
    found: Boxes,
    confidences: NDArray[np.floating],
    excluded: Sequence[tuple[int, int]],
    classes: Sequence[str],
    images: int,
    notes: Sequence[str],
) -> ClassScores:
    """Return the score of all classes; `excluded` are an image's place and a label."""
    without: dict[int, list[int]] = {}
    for place, label in excluded:
        without.setdefault(label, []).append(place)
    ap = {}
    for label, name in enumerate(classes):
        own, mine = np.flatnonzero(objects.labels == label), np.flatnonzero(found.labels == label)
        ap[name] = average_precision(objects.at(own), found.at(mine), confidences[mine], without.get(label, ()))
    return ClassScores.of(ap, "ILSVRC", images, notes=notes)


def _read(path: Path, numbers: Sequence[int], split: str) -> NDArray[np.float64]:
    """Return the place of the image, the class's number, the confidence and the corners of each detection.

    `numbers` are those of the images, in order. Shape: (N, 7)
    """
    lines = [(line, words) for line, words in enumerate(map(str.split, lines_of(path)), 1) if words]
    rows = np.asarray([_numbers(words) for _, words in lines], np.float64).reshape(-1, 7)
    wrong = ~(np.abs(rows) <= FARTHEST).all(axis=1) | ~np.isin(rows[:, 1], list(CATEGORIES))
    for line, words in (lines[at] for at in np.flatnonzero(wrong)):
        raise DataError(
            f"{path}: line {line}, {shown(' '.join(words))}, is not an image's number, a class's of 1 to "
            f"{len(CATEGORIES)}, a confidence and a box: INDEX ID CONFIDENCE XMIN YMIN XMAX YMAX"
        )
    for line, words in (lines[at] for at in np.flatnonzero(~np.isin(rows[:, 0], numbers))):
        raise DataError(f"{path}: line {line} is of image {shown(words[0])}, which is not in the image set {split!r}")
    rows[:, 0] = np.searchsorted(numbers, rows[:, 0])
    return rows


def _numbers(words: Sequence[str]) -> list[float]:
    """Return the seven numbers of a line, NaN where it has others."""
    try:
        found = [*map(float, words)]
    except ValueError:
        found = []
    return found if len(found) == 7 else [math.nan] * 7
