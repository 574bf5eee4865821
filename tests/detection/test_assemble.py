"""Each kind of malformed annotation has its own reaction: an error that names it, or a repair that is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from synthetic_boxes import annotation, instances, write_coco, write_image, write_voc

from resnets.detection.annotations import DetectionSplits
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError

GOOD = ("dog", 11, 21, 30, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "own", {"train": {"a": [GOOD]}, "val": {"b": [GOOD]}})


def load(folder: Path, xml: str | None = None) -> DetectionSplits:
    """Load the folder with another annotation of image a."""
    if xml is not None:
        (folder / "Annotations" / "a.xml").write_text(xml)
    return load_detection_data(f"voc:{folder}")


@pytest.mark.parametrize(
    ("box", "written"),
    [
        ((11, 21, 10, 40), "10 20 10 40"),
        ((11, 21, 30, 5), "10 20 30 5"),
        ((30, 40, 11, 21), "29 39 11 21"),
        ((101, 21, 130, 40), "100 20 130 40"),
        ((-20, 21, -5, 40), "-21 20 -5 40"),
    ],
)
def test_a_box_that_cannot_be_is_left_out_and_listed(folder: Path, box: tuple[int, ...], written: str) -> None:
    """An empty, inverted or outlying box is no object, and its repair names the file, the object and the box."""
    splits = load(folder, annotation([GOOD, ("cat", *box), GOOD]))
    assert splits.train[0].boxes.tolist() == [[10, 20, 30, 40]] * 2
    (repair,) = splits.repairs
    assert repair.where == folder / "Annotations" / "a.xml"
    assert "object 2, cat" in repair.what and written in repair.what


@pytest.mark.parametrize(
    ("box", "clipped"),
    [((0, 0, 30, 40), [0, 0, 30, 40]), ((91, 71, 110, 81), [90, 70, 100, 80]), ((-9, 1, 109, 80), [0, 0, 100, 80])],
)
def test_a_box_that_reaches_out_is_clipped_and_listed(folder: Path, box: tuple[int, ...], clipped: list[int]) -> None:
    """A box that is partly outside is clipped to the image, and so is its area."""
    splits = load(folder, annotation([("dog", *box)]))
    assert splits.train[0].boxes.tolist() == [clipped]
    assert len(splits.repairs) == 1
    assert "100 x 80" in splits.repairs[0].what
    assert splits.train[0].areas.tolist() == [(clipped[2] - clipped[0]) * (clipped[3] - clipped[1])]


def test_a_pixel_is_a_box_and_a_whole_image_too(folder: Path) -> None:
    """Boxes of one pixel, of the whole image and of fractions need no repair."""
    splits = load(folder, annotation([("dog", 5, 5, 5, 5), ("dog", 1, 1, 100, 80), ("dog", "10.5", 5, 20.5, 9)]))
    assert splits.train[0].boxes.tolist() == [[4, 4, 5, 5], [0, 0, 100, 80], [9.5, 4, 20.5, 9]]
    assert splits.repairs == ()


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (annotation([GOOD, ("dog", "NaN", 1, 5, 5)]), r"a.xml: object 2, dog: <xmin>.*NaN"),
        (annotation([("dog", 1, 1, 5, "inf")]), r"a.xml: object 1, dog: <ymax>.*inf"),
        (annotation([("dog", 1, "x", 5, 5)]), r"<ymin>.*x"),
        (annotation([("dog", 1, "", 5, 5)]), r"object 1, dog: <ymin>"),
        (annotation([GOOD]).replace("<ymax>40</ymax>", ""), r"object 1, dog: <ymax>"),
        (annotation([GOOD]).replace("bndbox", "box"), r"object 1, dog.*<bndbox>"),
        (annotation([GOOD, ("", 1, 1, 5, 5)]), r"a.xml: object 2.*<name>"),
        ("<annotation><object>", r"a.xml"),
        ("", r"a.xml"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', r"a.xml"),
        ("<html></html>", r"a.xml.*<html>"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_refused(folder: Path, xml: str, message: str) -> None:
    """The error names the file, and the object and element that is wrong."""
    with pytest.raises(DataError, match=message):
        load(folder, xml)


def test_an_entity_bomb_is_refused_before_it_grows(folder: Path) -> None:
    """A billion laughs; and an entity that would read a file."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for entities in (f'<!ENTITY l0 "lol">{laughs}', '<!ENTITY l9 SYSTEM "file:///etc/passwd">'):
        bomb = f"<!DOCTYPE annotation [{entities}]><annotation><object><name>&l9;</name></object></annotation>"
        with pytest.raises(DataError, match="a.xml"):
            load(folder, bomb)


