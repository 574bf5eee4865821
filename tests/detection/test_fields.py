"""One field of an annotation means the same to whoever reads it: `load_detection_data` and `score_detections`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from synthetic_boxes import Object, annotation, instances, write_coco, write_image, write_voc

from resnets.detection.annotations import DetectionSplits
from resnets.detection.average_precision import ClassScores
from resnets.detection.coco_score import CocoScore
from resnets.detection.score import score_detections
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError

pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")

DOG, CAT = ("dog", 11, 21, 30, 40), ("cat", 1, 1, 50, 60)
CATEGORIES = {1: "dog", 2: "cat"}


def a_dog(image: int, **changes: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "bbox": [10, 20, 20, 20], **changes}


def voc(folder: Path, *objects: Object) -> Path:
    return write_voc(folder / "own", {"train": {"a": objects or [DOG, CAT]}, "test": {"b": objects or [DOG, CAT]}})


def voc_score(folder: Path, lines: str = "b 0.9 11 21 30 40\n") -> ClassScores:
    (folder / "found").mkdir(exist_ok=True)
    (folder / "found" / "comp4_det_test_dog.txt").write_text(lines)
    scored = score_detections(folder / "own", folder / "found", "voc")
    assert isinstance(scored, ClassScores)
    return scored


def coco(folder: Path, train: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a dog, with changes, and a cat in one image to train on and one to test on."""
    sets = {
        name: instances([image], [a_dog(image, **changes), a_dog(image, category_id=2)], CATEGORIES)
        for image, name in enumerate(("train", "val"), 1)
    }
    return write_coco(folder / "own", sets)


def coco_score(folder: Path, box: list[float] | None = None) -> CocoScore:
    (folder / "found.json").write_text(json.dumps([a_dog(2, score=0.9, **({} if box is None else {"bbox": box}))]))
    truth = folder / "own" / "annotations" / "instances_val.json"
    scored = score_detections(truth, folder / "found.json", "coco")
    assert isinstance(scored, CocoScore)
    return scored


SET, CLEAR = (1, 1.0, True, "1", " 1 ", "1.0", "true", "True"), (0, 0.0, False, "0", "0.0", "false", "FALSE")


@pytest.mark.parametrize(("value", "expected"), [*((value, True) for value in SET), *((v, False) for v in CLEAR)])
def test_a_flag_is_a_number_a_truth_value_or_a_text(tmp_path: Path, value: Any, expected: bool) -> None:
    """VOC's <difficult> and COCO's iscrowd are read alike, and an object that is marked does not count."""
    root = voc(tmp_path / "voc")
    for name in ("a", "b"):
        path = root / "Annotations" / f"{name}.xml"
        path.write_text(path.read_text().replace("<difficult>0", f"<difficult>{value}", 1))
    loaded = load_detection_data(f"voc:{root}")
    assert [image.difficult.tolist() for image in (*loaded.train, *loaded.test)] == [[expected, False]] * 2
    assert voc_score(tmp_path / "voc").ap["dog"] == (None if expected else 1)
    root = coco(tmp_path / "coco", iscrowd=value)
    loaded = load_detection_data(f"coco:{root}")
    assert [image.crowd.tolist() for image in (*loaded.train, *loaded.test)] == [[expected, False]] * 2
    assert coco_score(tmp_path / "coco").ap["dog"] == (None if expected else pytest.approx(1))
    assert loaded.notes == ()


@pytest.mark.parametrize("value", ["maybe", 2, -1, "nan", "Unspecified"])
def test_what_is_no_flag_is_refused(tmp_path: Path, value: Any) -> None:
    """By whoever reads it, with its value."""
    root = voc(tmp_path / "voc")
    for name in ("a", "b"):
        path = root / "Annotations" / f"{name}.xml"
        path.write_text(path.read_text().replace("<difficult>0", f"<difficult>{value}", 1))
    with pytest.raises(DataError, match=f"a.xml: object 1, dog: <difficult>.*{value}"):
        load_detection_data(f"voc:{root}")
    with pytest.raises(DataError, match=f"b.xml: object 1, dog: <difficult>.*{value}"):
        voc_score(tmp_path / "voc")
    root = coco(tmp_path / "coco", iscrowd=value)
    with pytest.raises(DataError, match=f"train.json: annotation 1: iscrowd.*{value}"):
        load_detection_data(f"coco:{root}")
    with pytest.raises(DataError, match=f"val.json: annotation 1: iscrowd.*{value}"):
        coco_score(tmp_path / "coco")


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("key", ["id", "iscrowd", "area"])
def test_null_is_as_good_as_missing(tmp_path: Path, key: str, missing: bool) -> None:
    """What an annotation has not is filled in alike to train and to score, and noted with its count."""
    root = coco(tmp_path, **{key: None})
    if missing:
        for path in (root / "annotations").iterdir():
            content = json.loads(path.read_text())
            del content["annotations"][0][key]
            path.write_text(json.dumps(content))
    loaded, scored = load_detection_data(f"coco:{root}"), coco_score(tmp_path)
    assert loaded.test[0].areas.tolist() == [400, 400]
    assert loaded.test[0].crowd.tolist() == [False, False]
    assert scored.ap["dog"] == pytest.approx(1)
    assert [f"1 of 2 annotations have no '{key}'" in note for note in loaded.notes] == [True, True]
    assert list(scored.notes) == [note for note in loaded.notes if "val.json" in note]


