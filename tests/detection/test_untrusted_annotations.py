"""Annotation and detection files that are damaged or hostile: read, or refused as documented, and never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import COUNTS, fuzz
from synthetic_boxes import annotation, instances, write_coco, write_voc

from resnets.detection.coco_score import score_files
from resnets.detection.mask_checks import MaskChecks
from resnets.detection.score import score_detections
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError

pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")

SIZE = (100, 80)
DOG, CAT = ("dog", 11, 21, 30, 40), ("cat", 1, 1, 50, 60, True)


def rle(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    """Return a rectangle as compressed run lengths."""
    from pycocotools import mask

    pixels = np.zeros(SIZE[::-1], np.uint8, order="F")
    pixels[y : y + height, x : x + width] = 1
    made = mask.encode(pixels)
    return {"size": made["size"], "counts": made["counts"].decode()}


def polygon(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def an_object(image: int, category: int, box: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": list(box), "segmentation": polygon(*box), **more}


TRUTH = instances(
    [2, 3],
    [
        an_object(2, 1, (10, 20, 30, 20)),
        an_object(2, 2, (5, 5, 50, 60), segmentation={"size": [80, 100], "counts": [10, 20, 30, 7_940]}),
        an_object(3, 2, (0, 0, 40, 40), iscrowd=1, segmentation=rle(0, 0, 40, 40)),
    ],
    {1: "dog", 2: "cat"},
)
BOXES = [
    {"image_id": 2, "category_id": 1, "bbox": [10, 20, 30, 19], "score": 0.9},
    {"image_id": 3, "category_id": 2, "bbox": [1, 1, 30, 19.5], "score": 0.25},
]
MASKS = [
    {"image_id": 2, "category_id": 1, "segmentation": rle(10, 20, 30, 18), "score": 0.9},
    {"image_id": 3, "category_id": 2, "segmentation": rle(1, 1, 9, 9), "score": 0.25},
]


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = write_voc(tmp_path / "voc", {"train": {"a": [DOG, CAT], "b": []}, "test": {"c": [DOG, CAT]}})
    (root / "found").mkdir()
    (root / "found" / "comp4_det_test_dog.txt").write_text("c 0.9 11 21 30 40\nc 0.3 1 2 3 4\n")
    return root


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    root = write_coco(tmp_path / "coco", {"train": instances([1], [], {1: "dog", 2: "cat"}), "val": TRUTH})
    for name, content in (("boxes", BOXES), ("masks", MASKS)):
        (root / f"{name}.json").write_text(json.dumps(content))
    return root


def replacing(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """Return a reader of another content of a file."""

    def written(content: bytes) -> object:
        path.write_bytes(content)
        return read()

    return written


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", ["Annotations/a.xml", "ImageSets/Main/test.txt", "found/comp4_det_test_dog.txt"])
def test_damaged_files_of_voc(voc: Path, name: str, count: int) -> None:
    """An annotation, an image set and a detection file are loaded and scored, or a DataError."""

    def read() -> None:
        if not name.startswith("found"):
            load_detection_data(f"voc:{voc}")
        score_detections(voc, voc / "found", "voc")

    nested = b"<annotation>" * 100_000 + b"</annotation>" * 100_000
    others = [nested, annotation([("dog", -1e308, 1e308, 1e308, 1e308)]).encode(), b"../../a\n", b"x" * 5_000, b"\0"]
    fuzz(replacing(voc / name, read), (voc / name).read_bytes(), count, documented=DataError, text=True, others=others)


VALUES = (None, True, -1, 0, 1.5, 2**63, 1e308, float("nan"), "", "1", "\ud800\n", [], {}, [1, 2, 3, 4], [[1, 2]])


def with_each_value(content: Any) -> Iterator[bytes]:
    """Yield a JSON file with each field of the first entry of each of its lists replaced by each of the values."""
    if isinstance(content, list):
        fields = [(content[0], key) for key in content[0]]
    else:
        fields = [(content, key) for key in content] + [(part[0], key) for part in content.values() for key in part[0]]
    for holder, key in fields:
        before = holder[key]
        for value in VALUES:
            holder[key] = value
            yield json.dumps(content).encode()
        holder[key] = before


HOSTILE = [b"[" * 100_000, b'{"a":' * 100_000, b'{"images": [{"id": ' + b"1" * 5_000 + b"}]}", b"\xff\xfe{\0}\0"]


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_instances_of_coco(coco: Path, count: int) -> None:
    """An instances JSON is loaded, and scored by boxes and by masks, or a DataError."""
    path = coco / "annotations" / "instances_val.json"

    def read() -> None:
        load_detection_data(f"coco:{coco}")
        score_files(path, coco / "boxes.json", "bbox")
        score_files(path, coco / "masks.json", "segm")

    others = [*HOSTILE, *with_each_value(json.loads(path.read_bytes()))]
    fuzz(replacing(path, read), path.read_bytes(), count, documented=DataError, text=True, others=others)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", ["boxes", "masks"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_damaged_results_of_coco(coco: Path, name: str, iou_type: str, count: int) -> None:
    """A result JSON of boxes or masks is scored by either, or a DataError."""
    path = coco / f"{name}.json"

    def read() -> None:
        score_files(coco / "annotations" / "instances_val.json", path, iou_type)

    others = [*HOSTILE, *with_each_value(json.loads(path.read_bytes()))]
    fuzz(replacing(path, read), path.read_bytes(), count, documented=DataError, text=True, others=others)


SQUARE = polygon(10, 10, 20, 20)


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [80, 100], "counts": [8_001]},
        {"size": [80, 100], "counts": [-1, 8_001]},
        {"size": [80, 100], "counts": [2**32 + 8_000]},
        {"size": [80, 100], "counts": [True, 7_999]},
        {"size": [80, 100], "counts": []},
        {"size": [80, 100], "counts": ""},
        {"size": [80, 100], "counts": "P" * 100_000},
        {"size": [80, 100], "counts": rle(1, 1, 9, 9)["counts"][:-1]},
        {"size": [80, 100], "counts": rle(1, 1, 9, 9)["counts"] + "1"},
        {"size": [80, 100], "counts": "\ud800é"},
        {"size": [0, 0], "counts": []},
        {"size": [100, 80], "counts": [8_000]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": 8_000, "counts": [8_000]},
        {},
        [],
        [[]],
        [[1, 2]],
        [[1, 2, 3, 4, 5]],
        [[10, 10, 20, 20]],
        [*SQUARE, [0, 0, 1, "x"]],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, 100, 0] * 50_000],
        [[10, 10, float("nan"), 10, 5, 5]],
        "mask",
        None,
    ],
)
def test_masks_that_pycocotools_cannot_take_are_refused(mask: Any) -> None:
    """Its C code would read or write outside its memory, divide by zero, or take gigabytes."""
    with pytest.raises(DataError, match="it"):
        MaskChecks({1: SIZE}, 0).verified("it", 1, mask)


def test_masks_of_any_content_are_accepted() -> None:
    """Run lengths as pycocotools compresses them, of noise and of stripes, and the same as a list of counts."""
    from pycocotools import mask

    generator = np.random.default_rng(0)
    masks = MaskChecks({1: SIZE, 2: None}, 0)
    for share in (0, 0.001, 0.01, 0.5, 0.99, 1):
        pixels = np.asfortranarray(generator.random((80, 100)) < share, np.uint8)
        made = mask.encode(pixels)
        flat = pixels.ravel(order="F")
        ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
        counts = [0] * int(flat[0]) + np.diff(ends).tolist()
        for counted in (made["counts"].decode(), counts):
            for image in (1, 2):  # one whose size is not written
                masks.verified("it", image, {"size": [80, 100], "counts": counted})
    masks.verified("it", 1, [*SQUARE, polygon(-5, -5, 200, 10)[0]])


def test_outlines_are_limited_by_the_size_of_the_file() -> None:
    """A file of a few kilobytes cannot keep pycocotools busy for minutes; the message gives the total of all masks."""
    masks = MaskChecks({1: SIZE}, 10_000)
    zigzag = [[0, 0, 100, 80] * 5_000]
    with pytest.raises(DataError, match=r"it: .*50,\d{3},\d{3} pixels.*at most 50,000,000"):
        for _ in range(1_000):
            masks.verified("it", 1, zigzag)


def test_outlines_grow_with_the_images() -> None:
    """Thousands of large scans with one mask of four corners each are no attack, however few bytes name them."""
    masks = MaskChecks(dict.fromkeys(range(4_000), (4_000, 3_000)), 4_000 * 250)
    for number in range(4_000):
        masks.verified("it", number, [[60, 70, 3_900, 79, 3_895, 2_900, 64, 2_893]])
