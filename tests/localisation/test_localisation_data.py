"""Localisation data sets: CLS-LOC by XML and by Kaggle's tables, VOC and COCO, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_localisers import CLASS_IDS, WNIDS, write_clsloc
from synthetic_boxes import write_voc

from resnets.data.sources import load
from resnets.errors import DataError, UsageError
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits, digest
from resnets.localisation.clsloc import load_truth
from resnets.localisation.score import score, truth_of
from resnets.localisation.sources import load_localisation_data


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Kaggle's tables."""
    folder = tmp_path_factory.mktemp("tables") / "data"
    write_clsloc(folder)
    return folder


def test_xml_and_tables_are_the_same_data(tables: Path, tmp_path: Path) -> None:
    """Files, classes, boxes, numbers of classes and digest agree, from the folder or the one above it."""
    drawn = write_clsloc(tmp_path / "data" / "ILSVRC", xml=True)
    table, xml = load_localisation_data(f"clsloc:{tables}"), load_localisation_data(f"clsloc:{tmp_path / 'data'}")
    assert table.digest == xml.digest
    assert tuple(name.split()[0] for name in xml.classes) == WNIDS
    assert (xml.class_ids, len(xml.train), len(xml.test)) == (CLASS_IDS, 6, 6)
    for number, one in enumerate(drawn):
        x1, y1, x2, y2 = one.box
        assert xml.test.name(number) == one.name
        assert xml.test.boxes_of(number).tolist() == [[x1, y1, x2 + 1, y2 + 1]]


def test_images_without_boxes_are_not_trained_on(tables: Path, tmp_path: Path) -> None:
    """Of ImageNet's training images only some have boxes; a note counts the others, and empty boxes."""
    write_clsloc(tmp_path)
    table = tmp_path / "LOC_train_solution.csv"
    lines = table.read_text().splitlines()
    name, wnid = lines[2].split()[0].split(",")
    table.write_text("\n".join([lines[0], f"{name},{wnid} 9 9 3 3 {wnid} 0 0 9 9 ", *lines[3:]]) + "\n")
    found = load_localisation_data(f"clsloc:{tmp_path}")
    assert len(found.train) == 5
    assert found.train.boxes_of(0).tolist() != [] and len(found.notes) == 2
    assert "1 boxes" in found.notes[0] and "1 of 6 images" in found.notes[1]


def _with_only_box(root: Path, split: str, box: str) -> str:
    """Change the boxes of the first image of Kaggle's table to one, and return the image's name."""
    table = root / f"LOC_{split}_solution.csv"
    lines = table.read_text().splitlines()
    name, wnid = lines[1].split()[0].split(",")
    table.write_text("\n".join([lines[0], f"{name},{wnid} {box} ", *lines[2:]]) + "\n")
    return name


def test_an_image_whose_only_box_is_inverted_has_none(tmp_path: Path) -> None:
    """It is left out of training and counted, as one without boxes; a validation image is named as one."""
    write_clsloc(tmp_path)
    name = _with_only_box(tmp_path, "train", "25 20 10 8")
    found = load_localisation_data(f"clsloc:{tmp_path}")
    assert len(found.train) == 5 and name not in map(found.train.name, range(5))
    assert "1 of 6 images" in found.notes[1] and "1 of them" in found.notes[1]
    name = _with_only_box(tmp_path, "val", "10 20 10 8")
    with pytest.raises(DataError, match=f"1 images have no boxes.*{name}"):
        load_localisation_data(f"clsloc:{tmp_path}")


@pytest.mark.parametrize(
    "boxes", [np.zeros((0, 4)), np.asarray([[1, 1, 9, 9], [9, 1, 3, 9]])], ids=["none", "inverted"]
)
def test_splits_made_in_python_need_boxes(tables: Path, boxes: NDArray[np.float64]) -> None:
    """An image without a box, or with one without area, is named when the splits are made; a server's need none."""
    splits = load_localisation_data(f"clsloc:{tables}")
    given = [boxes if n == 2 else splits.train.boxes_of(n) for n in range(6)]
    images = BoxedImages.of(splits.train.files.paths, splits.train.files.labels.tolist(), given)
    with pytest.raises(DataError, match=splits.train.name(2)):
        dataclasses.replace(splits, train=images)
    with pytest.raises(DataError, match=splits.train.name(2)):
        dataclasses.replace(splits, test=images)
    assert len(dataclasses.replace(splits, test=images, test_annotated=False).test) == 6


