"""COCO's twelve numbers are those of pycocotools called directly: boxes and masks, crowds, empty results."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_boxes import instances, random_boxes

from resnets.detection import coco_score as coco
from resnets.detection import result_files
from resnets.detection.annotations import AnnotatedImage, Detections
from resnets.errors import DataError

pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")

CATEGORIES = {1: "dog", 3: "cat", 90: "emu"}


def official(truth: Path, found: Path, iou_type: str) -> list[float]:
    """Return the numbers of pycocotools, called as its own example does."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(truth))
        run = COCOeval(ground_truth, ground_truth.loadRes(str(found)), iou_type)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(number) for number in run.stats]


def random_case(folder: Path, seed: int) -> tuple[Path, Path]:
    """Write synthetic objects, some of them crowds, in masks and boxes, and detections near them."""
    generator = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(1, 9):
        for x1, y1, x2, y2 in random_boxes(generator, 6, 160).tolist():
            width, height = x2 - x1 + 1.0, y2 - y1 + 1.0
            box = [float(x1), float(y1), width, height]
            crowd = bool(generator.random() < 0.15)
            polygon = [[x1, y1, x1 + width, y1, x1 + width, y1 + height, x1, y1 + height * 0.8]]
            annotations.append(
                {
                    "image_id": image,
                    "category_id": int(generator.choice(list(CATEGORIES))),
                    "bbox": box,
                    "iscrowd": int(crowd),
                    "segmentation": rle(box) if crowd else polygon,
                }
            )
            for _ in range(3):
                moved = (np.array(box) + generator.normal(0, 4, 4)).clip(1).round(2).tolist()
                entry = {"image_id": image, "category_id": annotations[-1]["category_id"], "bbox": moved}
                found.append({**entry, "score": float(generator.integers(0, 20) / 20)})
    folder.mkdir(exist_ok=True)
    truth = folder / "instances.json"
    truth.write_text(json.dumps(instances(range(1, 11), annotations, CATEGORIES, (200, 200))))
    (folder / "found.json").write_text(json.dumps(found))
    masks = [{**entry, "segmentation": encoded(entry.pop("bbox"))} for entry in [dict(entry) for entry in found]]
    (folder / "masks.json").write_text(json.dumps(masks))
    return truth, folder


def mask(box: list[float]) -> np.ndarray[Any, Any]:
    x, y, width, height = (round(number) for number in box)
    pixels = np.zeros((200, 200), np.uint8, order="F")
    pixels[y : y + height, x : x + width] = 1
    return pixels


def rle(box: list[float]) -> dict[str, Any]:
    """A crowd's mask as COCO's files have it: uncompressed counts."""
    flat = mask(box).ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, len(flat)]).tolist()
    return {"size": [200, 200], "counts": [0, *counts] if flat[0] else counts}


def encoded(box: list[float]) -> dict[str, Any]:
    from pycocotools import mask as masks

    made = masks.encode(mask(box))
    return {"size": made["size"], "counts": made["counts"].decode()}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_twelve_numbers_are_pycocotools_own(tmp_path: Path, seed: int) -> None:
    """For boxes, masks, and either scored as the other, on random objects and crowds."""
    truth, folder = random_case(tmp_path / "case", seed)
    for iou_type, name in (("bbox", "found"), ("segm", "masks"), ("bbox", "masks"), ("segm", "found")):
        scored = coco.score_files(truth, folder / f"{name}.json", iou_type)
        assert list(scored.numbers) == [
            "AP",
            "AP50",
            "AP75",
            "APs",
            "APm",
            "APl",
            "AR1",
            "AR10",
            "AR100",
            "ARs",
            "ARm",
            "ARl",
        ]
        assert list(scored.numbers.values()) == official(truth, folder / f"{name}.json", iou_type)
        assert 0.05 < scored.numbers["AP"] < 0.95
        assert bool(scored.notes) == (iou_type == "segm" and name == "found")  # boxes taken as masks
    assert np.mean(list(scored.ap.values())) == pytest.approx(scored.numbers["AP"])


def one(tmp_path: Path, found: Any, **changed: Any) -> coco.CocoScore:
    """Score detections of one dog in image 1; image 2 is empty."""
    annotation = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], **changed}
    (tmp_path / "truth.json").write_text(json.dumps(instances([1, 2], [annotation], {1: "dog", 2: "cat"})))
    (tmp_path / "found.json").write_text(found if isinstance(found, str) else json.dumps(found))
    return coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")


def dog(**changed: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9, **changed}


