"""Sources: the images to train and test on, with their boxes and classes; and errors that name the wrong part."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_boxes import annotation, instances, write_coco, write_image, write_voc

from resnets.detection import voc
from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError

DOG, CAT = ("dog", 11, 21, 30, 40), ("cat", 1, 1, 100, 80, True)


def ids(split: tuple[AnnotatedImage, ...] | None) -> list[int | str]:
    return [] if split is None else [image.id for image in split]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder in VOC's layout with classes of its own and three sets."""
    sets = {
        "train": {"a": [DOG, CAT], "b": []},
        "val": {"c": [DOG]},
        "test": {"d": [CAT, DOG], "e": [DOG]},
        "trainval": {"a": [DOG, CAT], "b": [], "c": [DOG]},
    }
    return write_voc(
        tmp_path / "pets",
        {k: {i: [("pet" + o[0], *o[1:]) for o in os] for i, os in s.items()} for k, s in sets.items()},
    )


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """A VOCdevkit with both years; image YYset is the only one of its set, but for trainval."""
    for year in ("07", "12"):
        sets = {name: {f"{year}{name}": [DOG]} for name in ("train", "val", "test")}
        sets["trainval"] = {**sets["train"], **sets["val"]}
        write_voc(tmp_path / "VOCdevkit" / f"VOC20{year}", sets)
    return tmp_path / "VOCdevkit"


def test_boxes_are_continuous_from_0_and_what_is_difficult_is_marked(own: Path) -> None:
    """Pixels 11 to 30, counted from 1, are the interval from 10 to 30."""
    splits = load_detection_data(f"voc:{own}")
    assert splits.name == "pets"
    assert splits.classes == ("petcat", "petdog")
    assert splits.category_ids == (1, 2)
    image = splits.train[0]
    assert image.path == own / "JPEGImages" / "a.jpg"
    assert image.size == (100, 80)
    assert image.boxes.tolist() == [[10, 20, 30, 40], [0, 0, 100, 80]]
    assert image.labels.tolist() == [1, 0]
    assert image.difficult.tolist() == [False, True]
    assert image.crowd.tolist() == [False, False]
    assert image.trainable.tolist() == [True, False]
    assert image.areas.tolist() == [400, 8000]
    assert len(splits.train[1].labels) == 0
    assert splits.repairs == ()


def test_own_sets_are_train_val_and_test(own: Path) -> None:
    """The sets train, val and test by default, and any others by name, joined by +."""
    splits = load_detection_data(f"voc:{own}")
    assert (ids(splits.train), ids(splits.validation), ids(splits.test)) == (["a", "b"], ["c"], ["d", "e"])
    assert splits.protocol == "voc"
    chosen = load_detection_data(f"voc:{own}@trainval")
    assert (ids(chosen.train), chosen.validation, ids(chosen.test)) == (["a", "b", "c"], None, ["d", "e"])
    chosen = load_detection_data(f"voc:{own}@train+val/test")
    assert (ids(chosen.train), ids(chosen.test)) == (["a", "b", "c"], ["d", "e"])
    chosen = load_detection_data(f"voc:{own}@train/test/val")
    assert (ids(chosen.validation), ids(chosen.test)) == (["d", "e"], ["c"])
    (own / "ImageSets" / "Main" / "test.txt").unlink()
    (own / "ImageSets" / "Main" / "trainval.txt").unlink()
    chosen = load_detection_data(f"voc:{own}")
    assert (ids(chosen.train), chosen.validation, ids(chosen.test)) == (["a", "b"], None, ["c"])