def test_boxes_beyond_the_size_that_xml_gives(tmp_path: Path) -> None:
    """They are clipped to it, or left out where nothing of them is in the image; both are counted."""
    write_clsloc(tmp_path, xml=True)
    first, second = sorted((tmp_path / "Annotations" / "CLS-LOC" / "train").rglob("*.xml"))[:2]
    size = "<annotation><size><width>32</width><height>32</height></size>"
    for file, corners in ((first, (20, -4, 40, 9)), (second, (32, 3, 40, 9))):
        box = "".join(f"<{key}>{at}</{key}>" for key, at in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        end = f"<object><name>{WNIDS[0]}</name><bndbox>{box}</bndbox></object></annotation>"
        file.write_text(file.read_text().replace("<annotation>", size).replace("</annotation>", end))
    found = load_localisation_data(f"clsloc:{tmp_path}")
    assert found.train.boxes_of(0)[1:].tolist() == [[20, 0, 32, 10]]
    assert len(found.train.boxes_of(1)) == 1
    assert [note.split(" boxes ")[1][:8] for note in found.notes] == ["are outs", "reach ou"]


def test_lists_of_a_part_count_before_those_around_it(tmp_path: Path) -> None:
    """A part with XML files and a blacklist of all validation images lies next to Kaggle's tables of all images."""
    part = tmp_path / "ILSVRC" / "part"
    drawn = write_clsloc(part, xml=True)
    rows = "".join(f"ILSVRC2012_val_{number:08},{WNIDS[0]} 1 1 9 9 \n" for number in range(1, 100))
    for split in ("train", "val"):
        (part.parent / f"LOC_{split}_solution.csv").write_text(f"ImageId,PredictionString\n{rows}")
    blacklist = part.parent / "devkit" / "data" / "ILSVRC2015_clsloc_validation_blacklist.txt"
    blacklist.parent.mkdir(parents=True)
    blacklist.write_text("3\n36\n49000\n")
    val = part / "Data" / "CLS-LOC" / "val"
    for folder, suffix in ((val, "JPEG"), (part / "Annotations" / "CLS-LOC" / "val", "xml")):
        (folder / f"{drawn[0].name}.{suffix}").unlink()
    found = load_localisation_data(f"clsloc:{part}")
    assert (len(found.train), len(found.test)) == (6, 5)
    assert sorted(found.test.name(place) for place in found.blacklist) == ["ILSVRC2012_val_00000003"]
    assert load_truth(part, None, blacklist).blacklist == found.blacklist == {1}


def test_a_list_around_images_of_other_names_is_not_theirs(tmp_path: Path) -> None:
    """A blacklist of numbers is by places only where it is the data set's own."""
    write_clsloc(tmp_path / "part", xml=True)
    for folder in ("Data/CLS-LOC/val", "Annotations/CLS-LOC/val"):
        for number, file in enumerate(sorted((tmp_path / "part" / folder).iterdir())):
            file.rename(file.with_stem(f"own{number}"))
    for root, text in ((tmp_path, "2\n49000\n"), (tmp_path / "part", "5\n")):
        (root / "devkit" / "data").mkdir(parents=True, exist_ok=True)
        list_ = root / "devkit" / "data" / "ILSVRC2015_clsloc_validation_blacklist.txt"
        list_.write_text(text)
    assert load_localisation_data(f"clsloc:{tmp_path / 'part'}").blacklist == {4}
    list_.unlink()
    assert load_localisation_data(f"clsloc:{tmp_path / 'part'}").blacklist == set()


def test_every_path_to_a_folder_finds_the_lists_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kaggle's tables lie next to ILSVRC/, which may be named from within, by a relative path or by a link."""
    inside = tmp_path / "kaggle" / "ILSVRC"
    write_clsloc(inside)
    for table in inside.glob("*.csv"):
        table.rename(inside.parent / table.name)
    (tmp_path / "link").symlink_to(inside)
    monkeypatch.chdir(inside)
    paths = (inside, ".", "../ILSVRC", "Data/CLS-LOC", tmp_path / "link")
    assert len({load_localisation_data(f"clsloc:{path}").digest for path in paths}) == 1
    assert len(load("imagenet:.").test) == 6


def test_held_out_images(tables: Path) -> None:
    """A share of each class is held out by the seed, with its boxes."""
    whole = load_localisation_data(f"clsloc:{tables}")
    parts = whole.divided("50%", 0)
    assert parts.validation is not None
    assert (len(parts.train), len(parts.validation)) == (3, 3)
    assert sorted(parts.train.files.labels.tolist()) == sorted(parts.validation.files.labels.tolist()) == [0, 1, 2]
    names = {parts.train.name(n): parts.train.boxes_of(n).tolist() for n in range(3)}
    for number in range(6):
        if whole.train.name(number) in names:
            assert names[whole.train.name(number)] == whole.train.boxes_of(number).tolist()
    for wrong in ("45k5k", "0%", "half"):
        with pytest.raises(UsageError, match=wrong):
            whole.divided(wrong, 0)


def test_a_voc_folder_of_one_class_an_image(tmp_path: Path) -> None:
    """Its boxes count from 1; difficult objects and images without objects are left out; two classes are an error."""
    sets = {
        "train": {"a": [("cell", 1, 1, 40, 30), ("cell", 5, 5, 9, 9, True)], "b": []},
        "test": {"c": [("cell", 2, 2, 9, 9)]},
    }
    root = write_voc(tmp_path / "voc", sets)
    found = load_localisation_data(f"voc:{root}")
    assert (found.classes, len(found.train), found.train.boxes_of(0).tolist()) == (("cell",), 1, [[0, 0, 40, 30]])
    assert any("1 training image" in note for note in found.notes)
    sets["train"]["b"] = [("cell", 1, 1, 9, 9), ("lens", 1, 1, 9, 9)]
    with pytest.raises(DataError, match=r"b\.jpg: has objects of cell, lens"):
        load_localisation_data(f"voc:{write_voc(tmp_path / 'two', sets)}")


def _without_images(root: Path) -> None:
    next((root / "Data" / "CLS-LOC" / "val").iterdir()).unlink()


def _without_boxes(root: Path) -> None:
    lines = (root / "LOC_val_solution.csv").read_text().splitlines()
    (root / "LOC_val_solution.csv").write_text("\n".join(lines[:-1]) + "\n")


def _of_another_class(root: Path) -> None:
    text = (root / "LOC_val_solution.csv").read_text()
    (root / "LOC_val_solution.csv").write_text(text.replace(WNIDS[2], "n04557648"))


def _twice(root: Path) -> None:
    first = sorted((root / "Data" / "CLS-LOC" / "val").iterdir())[0]
    first.with_suffix(".png").write_bytes(first.read_bytes())


def _bad_blacklist(root: Path) -> None:
    (root / "devkit" / "data" / "ILSVRC2015_clsloc_validation_blacklist.txt").write_text("1\n50001\n")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_without_images, "1 of the 6 images with boxes in .*LOC_val_solution.csv"),
        (_without_boxes, "1 images have no boxes"),
        (_of_another_class, "n04557648"),
        (_twice, "images of one name"),
        (_bad_blacklist, "line 2.*'50001'"),
    ],
)
def test_faults_are_named(tmp_path: Path, damage: Callable[[Path], None], found: str) -> None:
    """Each in one line, with the file or image that it is about."""
    write_clsloc(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=found):
        load_localisation_data(f"clsloc:{tmp_path}")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("clslocs:data", UsageError),
        ("clsloc:", UsageError),
        ("clsloc:{}@train", UsageError),
        ("clsloc:{}@train/hidden", UsageError),
        ("clsloc:{}/none", DataError),
        ("clsloc:{}@train/test", DataError),  # there are no such images
    ],
)
def test_sources_that_are_none(tables: Path, source: str, error: type[Exception]) -> None:
    """A wrong name is one error, missing data another."""
    with pytest.raises(error):
        load_localisation_data(source.format(tables))


