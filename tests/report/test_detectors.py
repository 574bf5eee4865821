"""Detection results in the report: which numbers stand in which row, and what passes for nothing that it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import made_up
import msgspec
import pytest

from resnets.detection import recipes
from resnets.paper import tables
from resnets.paper.published.detection import VOC_CLASSES, VOC_NAMES
from resnets.report import detectors, markdown, page
from resnets.report.collect import collect
from resnets.report.compare_tables import Cell, ComparedRow, compare_table
from resnets.report.measured import NotAResult
from resnets.report.runs import Results
from resnets.report.view import View

SIZES = {"voc07+12": (16_551, 4_952, 20), "voc07++12": (21_503, 10_991, 20), "coco": (82_783, 40_504, 80)}
IMAGENETS = {"kind": "classifier", "classes": 1000, "file": "resnet101.safetensors", "sha256": "0" * 64}


def result(
    network: str = "resnet101", data: str = "voc07+12", recipe: str = "voc", *, scores: Any = None, **more: Any
) -> dict[str, Any]:
    """Return a detector's result.json, of a full training on the declared data, whatever its folder was called."""
    train, test, classes = SIZES[data]
    content = {
        "network": network,
        "data": "VOC 07trainval+12trainval",
        "recipe": recipe,
        "iterations": recipes.DETECTION_RECIPES.find(recipe).iterations,
        "seed": 0,
        "test_images": test,
        "scores": scores or voc(0.764),
        "seconds": 100_000.0,
        "images_per_second": 1.5,
        "curve": [],
        "run": {
            "network": {"kind": "resnet", "name": network, "type": "imagenet", "shortcut": "B"},
            "recipe": msgspec.to_builtins(recipes.DETECTION_RECIPES.find(recipe)),
            "data": {
                "name": "VOC 07trainval+12trainval",
                "classes": list(map(str, range(classes))),
                "training_images": train,
                "test_images": test,
            },
            "seed": 0,
            "weights": IMAGENETS,
            "precision": "bf16",
            "provenance": [made_up.PROVENANCE],
        },
    }
    return json.loads(json.dumps(content | more))


def voc(mean: float, protocol: str = "voc07") -> dict[str, Any]:
    return {"protocol": protocol, "mean_ap": mean, "ap": {VOC_NAMES[name]: mean for name in VOC_CLASSES}}


def coco(ap: float, ap50: float) -> dict[str, Any]:
    return {"protocol": "coco", "mean_ap": ap, "numbers": {"AP": ap, "AP50": ap50}, "ap": {"person": ap}}


def row(table: str, label: str, *contents: dict[str, Any]) -> ComparedRow:
    found = tuple(detectors.parse(f"results/{i}.json", content) for i, content in enumerate(contents))
    compared = compare_table(tables.find(table), Results(detectors=found))
    return next(one for one in compared.rows if one.row.label == label)


def cell(compared: ComparedRow, column: str) -> Cell:
    return next(cell for cell in compared.cells if cell.column.name == column)


def test_a_run_of_detect_train_stands_in_its_rows() -> None:
    """Its data is known by its images; the mean and each class are in percent, beside the paper's."""
    for table, label in (("table7", "ResNet-101, 07+12"), ("table10", "baseline, ResNet-101, 07+12")):
        compared = row(table, label, result())
        assert cell(compared, "mAP").measured == pytest.approx(76.4)
        assert cell(compared, "mAP").difference == pytest.approx(0)
        assert compared.verdict.status == "not judged"  # one run, and the paper gives no deviation
        assert not compared.runs[0].departures
    assert cell(compared, "plant").measured == pytest.approx(76.4)
    assert row("table7", "ResNet-101, 07++12", result()).verdict.status == "not run"
    assert row("table7", "VGG-16, 07+12", result()).verdict.status == "not run"


