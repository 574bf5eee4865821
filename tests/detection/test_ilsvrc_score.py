"""ILSVRC's score is the devkit's: its own examples, its code in plain Python on random boxes, and all boxes of val2."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ilsvrc_folders import write_det
from synthetic_boxes import random_boxes

import resnets
from resnets.detection import ilsvrc_score, result_files
from resnets.detection.annotations import AnnotatedImage, Detections
from resnets.detection.ilsvrc_classes import NAMES
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError

Corners = tuple[float, float, float, float]

BOX, AWAY = (100, 100, 149, 149), (300, 300, 349, 349)
LAST = np.asarray((0, 0, 1, 1))  # a box ends behind its last pixel


def an_image(number: int, objects: Sequence[tuple[int, Corners]], excluded: tuple[int, ...] = ()) -> AnnotatedImage:
    """Return an image of 500 x 500 pixels with objects by label and corners."""
    boxes = np.asarray([corners for _, corners in objects], np.float32).reshape(-1, 4) + LAST
    count = len(objects)
    return AnnotatedImage(
        path=Path(f"{number}.JPEG"),
        id=number,
        size=(500, 500),
        boxes=boxes,
        labels=np.asarray([label for label, _ in objects], np.int64),
        difficult=np.zeros(count, np.bool_),
        crowd=np.zeros(count, np.bool_),
        areas=np.zeros(count),
        excluded=excluded,
    )


def found_in(number: int, found: Sequence[tuple[int, float, Corners]]) -> Detections:
    """Return the detections in an image by label, score and corners."""
    boxes = np.asarray([corners for _, _, corners in found], np.float64).reshape(-1, 4) + LAST
    scores, labels = (np.asarray([one[at] for one in found]) for at in (1, 0))
    return Detections(number, boxes, scores.astype(np.float64), labels.astype(np.int64))


def ap(objects: Sequence[Corners], found: Sequence[tuple[float, Corners]]) -> float | None:
    """Return the AP of one class in one image."""
    images = [an_image(1, [(0, corners) for corners in objects])]
    detections = [found_in(1, [(0, score, corners) for score, corners in found])]
    return ilsvrc_score.score(images, detections, ("dog",)).ap["dog"]


def devkit(images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: int) -> dict[int, float | None]:
    """eval_detection.m, statement by statement, in plain Python."""
    positives, rows = [0] * classes, []
    by_id = {found.id: found for found in detections}
    for image in sorted(images, key=lambda one: one.id):
        objects = [[x1, y1, x2 - 1, y2 - 1] for x1, y1, x2, y2 in image.boxes.tolist()]
        labels, taken = image.labels.tolist(), [False] * len(objects)
        for label in labels:
            positives[label] += label not in image.excluded
        found = by_id[image.id]
        for d in sorted(range(len(found.scores)), key=lambda d: -found.scores[d]):
            label, (x1, y1, x2, y2) = int(found.labels[d]), found.boxes[d].tolist()
            if label in image.excluded:
                continue
            x2, y2, best, at = x2 - 1, y2 - 1, float("-inf"), -1
            for k, (a1, b1, a2, b2) in enumerate(objects):
                w, h = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
                if labels[k] != label or taken[k] or w <= 0 or h <= 0:
                    continue
                gw, gh = a2 - a1 + 1, b2 - b1 + 1
                overlap = w * h / ((x2 - x1 + 1) * (y2 - y1 + 1) + gw * gh - w * h)
                if overlap >= min(0.5, gw * gh / ((gw + 10) * (gh + 10))) and overlap > best:
                    best, at = overlap, k
            if at >= 0:
                taken[at] = True
            rows.append((float(found.scores[d]), label, at >= 0))
    rows.sort(key=lambda row: -row[0])
    aps: dict[int, float | None] = {}
    for label in range(classes):
        hits = [hit for _, own, hit in rows if own == label]
        recall = [sum(hits[: n + 1]) / max(1, positives[label]) for n in range(len(hits))]
        precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
        steps = zip([0.0, *recall], recall, range(len(hits)), strict=False)
        area = sum((after - before) * max(precision[n:]) for before, after, n in steps)
        aps[label] = area if positives[label] else None
    return aps


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        ([(50, 50, 59, 59)], [(0.9, (45, 45, 64, 64))], 1),  # the devkit's own: 10 x 10 in 20 x 20, IoU 0.25
        ([(50, 50, 59, 59)], [(0.9, (45, 45, 64, 65))], 0),  # one row more
        ([(50, 50, 79, 79)], [(0.9, (50, 50, 79, 64))], 1),  # of 30 x 30 the half
        ([(50, 50, 79, 79)], [(0.9, (50, 50, 79, 63))], 0),
        ([(50, 50, 54, 89)], [(0.9, (50, 50, 54, 60))], 1),  # 5 x 40: from 0.267
        ([BOX, AWAY], [(0.9, BOX), (0.8, BOX), (0.7, AWAY)], (1 + 2 / 3) / 2),  # the second of an object is false
        # two detections between two objects: by VOC's rule the second is false, since the first object is its best
        ([(10, 10, 59, 59), (10, 20, 59, 69)], [(0.9, (10, 10, 59, 59)), (0.8, (10, 12, 59, 61))], 1),
        ([BOX], [], 0),
    ],
)
def test_the_rules_by_worked_examples(
    truth: list[Corners], found: list[tuple[float, Corners]], expected: float
) -> None:
    """Small objects are found at smaller overlaps; of the objects that are not found yet the best is taken."""
    assert ap(truth, found) == pytest.approx(expected)


def test_the_overlap_from_which_an_object_is_found() -> None:
    """That of a box with 5 pixels more on each side, and 0.5 of large ones."""
    sides = np.asarray([(1, 1), (10, 10), (24, 24), (25, 25), (400, 10)], float)
    found = ilsvrc_score.thresholds(np.concatenate([np.zeros((5, 2)), sides - 1], axis=1))
    assert found == pytest.approx([1 / 121, 0.25, 24**2 / 34**2, 0.5, 4000 / 8200])


def test_a_blacklisted_class_counts_neither_way_in_its_image() -> None:
    """Neither its objects nor detections of it; other classes do, and the same class elsewhere."""
    images = [an_image(1, [(0, BOX), (1, BOX)], excluded=(0,)), an_image(2, [(0, BOX)])]
    detections = [found_in(1, [(0, 0.9, AWAY), (0, 0.9, BOX), (1, 0.9, AWAY)]), found_in(2, [(0, 0.1, BOX)])]
    assert ilsvrc_score.score(images, detections, ("dog", "cat")).ap == {"dog": 1, "cat": 0}
    alone = [an_image(1, [(0, BOX)], excluded=(0,)), an_image(2, [(1, BOX)])]
    scored = ilsvrc_score.score(alone, [], ("dog", "cat"))
    assert (scored.ap, scored.no_objects, scored.mean_ap) == ({"dog": None, "cat": 0}, ("dog",), 0)
    with pytest.raises(DataError, match="object"):
        ilsvrc_score.score(alone[:1], [], ("dog", "cat"))
    with pytest.raises(DataError, match="image 3"):
        ilsvrc_score.score(images, [found_in(3, [])], ("dog", "cat"))


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_devkits_on_random_boxes(seed: int) -> None:
    """Crowded images in any order, many ties, small objects, blacklisted classes, boxes of a fraction of a pixel."""
    generator = np.random.default_rng(seed)
    images, detections = [], []
    for number in generator.permutation(12).tolist():
        corners = random_boxes(generator, int(generator.integers(1, 9))).astype(float)
        labels = generator.integers(0, 3, len(corners)).tolist()
        images.append(an_image(number, list(zip(labels, corners.tolist(), strict=True)), (2,) * (number % 5 == 0)))
        chosen = generator.integers(0, len(corners), 25)
        noise = generator.integers(-3, 4, (25, 4)) / generator.choice([1, 2], (25, 1))
        found = zip(chosen, generator.integers(0, 20, 25) / 20, (corners[chosen] + noise).tolist(), strict=True)
        detections.append(found_in(number, [(labels[k], score, box) for k, score, box in found]))
    expected = devkit(images, detections, 3)
    scored = ilsvrc_score.score(images, detections, ("a", "b", "c"))
    assert list(scored.ap.values()) == pytest.approx(list(expected.values()), abs=1e-12)
    assert 0.05 < scored.mean_ap < 0.95


def test_the_server_s_file_scores_exactly_as_the_detections(tmp_path: Path) -> None:
    """A line of each detection by numbers of image and class; the score of a set of the folder, in Python as well."""
    root = write_det(tmp_path / "det")
    splits = load_detection_data(f"ilsvrc:{root}@train1/val")
    generator, detections = np.random.default_rng(0), []
    for image in splits.test:
        scores = generator.random(len(image.labels)).astype(np.float32)
        noise = generator.normal(0, 1.5, image.boxes.shape).astype(np.float32)
        detections.append(Detections(image.id, image.boxes + noise, scores, image.labels))
    result_files.write_ilsvrc(tmp_path / "found" / "detections_test.txt", detections, splits.category_ids)
    lines = (tmp_path / "found" / "detections_test.txt").read_text().splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["1", "58"], ["1", "124"]]
    at_hand = ilsvrc_score.score(splits.test, detections, splits.classes)
    of_file = resnets.score_detections(root, tmp_path / "found" / "detections_test.txt", "ilsvrc", split="val")
    assert of_file.ap == at_hand.ap
    assert at_hand.ap["person"] == 1 and at_hand.images == 4
    with pytest.raises(UsageError, match="'a'"):
        result_files.write_ilsvrc(tmp_path / "x.txt", [Detections("a", np.zeros((0, 4)), np.zeros(0), np.zeros(0))], ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("1 58 0.9 1 1 9", "line 2, '1 58 0.9 1 1 9'"),
        ("1 201 0.9 1 1 9 9", "line 2, '1 201"),
        ("v1 58 0.9 1 1 9 9", "line 2, 'v1"),
        ("1 58 nan 1 1 9 9", "line 2, '1 58 nan"),
        ("9 58 0.9 1 1 9 9", "line 2 is of image '9'"),
        ("\n".join(["4 58 0.9 1 1 9 9"] * 2), "image '4'"),
    ],
)
def test_a_line_that_is_no_detection_is_named(tmp_path: Path, line: str, named: str) -> None:
    """Fields, numbers, classes and images that are wrong; images of another set too."""
    root, path = write_det(tmp_path / "det", images=False), tmp_path / "found.txt"
    path.write_text(f"1 58 0.9 0 0 9 9\n{line}\n")
    with pytest.raises(DataError, match=named):
        ilsvrc_score.score_files(root, path, "val1")


@pytest.mark.data
def test_the_true_boxes_of_val2(real_data: Path) -> None:
    """All 26,782 boxes as detections have an AP of 1 in each of the 200 classes."""
    lists = real_data / "ilsvrc-lists"
    if not lists.is_dir():
        pytest.skip(f"no lists of ILSVRC: {lists} is absent")
    numbers = dict(line.split() for line in (lists / "det_val.txt").read_text().splitlines())
    labels = {wnid: label for label, wnid in enumerate(NAMES)}
    images, detections = [], []
    for line in gzip.decompress((lists / "det_val2_boxes.txt.gz").read_bytes()).decode().splitlines():
        name, _, _, *words = line.split()
        objects = [(labels[words[at]], tuple(map(float, words[at + 1 : at + 5]))) for at in range(0, len(words), 5)]
        images.append(an_image(int(numbers[name]), objects))  # type: ignore[arg-type]
        detections.append(
            found_in(int(numbers[name]), [(label, 1 / at, box) for at, (label, box) in enumerate(objects, 1)])
        )  # type: ignore[misc]
    assert (len(images), sum(len(image.labels) for image in images)) == (9_917, 26_782)
    perfect = ilsvrc_score.score(images, detections, tuple(NAMES.values()))
    assert perfect.ap == pytest.approx(dict.fromkeys(NAMES.values(), 1.0))