@pytest.mark.parametrize("area", ["725.0", float("nan"), 1e300, [1], True])
def test_an_area_that_is_none_is_refused(tmp_path: Path, area: Any) -> None:
    """By both readers: COCO's score would pass over the object, or end in an error of its own."""
    root = coco(tmp_path, area=area)
    with pytest.raises(DataError, match="train.json: annotation 1: area"):
        load_detection_data(f"coco:{root}")
    with pytest.raises(DataError, match="val.json: annotation 1: area"):
        coco_score(tmp_path)


def test_objects_without_difficult_are_noted(tmp_path: Path) -> None:
    """They count, and a note says of how many it is not written, or empty."""
    root = voc(tmp_path)
    for name, instead in (("a", "<difficult/>"), ("b", "")):
        path = root / "Annotations" / f"{name}.xml"
        path.write_text(path.read_text().replace("<difficult>0</difficult>", instead))
    loaded = load_detection_data(f"voc:{root}")
    assert [f"{name}.txt: 2 objects" in note for name, note in zip(("train", "test"), loaded.notes, strict=True)] == [
        True,
        True,
    ]
    assert "test.txt: 2 objects" in voc_score(tmp_path).notes[0]


def test_boxes_that_are_shares_of_the_image_are_noted(tmp_path: Path) -> None:
    """Boxes within 0 and 1 are hardly pixels: loaded, as ground truth and as detections, in either layout."""
    small = [("dog", 0.1, 0.2, 0.4, 0.5), ("cat", 0.2, 0.2, 1, 1)]
    voc(tmp_path / "voc", *small)
    assert sum("within 0 and 1" in note for note in load_detection_data(f"voc:{tmp_path / 'voc' / 'own'}").notes) == 2
    notes = voc_score(tmp_path / "voc", "b 0.9 0.1 0.2 0.4 0.5\n").notes
    assert ["test.txt" in notes[0], "comp4_det_test_dog.txt" in notes[1]] == [True, True]
    sets = {
        name: instances([image], [a_dog(image, bbox=[0.1, 0.2, 0.9, 1])], CATEGORIES)
        for image, name in enumerate(("train", "val"), 1)
    }
    write_coco(tmp_path / "coco" / "own", sets)
    loaded = load_detection_data(f"coco:{tmp_path / 'coco' / 'own'}")
    assert sum("within 0 and 1" in note for note in loaded.notes) == 2
    notes = coco_score(tmp_path / "coco", [0.1, 0.2, 0.9, 1]).notes
    assert ["instances_val.json" in notes[0], "found.json" in notes[1]] == [True, True]