def test_each_row_has_the_test_that_it_asks_for() -> None:
    """Box refinement's number is in its own row; one by another protocol is in none."""
    plain = result(data="coco", recipe="coco", scores=coco(0.272, 0.484))
    refined = {"protocol": "coco", "box_refinement": True, "multi_scale": False, "scores": coco(0.299, 0.499)}
    both = plain | {"tests": [refined]}
    assert cell(row("table9", "baseline, ResNet-101", both), "mAP@.5").measured == pytest.approx(48.4)
    assert cell(row("table9", "+ box refinement", both), "mAP@.5").measured == pytest.approx(49.9)
    assert cell(row("table9", "+ box refinement", both), "mAP@[.5, .95]").measured == pytest.approx(29.9)
    assert "trained, and not tested so" in row("table9", "+ box refinement", plain).verdict.why
    by_area = result(scores=voc(0.8, "voc"))
    assert not cell(row("table7", "ResNet-101, 07+12", by_area), "mAP").is_measured


def test_what_only_a_server_knows_is_not_measured() -> None:
    compared = row("table7", "ResNet-101, 07++12", result(data="voc07++12", scores={"mean_ap": None}))
    assert compared.verdict.status == "not run"
    assert "a server scores" in compared.verdict.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"weights": IMAGENETS | {"classes": 10}}, "a classifier of 10 classes instead of ImageNet's 1,000"),
        ({"weights": {"file": "old", "sha256": "0"}}, "weights of unknown classes instead of"),
        ({"weights": None}, "random weights instead of an ImageNet classifier's"),
        ({"data": {"name": "cells", "classes": ["a"], "training_images": 9, "test_images": 9}}, "cells instead of voc"),
    ],
)
def test_what_is_other_than_declared_is_reduced(change: dict[str, Any], why: str) -> None:
    content = result()
    content["run"] |= change
    if "data" in change:  # as `reproduce` says it
        content |= {"data": "cells", "declared": {"network": "resnet101", "recipe": "voc", "data": "voc07+12"}}
    compared = row("table7", "ResNet-101, 07+12", content)
    assert compared.verdict.status == "reduced"
    assert why in compared.verdict.why


def test_a_name_alone_makes_no_data_set() -> None:
    """A folder that is called coco is not COCO."""
    content = result(data="coco", recipe="coco", scores=coco(0.5, 0.7))
    content["run"]["data"] |= {"name": "coco", "training_images": 60}
    assert detectors.parse("one.json", content).data == "what is called coco"
    assert row("table8", "ResNet-101", content).verdict.status == "not run"


def test_a_detector_of_coco_fine_tuned_is_the_row_with_coco() -> None:
    """And never the baseline's, which begins with a classifier."""
    content = result(recipe="voc-context")
    content["run"]["weights"] = IMAGENETS | {"kind": "detector", "classes": 80}
    test = {"protocol": "voc07", "box_refinement": True, "multi_scale": True, "scores": voc(0.856)}
    compared = row("table10", "baseline+++, ResNet-101, COCO+07+12", content | {"tests": [test]})
    assert cell(compared, "mAP").measured == pytest.approx(85.6)
    content["run"]["weights"]["classes"] = 3
    assert detectors.parse("one.json", content).data == "voc07+12 after a detector of 3 classes"
    plain = result()
    plain["run"]["weights"] = IMAGENETS | {"kind": "detector", "classes": 80}
    assert row("table7", "ResNet-101, 07+12", plain).verdict.status == "not run"


def test_two_files_of_one_run_are_one_and_all_are_shown(tmp_path: Path) -> None:
    """A run's own result and what `reproduce` made of it; beside a file that is no result."""
    content = result()
    declared = content | {"declared": {"network": "resnet101", "recipe": "voc", "data": "voc07+12"}, "data": "voc07+12"}
    refined = {"protocol": "voc07", "box_refinement": True, "multi_scale": False, "scores": voc(0.78)}
    broken = {key: value for key, value in content.items() if key != "seed"}
    files = {"one": content, "two": declared | {"tests": [refined]}, "broken": broken}
    found = collect([made_up.write(tmp_path / "results", **files)])
    (one,) = found.detectors
    assert len(one.tests) == 2
    assert "it has no 'seed'" in found.problems[0]
    view = View.of(found)
    assert "| ResNet-101, 07+12 | mAP | 76.4 | 76.40 | 0.00 | 1 |" in markdown.render(view)
    text = page.render(view)
    assert "1 detectors" in text
    assert "voc07 76.40; voc07 box-refinement 78.00" in text
    with pytest.raises(NotAResult, match="protocol 'kitti'"):
        detectors.parse("one.json", content | {"scores": voc(0.5, "kitti")})