def test_the_parts_of_a_person_are_no_objects(folder: Path) -> None:
    """As in VOC's person layout: each part has a name and a box of its own, here before the person's."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>"
    splits = load(folder, annotation([GOOD]).replace("<name>dog</name>", f"{part}<name>dog</name>"))
    assert splits.classes[splits.train[0].labels[0]] == "dog"
    assert splits.train[0].boxes.tolist() == [[10, 20, 30, 40]]
    assert splits.repairs == ()


def test_a_size_that_is_not_written_is_the_image_s_own(folder: Path) -> None:
    """A missing size is a repair, and the image's own is taken."""
    for size in (None, (0, 0), ("", "")):
        splits = load(folder, annotation([GOOD], size))
        assert splits.train[0].size == (100, 80)
        assert ["100 x 80" in entry.what for entry in splits.repairs] == [True]


def test_another_size_is_a_repair_while_the_boxes_lie_in_the_image(folder: Path) -> None:
    """Another size is an error where a box is outside the image, or where width and height are exchanged."""
    splits = load(folder, annotation([GOOD], (200, 160)))
    assert splits.train[0].size == (100, 80)
    assert "200 x 160" in splits.repairs[0].what
    with pytest.raises(DataError, match=r"a.xml.* 100 x 80 .* 200 x 160"):
        load(folder, annotation([GOOD, ("dog", 101, 1, 180, 20)], (200, 160)))
    with pytest.raises(DataError, match=r"a.xml.* 100 x 80 .* 80 x 100"):
        load(folder, annotation([GOOD], (80, 100)))