def test_the_digest_is_of_boxes_too(tables: Path) -> None:
    """Another box is other data; the blacklist is of the test images alone."""
    splits = load_localisation_data(f"clsloc:{tables}")
    moved = dataclasses.replace(splits.test, boxes=splits.test.boxes + np.float32(1))
    assert digest(splits.classes, (splits.train, moved)) != splits.digest
    marked: LocalisationSplits = dataclasses.replace(splits, blacklist=frozenset({0}))
    assert (marked.blacklist_of("test"), marked.blacklist_of("train")) == ({0}, set())


@pytest.mark.data
def test_guesses_without_learning_on_real_images(real_data: Path) -> None:
    """On 600 images of Tiny ImageNet the whole image is wrong for 58.0 %, and the class's median box for 42.8 %."""
    folder = real_data / "tiny-imagenet-loc"
    if not folder.is_dir():
        pytest.skip(f"no part of ImageNet with boxes: {folder} is absent")
    splits = load_localisation_data(f"clsloc:{folder}")
    assert (len(splits.classes), len(splits.train), len(splits.test)) == (20, 2_500, 600)
    truth, labels = truth_of(splits.test), splits.train.files.labels
    medians = [np.median(splits.train.boxes[labels == label], axis=0) for label in range(20)]  # one box an image
    whole = score(truth, boxes=[np.asarray((0.0, 0.0, 64.0, 64.0))] * 600)
    median = score(truth, boxes=[medians[one.label] for one in truth])
    assert whole.true_class_error == pytest.approx(58.0)
    assert median.true_class_error == pytest.approx(257 / 6)