@pytest.mark.parametrize(
    ("chosen", "train", "test", "protocol"),
    [
        ("", ["07train", "07val", "12train", "12val"], ["07test"], "voc07"),
        ("@07+12", ["07train", "07val", "12train", "12val"], ["07test"], "voc07"),
        ("@07++12", ["07train", "07val", "07test", "12train", "12val"], ["12test"], "voc"),
        ("@07", ["07train", "07val"], ["07test"], "voc07"),
        ("@12", ["12train"], ["12val"], "voc"),
        ("@07+12/12test", ["07train", "07val", "12train", "12val"], ["12test"], "voc"),
        ("@2012train/VOC2007val", ["12train"], ["07val"], "voc07"),
        ("@12train/12val/07test", ["12train"], ["07test"], "voc07"),
    ],
)
def test_the_mixtures_of_a_devkit(devkit: Path, chosen: str, train: list[str], test: list[str], protocol: str) -> None:
    """07+12 tests on VOC 2007 test, 07++12 trains on it and tests on VOC 2012 test, as in Table 7."""
    for path in (devkit, devkit.parent):
        splits = load_detection_data(f"voc:{path}{chosen}")
        assert ids(splits.train) == train
        assert ids(splits.test) == test
        assert splits.classes == voc.CLASSES
        assert splits.protocol == protocol


