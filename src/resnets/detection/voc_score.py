"""PASCAL VOC's score: the average precision of each class and their mean, of text files or of detections in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import look_alike
from resnets.detection import voc
from resnets.detection.annotations import AnnotatedImage, Detections
from resnets.detection.average_precision import ClassScores, Metric, average_precision
from resnets.detection.fields import is_place, lines_of, shown, unit_note
from resnets.errors import DataError

METRICS: dict[str, Metric] = {"voc07": "11-point", "voc": "area"}
"""The metric of a protocol's name: VOC 2007's, and that of VOC 2010 and later."""

Truth = dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]]
"""By class and image: the objects' xmin, ymin, xmax, ymax as VOC writes them, and which of them are difficult."""


def score_files(ground_truth: Path, detections: Path, metric: Metric, split: str = "test") -> ClassScores:
    """Return the score of a folder of detection files (comp4_det_test_CLASS.txt) against a VOC20YY folder.

    Only Annotations/ and ImageSets/Main/SPLIT.txt of the ground truth are read. Boxes count as they are written, on
    both sides. The classes are those of the objects in the split and of the detection files.

    Raises: DataError, if a file is missing or damaged, no detection file is there, or a detection is of an image
        outside the split, which the devkit refuses too.
    """
    folder = _voc_folder(ground_truth)
    ids = folder.image_ids(split)
    truth, notes = _truth_of_files(folder, split, ids)
    files, of_files = _detection_files(detections, split, truth)
    notes += of_files
    known = set(ids)
    ap: dict[str, float | None] = {}
    for name in sorted(truth.keys() | files.keys()):
        image_ids, confidences, boxes = _read(files[name], split, known) if name in files else _NOTHING
        notes += unit_note(files[name], boxes) if name in files else []
        ap[name] = average_precision(truth.get(name, {}), image_ids, confidences, boxes, metric)
    without_file = [name for name in ap if name not in files]
    return ClassScores.of(ap, metric, len(ids), without_file=without_file, notes=notes)


def score(
    images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: Sequence[str], metric: Metric
) -> ClassScores:
    """Return the score of detections in annotated images; crowd regions count as difficult objects do.

    Raises: DataError, if no image has an object that counts, or a detection is of another image.
    """
    truth = _truth_of_images(images, classes)
    known = {str(image.id) for image in images}
    unknown = [found.id for found in detections if str(found.id) not in known]
    if unknown:
        raise DataError(f"there are detections in image {unknown[0]}, which is not among the {len(images):,} images")
    ids = np.repeat([str(found.id) for found in detections], [len(found.scores) for found in detections])
    empty = [np.zeros(0)]
    labels = np.concatenate([*empty, *(found.labels for found in detections)])
    confidences = np.concatenate([*empty, *(found.scores for found in detections)])
    boxes = voc.corners(np.concatenate([np.zeros((0, 4)), *(found.boxes for found in detections)]))
    ap = {}
    for label, name in enumerate(classes):
        chosen = np.flatnonzero(labels == label)
        ap[name] = average_precision(
            truth.get(name, {}), ids[chosen].tolist(), confidences[chosen], boxes[chosen], metric
        )
    return ClassScores.of(ap, metric, len(images))


_NOTHING: tuple[list[str], NDArray[np.float64], NDArray[np.float64]] = ([], np.zeros(0), np.zeros((0, 4)))


