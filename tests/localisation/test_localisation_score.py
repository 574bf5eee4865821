"""ILSVRC's localisation error, by worked examples and at full size."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.errors import DataError, UsageError
from resnets.localisation.clsloc import read_class_ids, read_table
from resnets.localisation.score import Guesses, Truth, overlaps, read_guesses, score, score_guesses, write_guesses


def boxes(*corners: tuple[float, float, float, float]) -> Any:
    """Return boxes of first and last pixels in continuous coordinates."""
    return np.add(np.asarray(corners, np.float64).reshape(-1, 4), (0, 0, 1, 1))


def test_half_of_the_union_is_enough() -> None:
    """IoU 0.5, of widths xmax - xmin + 1, is right, one pixel less is not; distant or empty boxes overlap nothing."""
    truth = boxes((0, 0, 9, 9))
    found = [
        float(overlaps(box, truth)[0]) for box in boxes((0, 0, 9, 4), (0, 0, 9, 3), (20, 20, 30, 30), (5, 5, 4, 4))
    ]
    assert found == [0.5, 0.4, 0.0, 0.0]
    wrong = score([Truth(0, truth)] * 3, boxes=list(boxes((0, 0, 9, 4), (0, 0, 9, 3), (0, 0, 9, 9))))
    assert wrong.true_class_error == pytest.approx(100 / 3)


def test_errors_of_one_to_five_guesses() -> None:
    """A guess is right by its class and any box of the image; later right ones and sixth ones do not count for less."""
    two = boxes((0, 0, 9, 9), (50, 50, 59, 59))
    right, far = (0, 0, 9, 9), (100, 100, 109, 109)
    cases = [
        ([3], [(50, 50, 59, 59)]),  # the second object
        ([3, 3], [far, right]),  # right class twice, the second time at the right place
        ([1, 2, 4, 5, 3], [right] * 5),
        ([1, 2, 4, 5, 6, 3], [right] * 6),  # a sixth guess is ignored
        ([1], [right]),  # the right place of another class
        ([], []),
    ]
    guesses = [Guesses(np.asarray(labels, np.int64), boxes(*places)) for labels, places in cases]
    found = score([Truth(3, two)] * len(cases), guesses=guesses)
    assert found.errors == pytest.approx([500 / 6, 400 / 6, 400 / 6, 400 / 6, 50])
    assert found.class_errors == pytest.approx([400 / 6, 400 / 6, 400 / 6, 400 / 6, 50])


def test_the_blacklist_counts_for_classes_alone() -> None:
    """Its images are out of the error of localisation, in that of classes, and in one of two for the true class."""
    truth = [Truth(0, boxes((0, 0, 9, 9)))] * 4
    bad = Guesses(np.asarray([1]), boxes((40, 40, 49, 49)))
    good = Guesses(np.asarray([0]), boxes((0, 0, 9, 9)))
    places = [one.boxes[0] for one in (bad, good, good, bad)]
    found = score(truth, boxes=places, guesses=[bad, good, good, bad], blacklist={0})
    assert found.errors is not None and found.class_errors is not None
    assert (found.images, found.blacklisted, found.errors[0], found.class_errors[0]) == (
        3,
        1,
        pytest.approx(100 / 3),
        50,
    )
    assert (found.true_class_error, found.true_class_error_of_all) == (pytest.approx(100 / 3), 50)
    with pytest.raises(DataError, match="no image that counts"):
        score(truth, boxes=places, blacklist=range(4))


def test_files_keep_the_score(tmp_path: Path) -> None:
    """What is written is read again to the last digit, with an empty line for an image without guesses."""
    generator = np.random.default_rng(0)
    guesses = [
        Guesses(np.arange(count), generator.uniform(0, 90, (count, 4)).astype(np.float32)) for count in (5, 0, 2)
    ]
    write_guesses(tmp_path / "guesses.txt", guesses, (11, 12, 13, 14, 15))
    again = read_guesses(tmp_path / "guesses.txt")
    assert [one.labels.tolist() for one in again] == [[11, 12, 13, 14, 15], [], [11, 12]]
    for one, other in zip(guesses, again, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-12, atol=1e-12)


TABLE = "ImageId,PredictionString\na,n01440764 0 0 9 9 n01440764 20 20 29 29 \nb,n02102040 5 5 14 14 \n"


@pytest.fixture
def truth_files(tmp_path: Path) -> Path:
    """Kaggle's table of two images, next to the numbers of its classes, and good guesses."""
    (tmp_path / "LOC_val_solution.csv").write_text(TABLE)
    (tmp_path / "map_clsloc.txt").write_text("n01440764 9 tench\nn02102040 1 English_springer\n")
    (tmp_path / "guesses.txt").write_text("1 0 0 9 9 9 20 20 29 29\n1 5 5 14 14\n")
    return tmp_path