def test_voc_2007_is_scored_by_11_points_by_every_path(devkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From within it, by a relative path, and where either the path or what it links to has the name."""
    (devkit / "link").symlink_to(devkit / "VOC2007")
    monkeypatch.chdir(devkit / "VOC2007")
    for path in (".", "../VOC2007", "../link", devkit / "VOC2007"):
        assert load_detection_data(f"voc:{path}@train/test").protocol == "voc07"
    moved = (devkit / "VOC2007").rename(devkit / "moved")
    assert load_detection_data(f"voc:{moved}@train/test").protocol == "voc"
    (devkit / "VOC2007").symlink_to(moved)
    assert load_detection_data(f"voc:{devkit / 'VOC2007'}@train/test").protocol == "voc07"


def test_images_of_voc_2012_test_have_no_annotations(devkit: Path) -> None:
    """Their boxes are with the evaluation server alone; a training image without an annotation is an error."""
    (devkit / "VOC2012" / "Annotations" / "12test.xml").unlink()
    splits = load_detection_data(f"voc:{devkit}@07++12")
    assert not splits.test_annotated
    assert len(splits.test[0].labels) == 0
    with pytest.raises(DataError, match=r"1 of 1 .*12test.xml"):
        load_detection_data(f"voc:{devkit}@12test/07test")


def test_voc_s_20_classes_are_kept_where_no_other_is_found(devkit: Path) -> None:
    """VOC's classes are complete and in order; another class makes a list of those that are found."""
    assert len(voc.CLASSES) == 20
    assert tuple(sorted(voc.CLASSES)) == voc.CLASSES
    path = devkit / "VOC2007" / "Annotations" / "07train.xml"
    path.write_text(annotation([("unicorn", 1, 1, 9, 9)]))
    assert load_detection_data(f"voc:{devkit}@07").classes == ("dog", "unicorn")


def test_flags_after_the_names_and_other_lists_are_understood(devkit: Path) -> None:
    """VOC's per-class lists say -1, 0 or 1 after each name, and are no sets of their own."""
    main = devkit / "VOC2007" / "ImageSets" / "Main"
    (main / "dog_train.txt").write_text("07train  1\n07val -1\n")
    (main / "trainval.txt").write_text("07train  1\r\n07val -1\n\n")
    assert ids(load_detection_data(f"voc:{devkit}@07").train) == ["07train", "07val"]
    assert voc.Folder(devkit / "VOC2007").sets() == ("test", "train", "trainval", "val")


def test_classes_can_be_chosen(own: Path) -> None:
    """The others' objects are left out and listed; the order is the one that was asked for."""
    splits = load_detection_data(f"voc:{own}", ["petdog"])
    assert splits.classes == ("petdog",)
    assert splits.train[0].boxes.tolist() == [[10, 20, 30, 40]]
    (repair,) = splits.repairs
    assert repair.where == own / "Annotations"
    assert "2 objects of class 'petcat'" in repair.what
    assert load_detection_data(f"voc:{own}", ["petdog", "petcat"]).train[0].labels.tolist() == [0, 1]
    assert (
        load_detection_data(f"voc:{own}", ["petdog", "petcat", "horse"]).classes[2] == "horse"
    )  # a model may know more
    with pytest.raises(UsageError, match=r"'petdgo'.*petdog"):
        load_detection_data(f"voc:{own}", ["petdgo", "petcat"])
    with pytest.raises(UsageError, match="aeroplane; .*petcat, petdog"):
        load_detection_data(f"voc:{own}", ["aeroplane"])
    for classes in ([], ["petdog", "petdog"]):
        with pytest.raises(UsageError, match="classes"):
            load_detection_data(f"voc:{own}", classes)


def test_the_digest_is_of_the_content(own: Path, tmp_path: Path) -> None:
    """A copy has the same digest; a box moved by a pixel changes it."""
    digest = load_detection_data(f"voc:{own}").digest
    shutil.copytree(own, tmp_path / "copy")
    assert load_detection_data(f"voc:{tmp_path / 'copy'}").digest == digest
    path = tmp_path / "copy" / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<xmin>11<", "<xmin>12<"))
    assert load_detection_data(f"voc:{tmp_path / 'copy'}").digest != digest


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("cifar10", UsageError, "'cifar10'.*voc:PATH"),
        ("vco:x", UsageError, r"'vco:x'.*mean voc"),
        ("voc:", UsageError, "'voc:'"),
        ("voc:@train", UsageError, "'voc:@train'"),
        ("voc:x@", UsageError, "'voc:x@'"),
        ("voc:nowhere", DataError, "nowhere"),
        ("coco:nowhere@a/b", DataError, "nowhere"),
        ("voc:.", DataError, "VOC20YY"),
        ("voc:{own}@a/b/c/d", UsageError, "'a/b/c/d'"),
        ("voc:{own}@train+/test", UsageError, "'train\\+/test'"),
        ("voc:{own}@train+train/test", UsageError, "'train\\+train/test'"),
        ("voc:{own}@trian/test", DataError, r"trian.txt.*train or trainval"),
        (
            "voc:{own}@trainval/val",
            DataError,
            "1 of 1 .*c.jpg",
        ),
        ("voc:{devkit}@07trainval", UsageError, "07trainval/07test"),
        ("voc:{devkit}@train/test", UsageError, "'train'"),
        ("voc:{devkit}@07/10test", DataError, "VOC2010 .*10test"),
        ("voc:{devkit}@07/07tset", DataError, "tset"),
    ],
)
def test_what_is_no_source_is_refused(
    source: str,
    error: type[Exception],
    message: str,
    own: Path,
    devkit: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the source, path or set that is wrong."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(error, match=message):
        load_detection_data(source.format(own=own, devkit=devkit))


def test_the_same_set_may_be_trained_and_tested_on(own: Path) -> None:
    """To see whether a detector can learn its images by heart; in part, as above, it would be a mistake."""
    splits = load_detection_data(f"voc:{own}@train/train")
    assert ids(splits.train) == ids(splits.test)


def test_a_path_may_have_an_at_sign(own: Path) -> None:
    """An @ in an existing path does not separate sets."""
    own.rename(own.with_name("at@home"))
    assert load_detection_data(f"voc:{own.with_name('at@home')}").name == "at@home"
    assert len(load_detection_data(f"voc:{own.with_name('at@home')}@trainval/test").train) == 3


def test_a_devkit_without_the_usual_sets_says_which_there_are(devkit: Path) -> None:
    """The error lists the sets to choose from, or that there are none."""
    shutil.rmtree(devkit / "VOC2007")
    main = devkit / "VOC2012" / "ImageSets" / "Main"
    (main / "val.txt").unlink()
    with pytest.raises(DataError, match="12test, 12train, 12trainval"):
        load_detection_data(f"voc:{devkit}")
    shutil.rmtree(main)
    with pytest.raises(DataError, match=r"none"):
        load_detection_data(f"voc:{devkit}")


def coco_content(images: list[int], crowd: bool = False) -> dict[str, object]:
    entries = [{"image_id": images[0], "category_id": 3, "bbox": [10, 20, 20.5, 20], "area": 123.5}]
    if crowd:
        entries.append({"image_id": images[0], "category_id": 1, "bbox": [0, 0, 100, 80], "iscrowd": 1})
    return instances(images, entries, {3: "cat", 1: "dog", 90: "emu"})


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return write_coco(
        tmp_path / "coco",
        {
            "train2014": coco_content([1, 2], crowd=True),
            "val2014": coco_content([3]),
            "train2017": coco_content([4]),
            "val2017": coco_content([5]),
        },
    )


def test_coco_s_categories_keep_their_ids_and_crowds_are_marked(coco: Path) -> None:
    """Ids that skip numbers, areas of masks and crowds are as in the file."""
    splits = load_detection_data(f"coco:{coco}@train2014/val2014")
    assert splits.classes == ("dog", "cat", "emu")
    assert splits.category_ids == (1, 3, 90)
    assert splits.protocol == "coco"
    image = splits.train[0]
    assert image.path == coco / "train2014" / "000001.jpg"
    assert image.id == 1
    assert image.boxes.tolist() == [[10, 20, 30.5, 40], [0, 0, 100, 80]]
    assert image.labels.tolist() == [1, 0]
    assert image.crowd.tolist() == [False, True]
    assert image.areas.tolist() == [123.5, 8000]  # the mask's, where it is written
    assert ids(splits.test) == [3]


def test_coco_s_usual_sets_are_the_newest_years(coco: Path) -> None:
    """By default train and val of the newest year that has both."""
    splits = load_detection_data(f"coco:{coco}")
    assert (ids(splits.train), splits.validation, ids(splits.test)) == ([4], None, [5])
    assert ids(load_detection_data(f"coco:{coco}@train2014+train2017/val2014").train) == [1, 2, 4]
    (coco / "annotations" / "instances_val2017.json").unlink()
    assert ids(load_detection_data(f"coco:{coco}").test) == [3]
    (coco / "annotations" / "instances_val2014.json").unlink()
    with pytest.raises(DataError, match="train2014, train2017"):
        load_detection_data(f"coco:{coco}")
    with pytest.raises(UsageError, match="train2014/val2017"):
        load_detection_data(f"coco:{coco}@train2014")
    with pytest.raises(DataError, match=r"instances_train2041.json.*train201"):
        load_detection_data(f"coco:{coco}@train2041/train2017")


def test_own_coco_folders(tmp_path: Path) -> None:
    """Sets without a year, all images in one folder; and annotations that are next to the images."""
    one = write_coco(tmp_path / "one", {n: coco_content([i]) for i, n in enumerate(("train", "val", "test"))})
    (one / "images").mkdir()
    for name in ("train", "val", "test"):
        for file in (one / name).iterdir():
            file.rename(one / "images" / file.name)
        (one / name).rmdir()
    splits = load_detection_data(f"coco:{one}")
    assert (ids(splits.train), ids(splits.validation), ids(splits.test)) == ([0], [1], [2])
    for number, name in enumerate(("train", "valid", "test")):
        write_image(tmp_path / "two" / name / f"{number:06}.jpg")
        (tmp_path / "two" / name / "_annotations.coco.json").write_text(json.dumps(coco_content([number])))
    splits = load_detection_data(f"coco:{tmp_path / 'two'}", ["cat"])
    assert (ids(splits.train), ids(splits.validation), ids(splits.test)) == ([0], [1], [2])
    assert (splits.classes, splits.category_ids) == (("cat",), (3,))


@pytest.mark.parametrize(("name", "folder"), [("test2017", "test2017"), ("test-dev2015", "test2015")])
def test_images_of_coco_s_test_sets_have_no_annotations(coco: Path, name: str, folder: str) -> None:
    """test-dev is a part of the test set, among whose images its own are."""
    content = coco_content([9])
    del content["annotations"]
    (coco / "annotations" / f"image_info_{name}.json").write_text(json.dumps(content))
    write_image(coco / folder / "000009.jpg")
    splits = load_detection_data(f"coco:{coco}@train2014+val2014/{name}")
    assert (ids(splits.train), ids(splits.test), splits.test_annotated) == ([1, 2, 3], [9], False)
    assert splits.test[0].path.parent.name == folder


def test_sets_of_other_categories_are_refused(coco: Path) -> None:
    """Sets whose categories differ are an error that names both files."""
    path = coco / "annotations" / "instances_val2014.json"
    path.write_text(path.read_text().replace("emu", "owl"))
    with pytest.raises(DataError, match=r"val2014.json.*train2014.json"):
        load_detection_data(f"coco:{coco}@train2014/val2014")


def test_splits_are_verified() -> None:
    """Labels without a class, empty splits, images and classes named twice, and wrong shapes are errors."""
    image = AnnotatedImage(
        Path("a.jpg"), "a", (9, 9), np.zeros((1, 4)), np.array([1]), np.zeros(1), np.zeros(1), np.zeros(1)
    )
    assert image.boxes.dtype == np.float32
    assert image.difficult.dtype == np.bool_
    with pytest.raises(DataError, match="1 to 1.* 0 to 0"):
        DetectionSplits("x", ("dog",), (image,), (image,))
    with pytest.raises(DataError, match="x.*test images"):
        DetectionSplits("x", ("dog", "cat"), (image,), ())
    with pytest.raises(DataError, match="image a .*training"):
        DetectionSplits("x", ("dog", "cat"), (image, image), (image,))
    with pytest.raises(DataError, match="2 classes"):
        DetectionSplits("x", ("dog", "dog"), (image,), (image,))
    with pytest.raises(DataError, match=r"\(2, 4\)"):
        AnnotatedImage(Path("a"), "a", (9, 9), np.zeros((2, 4)), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1))
    for label in (1.7, float("nan"), "1"):
        with pytest.raises(DataError, match=str(label)):
            dataclasses.replace(image, labels=np.array([label]))
    with pytest.raises(DataError, match="nan"):
        dataclasses.replace(image, boxes=np.full((1, 4), np.nan))