def test_a_box_found_exactly_is_1_and_sizes_without_objects_are_minus_1(tmp_path: Path) -> None:
    """AP is 1 for what was found, None for a class and -1 for a size without objects."""
    scored = one(tmp_path, [dog()])
    assert scored.numbers["AP"] == pytest.approx(1)
    assert scored.numbers["APs"] == pytest.approx(1)
    assert (scored.numbers["APm"], scored.numbers["ARl"]) == (-1, -1)
    assert scored.ap == {"dog": pytest.approx(1), "cat": None}
    assert (scored.images, scored.notes) == (2, ())


def test_an_empty_result_is_0(tmp_path: Path) -> None:
    """The official tool fails at the first of no detections."""
    scored = one(tmp_path, [])
    assert (scored.numbers["AP"], scored.numbers["AR100"], scored.numbers["APl"]) == (0, 0, -1)


def test_a_crowd_is_passed_over(tmp_path: Path) -> None:
    """With a crowd as its only object a class has nothing to find."""
    scored = one(tmp_path, [dog(), dog(image_id=2)], iscrowd=1, segmentation={"size": [80, 100], "counts": [8000]})
    assert scored.numbers["AP"] == -1


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("[", r"found.json"),
        ({"annotations": []}, r"found.json.*dict"),
        ([dog(), {"image_id": 1}], r"number 2 .*category_id"),
        ([dog(image_id=3)], r"number 1 .*image 3.*truth.json"),
        ([dog(image_id=[1])], r"number 1 .*image \[1\]"),
        ([dog(score=float("nan"))], r"number 1 .*nan"),
        ([dog(score="0.9")], r"number 1 .*'0.9'"),
        ([dog(), dog(bbox=[1, 2, 3])], r"number 2: bbox \[1, 2, 3\]"),
        ([dog(bbox=[1, 2, float("inf"), 4])], r"bbox \[1, 2, inf, 4\]"),
        ([dog(bbox=None)], r"number 1 .*bbox .*segmentation"),
        (
            [dog(bbox=None, segmentation={"size": [80, 100], "counts": [8000, "x"]})],
            r"found.json: detection number 1.*100 x 80",
        ),
    ],
)
def test_results_that_are_none_are_named(tmp_path: Path, found: Any, message: str) -> None:
    """The error names the detection by its number, and the wrong value."""
    with pytest.raises(DataError, match=message):
        one(tmp_path, found)


def test_detections_of_unknown_categories_are_noted(tmp_path: Path) -> None:
    """The official tool passes over them in silence; they are often the sign of labels taken for category ids."""
    scored = one(tmp_path, [dog(), dog(category_id=12), dog(category_id=0)])
    assert scored.numbers["AP"] == pytest.approx(1)
    assert len(scored.notes) == 1 and "2 detections" in scored.notes[0]


def test_what_own_annotations_lack_is_filled_in_and_noted(tmp_path: Path) -> None:
    """The official tool would stop at a missing iscrowd or area."""
    content = instances([1], [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}] * 2, {1: "dog"})
    for key in ("id", "iscrowd", "area"):
        del content["annotations"][0][key]
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps([dog()]))
    scored = coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")
    assert scored.numbers["AR100"] == pytest.approx(0.5)
    assert [key in note for key, note in zip(("'id'", "'iscrowd'", "'area'"), scored.notes, strict=True)] == [True] * 3
    with pytest.raises(DataError, match="image 1 .*segmentation"):
        coco.score_files(tmp_path / "truth.json", tmp_path / "found.json", "segm")


@pytest.mark.parametrize(
    ("images", "categories", "message"),
    [
        ([1, "a"], [1], "image ids"),
        ([1, 2**63], [1], "image number 2"),
        ([1], [1, 1], "category id 1"),
    ],
)
def test_ids_that_the_official_tool_confuses_are_refused(
    tmp_path: Path, images: list[Any], categories: list[int], message: str
) -> None:
    """NumPy makes texts of numbers among texts, and floats of numbers of more than 64 bits: nothing would match."""
    content = {"images": [{"id": i} for i in images], "categories": [{"id": c} for c in categories], "annotations": []}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text("[]")
    with pytest.raises(DataError, match=message):
        coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")