def test_guesses_in_files(truth_files: Path) -> None:
    """They are scored by a folder or by Kaggle's table with lists that are named."""
    folder = score_guesses(truth_files, truth_files / "guesses.txt")
    assert folder.errors == (50.0, 0.0, 0.0, 0.0, 0.0)
    (truth_files / "excluded.txt").write_text("1\n")
    named = score_guesses(
        truth_files / "LOC_val_solution.csv",
        truth_files / "guesses.txt",
        class_ids=truth_files / "map_clsloc.txt",
        blacklist=truth_files / "excluded.txt",
    )
    assert (named.errors, named.blacklisted) == ((0.0,) * 5, 1)
    with pytest.raises(UsageError, match=r"map_clsloc\.txt"):
        score_guesses(truth_files / "LOC_val_solution.csv", truth_files / "guesses.txt")


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("guesses.txt", "1 0 0 9 9\n", "1 lines.*2 images"),
        ("guesses.txt", "1 0 0 9 9\n1 0 0 9\n", "line 2"),
        ("guesses.txt", "1 0 0 9 9\n1.5 0 0 9 9\n", "line 2"),
        ("guesses.txt", "1 0 0 9 nan\n1 0 0 9 9\n", "line 1"),
        ("map_clsloc.txt", "n01440764 9 tench\ntench 3\n", "line 2"),
        ("map_clsloc.txt", "n01440764 9 tench\n", "n02102040"),
        ("LOC_val_solution.csv", "image,box\n", "ImageId"),
        ("LOC_val_solution.csv", TABLE + "c,n01440764 0 0 9 \n", "image c"),
        ("LOC_val_solution.csv", TABLE + "c,\n", "image c"),
        ("LOC_val_solution.csv", TABLE + "c,n01440764 0 0 9 9 n02102040 1 1 2 2 \n", "image c.*n01440764, n02102040"),
    ],
)
def test_damaged_files_are_named(truth_files: Path, file: str, text: str, found: str) -> None:
    """Of each the error says which file and line, or image, it is."""
    (truth_files / file).write_text(text)
    with pytest.raises(DataError, match=found):
        score_guesses(truth_files, truth_files / "guesses.txt")


@pytest.mark.data
def test_the_true_boxes_of_all_50000_images(real_data: Path, tmp_path: Path) -> None:
    """ILSVRC's own boxes and classes as guesses, the last box of each, a tenth of them of another class."""
    lists = real_data / "ilsvrc-lists"
    if not lists.is_dir():
        pytest.skip(f"no lists of ILSVRC: {lists} is absent")
    table = tmp_path / "LOC_val_solution.csv"
    table.write_bytes(gzip.decompress((lists / "LOC_val_solution.csv.gz").read_bytes()))
    ids, objects = read_class_ids(lists / "clsloc_classes.txt"), dict(read_table(table))
    guesses = [Guesses(np.asarray([ids[one.wnid]]), one.boxes[-1:]) for _, one in sorted(objects.items())]
    for one in guesses[::10]:
        one.labels[0] = one.labels[0] % 1000 + 1
    write_guesses(tmp_path / "guesses.txt", guesses, range(1001))
    excluded = lists / "ILSVRC2014_clsloc_validation_blacklist.txt"
    options = {"class_ids": lists / "clsloc_classes.txt", "blacklist": excluded}
    found = score_guesses(table, tmp_path / "guesses.txt", **options)
    wrong = 5_000 - sum(int(line) % 10 == 1 for line in excluded.read_text().split())
    assert (found.images, found.blacklisted) == (48_238, 1_762)
    assert found.errors == pytest.approx([100 * wrong / 48_238] * 5)
    assert found.class_errors == pytest.approx([10.0] * 5)