def test_no_torch_is_imported() -> None:
    """Neither to load nor to score; it would be most of the time of a small score."""
    code = (
        "import sys, resnets; resnets.load_detection_data; resnets.score_detections; "
        "import resnets.detection.image_sets, resnets.detection.result_files; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_without_the_extra_it_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without defusedxml the error names the extra that has it."""
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    with pytest.raises(UsageError, match=r"resnets\[detection\]"):
        load_detection_data(f"voc:{own}")


@pytest.mark.data
def test_real_voc(real_data: Path) -> None:
    """The 120 images of VOC 2012 trainval and 100 of VOC 2007 test at hand; nothing in them needs a repair."""
    splits = load_detection_data(f"voc:{real_data / 'voc'}")
    assert (len(splits.train), len(splits.test), splits.classes) == (120, 100, voc.CLASSES)
    assert splits.protocol == "voc07"
    assert splits.repairs == ()
    assert sum(int(image.difficult.sum()) for image in splits.test) > 10


@pytest.mark.data
def test_real_coco(real_data: Path) -> None:
    """60 images of COCO train 2017 with all their objects and crowds."""
    splits = load_detection_data(f"coco:{real_data / 'coco'}@train2017/train2017")
    assert (len(splits.train), len(splits.classes), splits.category_ids[-1]) == (60, 80, 90)
    assert sum(len(image.labels) for image in splits.train) == 509
    assert sum(int(image.crowd.sum()) for image in splits.train) == 4


@pytest.mark.data
def test_real_blood_cells(real_data: Path) -> None:
    """A custom data set in VOC's layout with classes of its own."""
    splits = load_detection_data(f"voc:{real_data / 'bccd'}")
    assert splits.classes == ("Platelets", "RBC", "WBC")
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (205, 87, 72)