def _voc_folder(path: Path) -> voc.Folder:
    if (path / "Annotations").is_dir():
        return voc.Folder(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; the ground truth is a folder such as VOCdevkit/VOC2007")
    years = sorted(year.name for year in path.glob("VOC20[0-9][0-9]"))
    if len(years) == 1:
        return voc.Folder(path / years[0])
    hint = f"; name one of {', '.join(years)} in it" if years else ""
    raise DataError(f"{path}: no folder Annotations/; the ground truth is a folder such as VOCdevkit/VOC2007{hint}")


def _truth_of_files(folder: voc.Folder, split: str, ids: Sequence[str]) -> tuple[Truth, list[str]]:
    """Return the objects of images, and notes on them."""
    truth: Truth = {}
    records = [voc.read(folder.annotation(image_id)) for image_id in ids]
    for image_id, record in zip(ids, records, strict=True):
        for name in set(record.names):
            mine = np.asarray([other == name for other in record.names])
            truth.setdefault(name, {})[image_id] = (record.corners[mine], record.difficult[mine])
    where = folder.image_set(split)
    written = np.concatenate([record.corners for record in records])
    return truth, [*unit_note(where, written), *voc.unmarked_note(where, records)]


def _truth_of_images(images: Sequence[AnnotatedImage], classes: Sequence[str]) -> Truth:
    truth: Truth = {}
    for image in images:
        corners = voc.corners(image.boxes)
        for label in set(image.labels.tolist()):
            mine = image.labels == label
            truth.setdefault(classes[label], {})[str(image.id)] = (corners[mine], ~image.trainable[mine])
    return truth


def _detection_files(folder: Path, split: str, classes: Mapping[str, object]) -> tuple[dict[str, Path], list[str]]:
    """Return the detection file of each class; those named after another split are taken where no other is there."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; detections are files such as comp4_det_{split}_CLASS.txt in it")
    found = [path for path in sorted(folder.glob("*_det_*_*.txt")) if not path.name.startswith(".")]  # macOS's ._ files
    named = {path: path.stem.split("_det_", 1)[1] for path in found}
    own = {path: rest.removeprefix(f"{split}_") for path, rest in named.items() if rest.startswith(f"{split}_")}
    notes = []
    if not own and named:
        own = {path: _class_of(rest, classes) for path, rest in named.items()}
        first = next(iter(named)).name
        notes.append(f"the detection files are named after another split ({first}); they are scored on {split!r}")
    files: dict[str, Path] = {}
    for path, name in own.items():
        if name in files:
            raise DataError(f"{folder}: {files[name].name} and {path.name} are both of class {name!r}; remove one")
        if hint := look_alike(name, classes):
            raise DataError(f"{path}: class {name!r} is not in the ground truth{hint}")
        files[name] = path
    if not files:
        raise DataError(f"{folder}: no detection files, such as comp4_det_{split}_{next(iter(classes), 'CLASS')}.txt")
    return files, notes


def _class_of(rest: str, classes: Mapping[str, object]) -> str:
    """Return the class in `SPLIT_CLASS`: the longest known one at the end, else what follows the first _."""
    known = [name for name in classes if rest.endswith(f"_{name}")]
    return max(known, key=len) if known else rest.partition("_")[2]


def _read(path: Path, split: str, known: set[str]) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Return the image ids, confidences and boxes of a detection file: `ID CONFIDENCE XMIN YMIN XMAX YMAX` a line."""
    ids: list[str] = []
    numbers: list[tuple[float, ...]] = []
    for number, line in enumerate(lines_of(path), 1):
        fields = line.rsplit(maxsplit=5)  # from the right: the image's name may have spaces
        if not fields:
            continue
        try:
            numbers.append(tuple(map(float, fields[1:])))
        except ValueError:
            numbers.append(())
        if len(numbers[-1]) != 5 or not (math.isfinite(numbers[-1][0]) and all(map(is_place, numbers[-1][1:]))):
            raise DataError(
                f"{path}: line {number}, {shown(' '.join(line.split()))}, is not an image's id, a confidence and a "
                "box: ID CONFIDENCE XMIN YMIN XMAX YMAX"
            )
        ids.append(fields[0].strip())
        if ids[-1] not in known:
            cause = "; ids are without a suffix" if os.path.splitext(ids[-1])[0] in known else ""
            raise DataError(
                f"{path}: line {number} is of image {shown(ids[-1])}, which is not in the image set {split!r}{cause}"
            )
    rows = np.asarray(numbers, np.float64).reshape(-1, 5)
    return ids, rows[:, 0], rows[:, 1:]
