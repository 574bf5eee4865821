"""The page of a network's mistakes, and a table with a line for each image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.named_splits import adjective
from resnets.evaluation.members import Member
from resnets.evaluation.mistakes import Mistakes
from resnets.evaluation.mistakes_pictures import draw_calibration, draw_confusion
from resnets.evaluation.shown_images import Thumbnail, names_of, require_images, thumbnails
from resnets.files import write_bytes
from resnets.pages import environment
from resnets.quantities import plural
from resnets.records.counts import Interval, wilson
from resnets.records.evaluations import Evaluation

PAGE, TABLE = "mistakes.html", "mistakes.csv"
SHOWN = {"wrong": 24, "right": 12, "labels": 24}  # images of each section
OPEN = 12  # images of a section that are seen before "more" is opened
CONFUSIONS = 12  # pairs of classes in a table
MOST_ERROR = 50.0  # percent, above which a network's doubts say little about the labels


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An image on the page: what was predicted, its label, their probabilities, and whether the label is in doubt."""

    thumbnail: Thumbnail
    predicted: str
    confidence: float
    label: str
    of_label: float
    suggested: str | None


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class: its test images, those that are wrong, the error in percent with its interval, and what it is taken for.

    `error` is None for a class without images.
    """

    name: str
    images: int
    wrong: int
    error: float | None
    interval: Interval | None
    taken_for: tuple[tuple[str, int], ...]  # other classes, and how often


@dataclass(frozen=True, kw_only=True)
class Section:
    """Images of one kind: all there are, and those that are shown."""

    total: int
    tiles: tuple[Tile, ...]
    repeated: int = 0  # of all, those that a section before shows


def write(folder: Path, evaluation: Evaluation, member: Member, mistakes: Mistakes, split: str = "test") -> Path:
    """Write the page and the table of a test, whole or not at all; return the page's path.

    The maps are of `member`'s network, the first one of an ensemble; `split` is what was tested on.

    Raises: RunError, if they cannot be written; DataError, for an image that cannot be read any more.
    """
    classes = list(evaluation.class_errors)
    names = names_of(require_images(member.splits.test))
    sections, note = _sections(member, mistakes, classes, names)
    confusion = np.asarray(evaluation.confusion, np.int64)
    rows = class_rows(confusion, classes)
    doubtful = mistakes.likely_wrong_labels()
    image = "image" if split == "all" else f"{adjective(split)} image"
    headline, more = finding(evaluation, rows, len(doubtful), image)
    text = (
        environment("resnets.evaluation")
        .get_template("mistakes.html")
        .render(
            evaluation=evaluation,
            images=f"{image}s",
            headline=headline,
            more=more,
            rows=rows,
            scale=max((row.interval[1] for row in rows if row.interval), default=100.0) or 100.0,
            confusions=_pairs(confusion, classes),
            picture=draw_confusion(confusion, classes),
            **sections,
            doubts_count=evaluation.top1_error <= MOST_ERROR,
            label_pairs=_pairs(
                _counted(mistakes.labels[doubtful], mistakes.suggested[doubtful], len(classes)), classes
            ),
            mistakes=mistakes,
            confidence=float(mistakes.confidence.mean(dtype=np.float64)),
            calibration=draw_calibration(mistakes.bins),
            note=note,
            open=OPEN,
            table=TABLE,
            small=member.model.input_spec is not None and member.model.input_spec.size < 64,
        )
    )
    write_bytes(folder / TABLE, _table(mistakes, names, classes))
    write_bytes(folder / PAGE, text.encode())
    return folder / PAGE


def _sections(
    member: Member, mistakes: Mistakes, classes: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, Section], str]:
    """Return the images that are shown, and why they have no maps, if so; labels in doubt are shown once."""
    wrong, right = mistakes.confident_wrong().tolist(), mistakes.unconfident_right().tolist()
    doubtful = mistakes.likely_wrong_labels().tolist()
    seen = set(wrong[: SHOWN["wrong"]])
    others = [number for number in doubtful if number not in seen]
    chosen = {"wrong": wrong, "labels": others, "right": right}
    numbers = list(dict.fromkeys(number for name, found in chosen.items() for number in found[: SHOWN[name]]))
    shown, note = thumbnails(member, numbers, [int(mistakes.predicted[number]) for number in numbers], names)

    def tile(number: int) -> Tile:
        suggested = int(mistakes.suggested[number])
        return Tile(
            thumbnail=shown[number],
            predicted=classes[mistakes.predicted[number]],
            confidence=float(mistakes.confidence[number]),
            label=classes[mistakes.labels[number]],
            of_label=float(mistakes.of_label[number]),
            suggested=classes[suggested] if suggested >= 0 else None,
        )

    totals = {"wrong": len(wrong), "labels": len(doubtful), "right": len(right)}
    return {
        name: Section(
            total=totals[name],
            tiles=tuple(map(tile, found[: SHOWN[name]])),
            repeated=len(doubtful) - len(others) if name == "labels" else 0,
        )
        for name, found in chosen.items()
    }, note


def class_rows(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[ClassRow]:
    """Return the classes, the one with the largest error first, and those without images last."""
    found = []
    for index, name in enumerate(classes):
        row = confusion[index]
        images, wrong = int(row.sum()), int(row.sum() - row[index])
        others = [other for other in np.argsort(-row, kind="stable") if other != index and row[other]][:2]
        error = 100 * wrong / images if images else None
        found.append(
            ClassRow(
                name=name,
                images=images,
                wrong=wrong,
                error=error,
                interval=None if error is None else wilson(error, images),
                taken_for=tuple((classes[other], int(row[other])) for other in others),
            )
        )
    return sorted(found, key=lambda row: (row.error is None, -(row.error or 0.0)))


def finding(evaluation: Evaluation, rows: Sequence[ClassRow], doubtful: int, image: str) -> tuple[str, str]:
    """Return the finding in a sentence, and what is worth knowing next to it; an `image` is what is tested on."""
    low, high = evaluation.top1_interval
    images = plural(evaluation.samples, image)
    headline = f"{evaluation.network} is wrong on {evaluation.top1_error:.2f}\N{NO-BREAK SPACE}% of {images}"
    more = f"{evaluation.top1_wrong:,} wrong answers; 95 % interval {low:.1f} to {high:.1f} %."
    worst = rows[0]
    if worst.error and len(rows) > 1:
        headline += f", most often on {worst.name}"
        more += f" Of {worst.name}, {worst.error:.1f} % are wrong, most often taken for {worst.taken_for[0][0]}."
    if doubtful and evaluation.top1_error <= MOST_ERROR:
        more += f" {plural(doubtful, 'label')} may be wrong."
    return f"{headline}.", more


def _pairs(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """Return the most frequent confusions: label, other class, images, and their share of the label's in percent."""
    wrong = confusion * (1 - np.eye(len(classes), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = ((int(place) // len(classes), int(place) % len(classes)) for place in order)
    return [
        (classes[label], classes[other], int(wrong[label, other]), 100 * wrong[label, other] / confusion[label].sum())
        for label, other in pairs
        if wrong[label, other]
    ]


def _counted(labels: NDArray[np.int64], others: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    counts = np.bincount(labels * classes + others, minlength=classes * classes)
    return counts.reshape(classes, classes)


def _table(mistakes: Mistakes, names: Sequence[str], classes: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("image", "label", "prediction", "probability", "label_probability", "correct", "suggested_label")
    writer.writerow(columns)
    lines: Iterable[tuple[str, int, int, np.float32, np.float32, bool, int]] = zip(
        names,
        mistakes.labels.tolist(),
        mistakes.predicted.tolist(),
        mistakes.confidence,
        mistakes.of_label,
        mistakes.right.tolist(),
        mistakes.suggested.tolist(),
        strict=True,
    )
    for name, label, predicted, probability, of_label, right, suggested in lines:
        answer = (classes[label], classes[predicted], str(probability), str(of_label), "yes" if right else "no")
        writer.writerow((name, *answer, classes[suggested] if suggested >= 0 else ""))
    return text.getvalue().encode()