@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_images_that_are_turned_upright_are_counted(tmp_path: Path, layout: str) -> None:
    """A square one too, whose size does not show that its boxes may be of the image as it is stored."""
    root = voc(tmp_path) if layout == "voc" else coco(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 3
    (path,) = [*root.glob("JPEGImages/a.jpg"), *root.glob("train/*.jpg")]
    Image.new("RGB", (100, 80)).save(path, exif=exif)
    (note,) = load_detection_data(f"{layout}:{root}").notes
    assert "train" in note and "1 of 1 images" in note


def ids(splits: DetectionSplits) -> list[int | str]:
    return [image.id for image in (*splits.train, *splits.test)]


@pytest.mark.parametrize("line", ["{}.jpg", "{}.jpg 1", "{}.PNG", "JPEGImages/{}.jpg", "own\\JPEGImages\\{}.jpg -1"])
def test_an_image_set_may_list_files(tmp_path: Path, line: str) -> None:
    """With or without a suffix an image has the same id, whether it is annotated or not."""
    root = voc(tmp_path)
    for name, one in (("train", "a"), ("test", "b")):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(line.format(one) + "\n")
    assert ids(load_detection_data(f"voc:{root}")) == ["a", "b"]
    assert voc_score(tmp_path).ap["dog"] == 1
    with pytest.raises(DataError, match="'b.jpg'.*suffix"):
        voc_score(tmp_path, "b.jpg 0.9 11 21 30 40\n")
    (root / "Annotations" / "b.xml").unlink()
    if "PNG" not in line:
        assert ids(load_detection_data(f"voc:{root}")) == ["a", "b"]


def test_an_id_may_end_like_a_file(tmp_path: Path) -> None:
    """An image a.jpg.jpg, annotated in a.jpg.xml, is not the image a.jpg."""
    root = voc(tmp_path)
    write_image(root / "JPEGImages" / "a.jpg.jpg")
    (root / "Annotations" / "a.jpg.xml").write_text(annotation([CAT]))
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\na.jpg\n")
    splits = load_detection_data(f"voc:{root}")
    assert [(image.id, image.path.name) for image in splits.train] == [("a", "a.jpg"), ("a.jpg", "a.jpg.jpg")]


@pytest.mark.parametrize("name", ["train/{}", "train\\{}", "./train/{}", "own/train/{}", "{root}/train/{}"])
def test_a_file_name_may_hold_its_folder(tmp_path: Path, name: str) -> None:
    """Relative to the data set or to images/, with the slashes of another system, or absolute."""
    root = coco(tmp_path)
    path = root / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name.format("000001.jpg", root=root)
    path.write_text(json.dumps(content))
    if name.startswith("own"):
        (root / "images").mkdir()
        (root / "images" / "own").symlink_to(root)
    assert os.path.samefile(load_detection_data(f"coco:{root}").train[0].path, root / "train" / "000001.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "..", "", "\0", "\ud800", "x" * 5000])
def test_a_file_name_that_names_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """A pipe is not waited for, and a device not read."""
    root = coco(tmp_path)
    os.mkfifo(root / "train" / "pipe")
    path = root / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError):
        load_detection_data(f"coco:{root}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["Annotations/b.xml", "ImageSets/Main/test.txt", "JPEGImages/b.jpg"])
def test_a_pipe_among_annotations_is_not_waited_for(tmp_path: Path, name: str) -> None:
    """Every file of a data set in VOC's layout is a file, or the error names it."""
    root = voc(tmp_path)
    (root / name).unlink()
    os.mkfifo(root / name)
    with pytest.raises(DataError, match=name):
        load_detection_data(f"voc:{root}")


@pytest.mark.parametrize("name", [None, "", " ", 5, "a\nb", "\x1b[31m", "\ud800", "\0"])
def test_a_class_has_a_name(tmp_path: Path, name: Any) -> None:
    """Control characters would reach terminals, names of files and lines of result files."""
    root = coco(tmp_path)
    path = root / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["categories"][1]["name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="train.json: category 2"):
        load_detection_data(f"coco:{root}")


def test_names_that_look_the_same_are_no_classes_of_their_own(tmp_path: Path) -> None:
    """In training and test images, in what is requested, and in the name of a detection file."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    root = voc(tmp_path, (composed, 11, 21, 30, 40))
    (root / "Annotations" / "b.xml").write_text(annotation([(decomposed, 11, 21, 30, 40)]), encoding="utf-8")
    with pytest.raises(DataError, match="NFC form"):
        load_detection_data(f"voc:{root}")
    (root / "Annotations" / "a.xml").write_text(annotation([(decomposed, 11, 21, 30, 40)]), encoding="utf-8")
    with pytest.raises(UsageError, match="NFD form"):
        load_detection_data(f"voc:{root}", [composed])
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / f"comp4_det_test_{composed}.txt").write_text("")
    with pytest.raises(DataError, match="NFD form"):
        score_detections(root, tmp_path / "found", "voc")


def test_classes_that_are_never_trained_are_remarked(tmp_path: Path) -> None:
    """With their number among all classes; a crowd or a difficult object is none to learn."""
    root = coco(tmp_path, iscrowd=1)
    (remark,) = load_detection_data(f"coco:{root}").remarks()
    assert "1 of 2 classes: dog" in remark
