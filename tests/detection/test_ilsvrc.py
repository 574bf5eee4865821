"""ILSVRC's detection data: its layouts, sets and lists, and errors that name the wrong part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ilsvrc_folders import DOG, TRAIN, write_det

from resnets.detection.annotations import DetectionSplits
from resnets.detection.ilsvrc import Folder
from resnets.detection.ilsvrc_classes import CATEGORIES, NAMES
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError

pytest.importorskip("defusedxml", reason="the extra `detection` is not installed")


@pytest.fixture
def det(tmp_path: Path) -> Path:
    return write_det(tmp_path / "det")


def ids(splits: DetectionSplits) -> list[int | str]:
    return [image.id for image in splits.train]


@pytest.mark.parametrize("released", [2014, 2015])
def test_val1_and_the_training_images_of_each_class_are_trained_on_and_val2_is_tested_on(
    tmp_path: Path, released: int
) -> None:
    """The layouts of 2014 and 2015 are one data set; pixels are counted from 0, and images numbered by val.txt."""
    splits = load_detection_data(f"ilsvrc:{write_det(tmp_path, released=released)}")
    assert splits.name == "ILSVRC val1+train1000"
    assert (splits.classes, splits.category_ids) == (tuple(CATEGORIES.values()), tuple(range(1, 201)))
    assert splits.protocol == "ilsvrc"
    assert [image.path.stem for image in splits.train] == ["v3", "v1", *(name.rpartition("/")[2] for name in TRAIN)]
    assert ids(splits)[:2] == [3, 1]
    (tested,) = splits.test
    assert (tested.id, tested.size, tested.excluded) == (4, (100, 80), ())
    assert tested.boxes.tolist() == [[10, 10, 20, 20], [10, 13, 20, 23]]
    assert [splits.classes[label] for label in splits.train[1].labels] == ["dog", "person"]
    assert splits.train[1].boxes.tolist() == [[0, 0, 10, 10], [20, 30, 100, 80]]
    assert (splits.repairs, splits.notes, splits.test_annotated) == ((), (), True)


def test_at_most_so_many_of_each_class_and_each_image_once(det: Path) -> None:
    """The first of each list in the order of the classes; `train` is all of them."""
    folder = Folder(det)
    assert folder.ids("train1") == [TRAIN[0], TRAIN[2]]
    assert folder.ids("train2") == [TRAIN[0], TRAIN[1], TRAIN[2]]
    assert folder.ids("train") == TRAIN


def test_the_blacklist_is_kept_with_its_images_and_test_images_have_no_boxes(det: Path) -> None:
    """By the numbers of val.txt; the boxes of the test set are with the server."""
    splits = load_detection_data(f"ilsvrc:{det}@train1/val")
    excluded = {image.id: [splits.classes[label] for label in image.excluded] for image in splits.test}
    assert excluded == {1: [], 2: ["person"], 3: [], 4: []}
    assert not load_detection_data(f"ilsvrc:{det}@val1/test").test_annotated
    listed = next(det.rglob("*blacklist.txt"))
    listed.unlink()
    assert load_detection_data(f"ilsvrc:{det}@train1/val").digest != splits.digest


def test_an_image_without_an_annotation_file_has_no_objects(det: Path) -> None:
    """Of validation images that is usual, and noted; an image that is listed for a class must have one."""
    next(det.rglob("v1.xml")).unlink()
    splits = load_detection_data(f"ilsvrc:{det}@val1/val2")
    assert [len(image.labels) for image in splits.train] == [1, 0]
    assert ["1 image without an annotation file" in note for note in splits.notes] == [True]
    next(det.rglob("n02084071_1.xml")).unlink()
    with pytest.raises(DataError, match=r"1 of 3 annotations of the set train .*n02084071_1\.xml"):
        load_detection_data(f"ilsvrc:{det}@train/val2")


@pytest.mark.parametrize(
    ("sets", "where", "content", "error", "message"),
    [
        ("", "val1.txt", None, DataError, "no image set val1.txt.*rbgirshick/rcnn"),
        ("@val3/val2", None, None, DataError, "no image set val3.txt.*val"),
        ("@val1", None, None, UsageError, "val1/val2"),
        ("@val/val2", None, None, DataError, r"1 of 1 .*v4\.JPEG"),
        ("", "val2.txt", "v4\nv4\n", DataError, "v4 is in it twice"),
        ("", "val2.txt", "\n", DataError, "empty"),
        ("", "val2.txt", "v5\n", DataError, "1 of 1 images of the set val2 are missing.* v5"),
        ("", "val2.txt", "other/v4\nv4\n", DataError, r"v4\.JPEG: .* both other/v4 and v4"),
        ("", "val2.txt", "v4 one\n", DataError, "line 1, 'v4 one'"),
        ("", "val2.txt", f"v4 {'1' * 5_000}\n", DataError, "line 1, 'v4 1"),
        ("", "val2.txt", f"{'a' * 300}/v\0\n", DataError, "1 of 1 images"),
        ("", "train_58.txt", None, DataError, "train_58.txt.*dog"),
        ("", "train_58.txt", f"{TRAIN[0]} 1\nelsewhere/n1 1\n", DataError, "elsewhere/n1"),
        ("", "v4.xml", "<annotation><object><name>dog</name></object></annotation>", DataError, "object 1"),
        ("", "ILSVRC2014_det_validation_blacklist.txt", "2 dog\n", DataError, "line 1, '2 dog'"),
        ("@val1/val2", "val.txt", None, DataError, "blacklist.*val.txt"),
    ],
)
def test_what_is_wrong_is_named(
    det: Path, sets: str, where: str | None, content: str | None, error: type[Exception], message: str
) -> None:
    """A set that is missing, or listed files that are, and lines and classes that are none."""
    if where is not None:
        path = next(det.rglob(where))
        path.unlink() if content is None else path.write_text(content)
    with pytest.raises(error, match=message):
        load_detection_data(f"ilsvrc:{det}{sets}")


def test_it_has_other_classes_and_no_masks(det: Path) -> None:
    """A class that is none of the 200 is an error that names its file; so are masks."""
    with pytest.raises(DataError, match="masks"):
        load_detection_data(f"ilsvrc:{det}", masks=True)
    path = next(det.rglob("v4.xml"))
    path.write_text(path.read_text().replace(DOG, "n02085620"))
    with pytest.raises(DataError, match=r"v4\.xml: object 1 .*n02085620"):
        load_detection_data(f"ilsvrc:{det}")


@pytest.mark.data
def test_the_real_lists(real_data: Path, tmp_path: Path) -> None:
    """The 200 classes in ILSVRC's order; val1 and val2 share no image, and are val without its blacklisted images."""
    lists = real_data / "ilsvrc-lists"
    if not lists.is_dir():
        pytest.skip(f"no lists of ILSVRC: {lists} is absent")
    rows = [line.split("\t") for line in (lists / "det_classes.txt").read_text().splitlines()]
    assert [(int(number), wnid, name) for number, wnid, name in rows] == [
        (number, *one) for number, one in enumerate(NAMES.items(), 1)
    ]
    for name in ("val", "val1", "val2"):
        shutil.copy(lists / f"det_{name}.txt", tmp_path / f"{name}.txt")
    shutil.copy(lists / "ILSVRC2014_det_validation_blacklist.txt", tmp_path)
    folder = Folder(tmp_path)
    val, val1, val2 = (set(folder.ids(name)) for name in ("val", "val1", "val2"))
    assert (len(val), len(val1), len(val2)) == (20_121, 9_887, 9_917)
    assert not val1 & val2
    assert {folder.numbers[one] for one in val - (val1 | val2)} == folder.blacklist.keys()
    assert sum(map(len, folder.blacklist.values())) == 409