def test_the_size_is_that_of_the_upright_image(folder: Path) -> None:
    """A camera held upright writes the image on its side, with a note; it is decoded upright, so boxes must be too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 100)).save(folder / "JPEGImages" / "a.jpg", exif=exif)
    assert load(folder).train[0].size == (100, 80)
    with pytest.raises(DataError, match="80 x 100"):
        load(folder, annotation([GOOD], (80, 100)))


def test_missing_and_damaged_images_are_named(folder: Path) -> None:
    """An image that is missing, damaged or present twice is an error that names it."""
    image = folder / "JPEGImages" / "a.jpg"
    write_image(folder / "JPEGImages" / "a.png")
    with pytest.raises(DataError, match="a.jpg and a.png"):
        load(folder)
    image.unlink()
    assert load(folder).train[0].path.name == "a.png"
    (folder / "JPEGImages" / "a.png").unlink()
    with pytest.raises(DataError, match=r"JPEGImages: 1 of 1 .* a "):
        load(folder)
    image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a.jpg"):
        load(folder)


def test_missing_annotations_and_double_ids_are_named(folder: Path) -> None:
    """A set that is empty or lists an image twice, and a missing annotation, are errors."""
    main = folder / "ImageSets" / "Main"
    (main / "train.txt").write_text("a\nb\na\n")
    with pytest.raises(DataError, match="train.txt: image a"):
        load(folder)
    (main / "train.txt").write_text("\n")
    with pytest.raises(DataError, match="train.txt"):
        load(folder)
    (main / "train.txt").write_text("a\n")
    (folder / "Annotations" / "a.xml").unlink()
    with pytest.raises(DataError, match="1 of 1 .* train .* a.xml"):
        load(folder)


def test_a_class_that_is_never_trained_is_refused(folder: Path) -> None:
    """It is a slip of the pen more often than not."""
    (folder / "Annotations" / "a.xml").write_text(annotation([("pony", 1, 1, 9, 9)]))
    (folder / "Annotations" / "b.xml").write_text(annotation([("ponny", 1, 1, 9, 9)]))
    with pytest.raises(DataError, match=r"b.xml: class 'ponny' .*pony"):
        load(folder)
    splits = load_detection_data(f"voc:{folder}", ["pony"])
    assert "ponny" in splits.repairs[0].what


def test_no_object_anywhere_is_refused(folder: Path) -> None:
    """A data set without any object has no classes, and is an error."""
    (folder / "Annotations" / "b.xml").write_text(annotation([]))
    with pytest.raises(DataError, match="Annotations"):
        load(folder, annotation([]))


def a_coco(tmp_path: Path, change: Any = None, text: str | None = None, **entry: Any) -> DetectionSplits:
    """Load two sets of one image each, the first with a changed annotation, content or text."""
    good = {"image_id": 1, "category_id": 1, "bbox": [10, 20, 20, 20]}
    content = instances([1], [good, {**good, **entry}], {1: "dog", 2: "cat"})
    if change is not None:
        change(content)
    other = instances([2], [{**good, "image_id": 2}], {1: "dog", 2: "cat"})
    root = write_coco(tmp_path / "own", {"train": instances([1], [], {}), "val": other})
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content) if text is None else text)
    return load_detection_data(f"coco:{root}")


@pytest.mark.parametrize(
    ("box", "kept", "repair"),
    [
        ([10, 20, 0, 20], [], "empty"),
        ([90, 20, 1e-6, 20], [], "empty"),  # float32 has no such width
        ([10, 20, -5, 20], [], "empty"),
        ([100, 20, 5, 20], [], "outside"),
        ([-5, 20, 20, 20], [[0, 20, 15, 40]], "clipped"),
        ([90, 20, 10.01, 20], [[90, 20, 100, 40]], None),  # rounded to two decimals
    ],
)
def test_coco_s_boxes_are_repaired_alike(tmp_path: Path, box: list[float], kept: list[Any], repair: str | None) -> None:
    """Boxes of COCO's files are left out, clipped and listed as VOC's are."""
    splits = a_coco(tmp_path, bbox=box)
    assert splits.train[0].boxes[1:].tolist() == kept
    assert [repair in str(entry) for entry in splits.repairs] == ([] if repair is None else [True])
    if repair is not None:
        assert "instances_train.json/000001.jpg: object 2, dog: box" in str(splits.repairs[0])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"annotation 2: bbox \[1, 2, 3\]"),
        ({"bbox": None}, r"annotation 2: bbox None"),
        ({"bbox": [1, 2, 10**400, 4]}, r"annotation 2: bbox \[1, 2, 10+.*0+, 4\]"),
        ({"bbox": [1, float("nan"), 3, 4]}, r"annotation 2: bbox \[1, nan, 3, 4\]"),
        ({"bbox": [1, 2, True, 4]}, r"annotation 2: bbox \[1, 2, True, 4\]"),
        ({"id": 1}, r"annotation id 1 "),
        ({"id": "one"}, r"annotation number 2 .*'one'"),
        ({"image_id": 7}, r"annotation 2 .*image 7"),
        ({"image_id": [7]}, r"annotation 2 .*image \[7\]"),
        ({"category_id": 5}, r"annotation 2 .*category 5"),
    ],
)
def test_coco_annotations_that_cannot_be_are_refused(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    """The error names the annotation and the wrong value."""
    with pytest.raises(DataError, match=f"instances_train.json: {message}"):
        a_coco(tmp_path, **entry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"].append(c["images"][0]), "image id 1 "),
        (lambda c: c["categories"].append(c["categories"][0]), "category id 1 "),
        (lambda c: c["categories"].append({"id": 9, "name": "dog"}), "category name 'dog'"),
        (lambda c: c["categories"].append({"id": 9}), "category 9 .*name"),
        (lambda c: c["images"][0].pop("file_name"), "image 1 .*file_name"),
        (lambda c: c.pop("annotations"), ".*annotations"),
        (lambda c: c.pop("categories"), ".*categories"),
        (lambda c: c.update(images={}), ".*images"),
        (lambda c: c.update(annotations=[1]), ".*annotations"),
    ],
)
def test_an_instances_json_that_is_none_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    """The error names the id that is there twice, or the part that is missing."""
    with pytest.raises(DataError, match=f"instances_train.json: {message}"):
        a_coco(tmp_path, change)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    """Text that is no JSON, no object, or nested too deeply is an error that names the file."""
    for number, (text, message) in enumerate((("{", "not JSON"), ("[]", "a list"))):
        with pytest.raises(DataError, match=f"instances_train.json: {message}"):
            a_coco(tmp_path / str(number), text=text)
    with pytest.raises(DataError, match="instances_train.json"):
        a_coco(tmp_path / "deep", text="[" * 100_000)


def test_coco_sizes_and_images_are_compared(tmp_path: Path) -> None:
    """Sizes and file names of COCO's images are compared with the image files."""

    def sized(width: object, height: object) -> Any:
        return lambda content: content["images"][0].update(width=width, height=height)

    assert "200 x 160" in a_coco(tmp_path / "0", sized(200, 160)).repairs[0].what
    assert "100 x 80" in a_coco(tmp_path / "1", sized(None, 80)).repairs[0].what
    with pytest.raises(DataError, match=r"000001.jpg: .*100 x 80 .* 80 x 100"):
        a_coco(tmp_path / "2", sized(80, 100))
    with pytest.raises(DataError, match=r"train: 1 of 1 .*other.jpg"):
        a_coco(tmp_path / "3", lambda content: content["images"][0].update(file_name="other.jpg"))
