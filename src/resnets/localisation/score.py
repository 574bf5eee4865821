"""The localisation error of ILSVRC, by the rules of its development kit (`eval_clsloc.m`), and its guesses in files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.detection import ilsvrc
from resnets.detection.fields import is_place, lines_of
from resnets.errors import DataError, UsageError, public
from resnets.files import write_bytes
from resnets.localisation.boxed_images import BoxedImages
from resnets.localisation.clsloc import load_truth
from resnets.records.runs import LocalisationScores

GUESSES = 5  # of an image, that count
OVERLAP = 0.5  # IoU from which a box is right


@dataclass(frozen=True, eq=False)
class Guesses:
    """The guesses for an image, the best first. Shape: labels (G,) int64, boxes (G, 4) in continuous coordinates"""

    labels: NDArray[np.int64]
    boxes: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Truth:
    """The class of an image and the boxes of its objects. Shape: boxes (M, 4)"""

    label: int
    boxes: NDArray[np.floating]


def truth_of(images: BoxedImages) -> list[Truth]:
    """Return the class and the boxes of each image."""
    return [Truth(label, images.boxes_of(index)) for index, label in enumerate(images.files.labels.tolist())]


def overlaps(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the IoU of a box with others. Shape: (4,), (M, 4) -> (M,)"""
    one, others = box.astype(np.float64), boxes.astype(np.float64)
    shared = (np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])).clip(0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (one[2:] - one[:2]).prod() - shared
    return np.divide(shared, areas, out=np.zeros_like(shared), where=areas > 0)


def is_right(box: NDArray[np.floating], truth: Truth) -> bool:
    """Return whether a box overlaps any object of an image enough."""
    return bool((overlaps(box, truth.boxes) >= OVERLAP).any())


def score(
    truth: Sequence[Truth],
    *,
    boxes: Sequence[NDArray[np.floating]] | None = None,
    guesses: Sequence[Guesses] | None = None,
    blacklist: Collection[int] = (),
) -> LocalisationScores:
    """Return the errors of one box for each image's own class, and of its first 1 to 5 guesses of class and box.

    The images of the blacklist do not count for localisation, and do for classification; that is the kit's rule. It has
    no error of the own class: `true_class_error_of_all` is of all images, the blacklisted ones too.

    Shape: each of `boxes` (4,)
    Raises: DataError, if no image counts.
    """
    count = len(truth)
    counted = np.ones(count, np.bool_)
    counted[list(blacklist)] = False
    if not counted.any():
        raise DataError("there is no image that counts, and so no localisation error")
    found = LocalisationScores(images=int(counted.sum()), blacklisted=int((~counted).sum()))
    if boxes is not None:
        wrong = np.asarray([not is_right(box, one) for box, one in zip(boxes, truth, strict=True)])
        found = found.with_changes(true_class_error=_percent(wrong[counted]), true_class_error_of_all=_percent(wrong))
    if guesses is not None:
        classes, located = (np.full(count, GUESSES, np.int64) for _ in range(2))  # the first guess that is right
        for place, (own, one) in enumerate(zip(guesses, truth, strict=True)):
            right = np.flatnonzero(own.labels[:GUESSES] == one.label).tolist()
            both = [guess for guess in right if is_right(own.boxes[guess], one)]
            classes[place] = min(right, default=GUESSES)
            located[place] = min(both, default=GUESSES)
        found = found.with_changes(
            errors=tuple(_percent(located[counted] >= among) for among in range(1, GUESSES + 1)),
            class_errors=tuple(_percent(classes >= among) for among in range(1, GUESSES + 1)),
        )
    return found


def _percent(wrong: NDArray[np.bool_]) -> float:
    return 100.0 * int(wrong.sum()) / len(wrong)


# ---------------------------------------------------------------- files of the server


def write_guesses(path: Path, guesses: Sequence[Guesses], class_ids: Sequence[int]) -> None:
    """Write the server's file: a line for each image, up to five times `ID xmin ymin xmax ymax`, the best first.

    Numbers keep all their digits, so that scoring the file gives exactly the score of the guesses.

    Raises: RunError, if it cannot be written.
    """
    lines = []
    for one in guesses:
        corners = ilsvrc.corners(one.boxes[:GUESSES])
        rows = zip(one.labels[:GUESSES].tolist(), corners.tolist(), strict=True)
        lines.append(" ".join(f"{class_ids[label]} {' '.join(map(repr, box))}" for label, box in rows))
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def read_guesses(path: Path) -> list[Guesses]:
    """Return the guesses of a file, with the server's numbers of classes as labels.

    Raises: DataError, naming the line, if it is not of such numbers.
    """
    found = []
    for number, line in enumerate(lines_of(path), 1):
        words = line.split()
        try:
            rows = np.asarray([float(word) for word in words]).reshape(-1, 5)
        except ValueError:
            rows = None
        if rows is None or (rows[:, 0] != np.trunc(rows[:, 0])).any() or not all(map(is_place, rows.ravel().tolist())):
            raise DataError(f"{path}, line {number}: not guesses of five numbers each, ID xmin ymin xmax ymax")
        found.append(Guesses(rows[:, 0].astype(np.int64), ilsvrc.boxes_of(rows[:, 1:])))
    return found


@public
def score_guesses(
    ground_truth: str | PathLike[str],
    guesses: str | PathLike[str],
    *,
    class_ids: str | PathLike[str] | None = None,
    blacklist: str | PathLike[str] | None = None,
) -> LocalisationScores:
    """Return the localisation error of a file of guesses, as the server's development kit computes it.

    Args:
        ground_truth: a folder as `clsloc:PATH` takes it, of which `val` counts, a folder of XML files, or Kaggle's
            LOC_val_solution.csv.
        guesses: a line for each image in the order of their names, up to five times `ID xmin ymin xmax ymax`.
        class_ids: the list of the classes' numbers, map_clsloc.txt; None is the one in the folder.
        blacklist: the numbers of images that do not count, one a line; None is the one in the folder.

    Raises: UsageError, if there is no list of numbers; DataError, if a file is missing or damaged, or has another
        number of lines.
    Paper: Tables 13 and 14.
    """
    found = load_truth(
        Path(ground_truth),
        None if class_ids is None else Path(class_ids),
        None if blacklist is None else Path(blacklist),
    )
    if found.class_ids is None:
        raise UsageError(f"{ground_truth}: no map_clsloc.txt with the numbers of the classes; name one as class_ids")
    try:
        truth = [Truth(found.class_ids[one.wnid], one.boxes) for one in found.objects.values()]
    except KeyError as error:
        raise DataError(f"{ground_truth}: class {error.args[0]} has no number") from None
    given = read_guesses(Path(guesses))
    if len(given) != len(truth):
        raise DataError(f"{guesses}: {len(given):,} lines; {ground_truth} has {len(truth):,} images")
    return score(truth, guesses=given, blacklist=found.blacklist)