def test_categories_and_images_without_objects_cost_nothing(tmp_path: Path) -> None:
    """A file of a megabyte with 20,000 of each is scored; where each pair could count, it is refused at once."""
    box = {"bbox": [1, 1, 9, 9], "iscrowd": 0, "area": 81}
    numbers = range(1, 20_001)
    content = {
        "images": [{"id": number} for number in numbers],
        "categories": [{"id": number} for number in numbers],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **box}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps([dog(bbox=box["bbox"])]))
    scored = coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")
    assert scored.numbers["AP"] == pytest.approx(1)
    assert len(scored.ap) == 20_000
    content["annotations"] = [{"id": n, "image_id": n, "category_id": n, **box} for n in numbers]
    (tmp_path / "truth.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="400,000,000 pairs"):
        coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")


def test_a_ground_truth_needs_no_names(tmp_path: Path) -> None:
    """Nor is it of images with numbers only; but COCO's test images have no ground truth at all."""
    box = {"category_id": 1, "bbox": [10, 10, 20, 20]}
    entries = [{"id": number, "image_id": "a", "iscrowd": 0, "area": 400, **box} for number in (0, 1)]
    content = {"images": [{"id": "a"}, {"id": "b"}], "categories": [{"id": 1}], "annotations": entries}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps([dog(image_id="a")]))
    scored = coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")
    assert scored.ap.keys() == {"1"}
    assert "id 0" in scored.notes[0]
    del content["annotations"]
    (tmp_path / "truth.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="truth.json.*annotations"):
        coco.score_files(tmp_path / "truth.json", tmp_path / "found.json")


def test_detections_at_hand_score_as_their_file(tmp_path: Path) -> None:
    """Detections in memory have the score of their file, of images with numbers (COCO) or names (VOC)."""
    truth, folder = random_case(tmp_path / "case", 5)
    content, found = json.loads(truth.read_text()), json.loads((folder / "found.json").read_text())
    classes = list(CATEGORIES)
    for name in (int, str):
        images, detections = [], []
        for image in content["images"]:
            mine = [entry for entry in content["annotations"] if entry["image_id"] == image["id"]]
            theirs = [entry for entry in found if entry["image_id"] == image["id"]]
            boxes = np.array([entry["bbox"] for entry in mine], np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            moved = np.array([entry["bbox"] for entry in theirs], np.float64).reshape(-1, 4)
            moved[:, 2:] += moved[:, :2]
            crowd = np.array([entry["iscrowd"] for entry in mine], bool)
            images.append(
                AnnotatedImage(
                    path=Path(image["file_name"]),
                    id=name(image["id"]),
                    size=(200, 200),
                    boxes=boxes,
                    labels=np.array([classes.index(entry["category_id"]) for entry in mine], np.int64),
                    difficult=~crowd,  # of no account to COCO
                    crowd=crowd,
                    areas=np.array([entry["area"] for entry in mine], np.float32),
                )
            )
            detections.append(
                Detections(
                    name(image["id"]),
                    moved,
                    np.array([entry["score"] for entry in theirs]),
                    np.array([classes.index(entry["category_id"]) for entry in theirs], np.int64),
                )
            )
        at_hand = coco.score(images, detections, list(CATEGORIES.values()))
        of_file = coco.score_files(truth, folder / "found.json")
        assert at_hand.numbers == pytest.approx(of_file.numbers, abs=1e-9)
        assert at_hand.ap.keys() == of_file.ap.keys()
    result_files.write_coco(
        tmp_path / "again.json", [Detections(int(d.id), d.boxes, d.scores, d.labels) for d in detections], classes
    )
    assert coco.score_files(truth, tmp_path / "again.json").numbers == pytest.approx(of_file.numbers, abs=1e-9)
    with pytest.raises(DataError, match="99"):
        coco.score(images, [Detections(99, moved[:0], np.zeros(0), np.zeros(0, np.int64))], ["dog"])


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools' own
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_real_annotations_with_crowds(real_data: Path, tmp_path: Path, iou_type: str) -> None:
    """Each real object is detected twice, once moved, its mask once shrunk; the numbers are pycocotools' own."""
    from pycocotools import mask as masks
    from pycocotools.coco import COCO

    truth = real_data / "coco" / "annotations" / "instances_train2017.json"
    generator = np.random.default_rng(0)
    with contextlib.redirect_stdout(io.StringIO()):
        given = COCO(str(truth))
    found = []
    for entry in given.dataset["annotations"]:
        for shift in (0, 1):
            detected = {key: entry[key] for key in ("image_id", "category_id")} | {"score": float(generator.random())}
            if iou_type == "bbox":
                detected["bbox"] = (np.array(entry["bbox"]) * (1 + shift * generator.normal(0, 0.1, 4))).tolist()
            else:
                pixels = given.annToMask(entry)
                pixels[:, : pixels.shape[1] // 4 * shift] = 0
                made = masks.encode(np.asfortranarray(pixels))
                detected["segmentation"] = {"size": made["size"], "counts": made["counts"].decode()}
            found.append(detected)
    (tmp_path / "found.json").write_text(json.dumps(found))
    scored = coco.score_files(truth, tmp_path / "found.json", iou_type)
    assert list(scored.numbers.values()) == official(truth, tmp_path / "found.json", iou_type)
    assert 0.3 < scored.numbers["AP"] < 1
