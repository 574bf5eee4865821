"""Detection results in the report: which numbers stand in which row, and what passes for nothing that it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up
import pytest

from resnets.detection import recipes
from resnets.networks import registry
from resnets.paper import tables
from resnets.paper.published.detection import VOC_CLASSES, VOC_NAMES
from resnets.records import base
from resnets.records.evaluations import DetectionTested, ReproducedRun
from resnets.records.runs import (
    DataRecord,
    DetectionScores,
    DetectorResult,
    MaskScores,
    NetworkRecord,
    RunRecord,
    StartRecord,
)
from resnets.report import markdown, page
from resnets.report.collect import collect
from resnets.report.compare_tables import Cell, ComparedRow, compare_table
from resnets.report.measured import NotAResult, measured_detector
from resnets.report.runs import MeasuredDetector, Results
from resnets.report.view import View

SIZES = {"voc07+12": (16_551, 4_952, 20), "voc07++12": (21_503, 10_991, 20), "coco": (82_783, 40_504, 80)}
SIZES["imagenet-det"] = (150_000, 9_917, 200)
IMAGENETS = StartRecord(file="resnet101.safetensors", sha256="0" * 64, classes=1000)
COCOS = IMAGENETS.with_changes(of="detector", classes=80)


def voc(mean: float, protocol: str = "voc07") -> DetectionScores:
    return DetectionScores(protocol=protocol, mean_ap=mean, ap={VOC_NAMES[name]: mean for name in VOC_CLASSES})


def coco(ap: float, ap50: float) -> DetectionScores:
    return DetectionScores(protocol="coco", mean_ap=ap, numbers={"AP": ap, "AP50": ap50}, ap={"person": ap})


def result(
    data: str = "voc07+12",
    recipe: str = "voc",
    scores: DetectionScores = voc(0.764),  # noqa: B008 (frozen)
    *,
    start: StartRecord | None = IMAGENETS,
    **data_changes: Any,
) -> DetectorResult:
    """Return a detector's result, of a full training on the declared data, whatever its folder was called."""
    train, test, classes = SIZES[data]
    images = DataRecord(
        name="VOC 07trainval+12trainval",
        digest=None,
        classes=tuple(map(str, range(classes))),
        training_images=train,
        test_images=test,
    )
    run = RunRecord(
        network=NetworkRecord(
            name="resnet101", spec=registry.declare("resnet101"), parameters=44_549_160, detector="faster_rcnn"
        ),
        recipe=recipes.DETECTION_RECIPES.find(recipe),
        data=images.with_changes(**data_changes),
        seed=0,
        precision="bf16",
        start=start,
        workers=2,
        provenance=(made_up.PROVENANCE,),
    )
    return DetectorResult(test_images=test, scores=scores, seconds=100_000.0, images_per_second=1.5, curve=(), run=run)


def shown(record: DetectorResult | ReproducedRun, file: str = "results/one.json") -> MeasuredDetector:
    """Return the run that a file of this record describes."""
    if isinstance(record, DetectorResult):
        return measured_detector(file, record)
    assert isinstance(record.result, DetectorResult)
    return measured_detector(file, record.result, record)


def reproduced(of: DetectorResult, *tests: DetectionTested, data: str = "voc07+12", **more: Any) -> ReproducedRun:
    """Return what `reproduce` makes of a run that is declared to be of this data."""
    return made_up.reproduced(of, declared={"data": data}, tests=tests, **({"data": data} | more))


def row(table: str, label: str, *records: DetectorResult | ReproducedRun) -> ComparedRow:
    found = tuple(shown(record, f"results/{i}.json") for i, record in enumerate(records))
    compared = compare_table(tables.TABLES[table], Results(detectors=found))
    return next(one for one in compared.rows if one.row.label == label)


def cell(compared: ComparedRow, column: str) -> Cell:
    return next(cell for cell in compared.cells if cell.column.name == column)


def test_a_run_of_detect_train_stands_in_its_rows() -> None:
    """Its data is known by its images; the mean and each class are in percent, next to the paper's."""
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
    plain = result("coco", "coco", coco(0.272, 0.484))
    refined = DetectionTested(protocol="coco", box_refinement=True, scores=coco(0.299, 0.499))
    both = reproduced(plain, refined, data="coco")
    assert cell(row("table9", "baseline, ResNet-101", both), "mAP@.5").measured == pytest.approx(48.4)
    assert cell(row("table9", "+ box refinement", both), "mAP@.5").measured == pytest.approx(49.9)
    assert cell(row("table9", "+ box refinement", both), "mAP@[.5, .95]").measured == pytest.approx(29.9)
    assert "trained, and not tested so" in row("table9", "+ box refinement", plain).verdict.why
    by_area = result(scores=voc(0.8, "voc"))
    assert not cell(row("table7", "ResNet-101, 07+12", by_area), "mAP").is_measured


def test_table_12_has_val2_alone() -> None:
    """A run on val1 and some of the training images is of its row, one on val1 is not; the test set is a server's."""
    scores = DetectionScores(protocol="ilsvrc", mean_ap=0.605, ap={"dog": 0.605})
    refined = DetectionTested(protocol="ilsvrc", box_refinement=True, multi_scale=True, scores=scores)
    label = "our single model (ILSVRC'15)"
    compared = row("table12", label, reproduced(result("imagenet-det", "det"), refined, data="imagenet-det"))
    assert cell(compared, "val2").measured == pytest.approx(60.5)
    assert not cell(compared, "test").is_measured
    assert not compared.runs[0].departures
    fewer = result("imagenet-det", "det", training_images=9_887)
    assert row("table12", label, fewer).verdict.why == f"`resnets reproduce table12 --only {compared.row.slug}` runs it"


def test_what_only_a_server_knows_is_not_measured() -> None:
    """A detector whose test set has no annotations is not a run of its row."""
    compared = row("table7", "ResNet-101, 07++12", result("voc07++12", scores=DetectionScores(mean_ap=None)))
    assert compared.verdict.status == "not run"
    assert "a server scores" in compared.verdict.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"start": IMAGENETS.with_changes(classes=10)}, "a classifier of 10 classes instead of ImageNet's 1,000"),
        ({"start": IMAGENETS.with_changes(classes=None)}, "weights of unknown classes instead of"),
        ({"start": None}, "random weights instead of an ImageNet classifier's"),
        ({"name": "cells", "classes": ("a",), "training_images": 9, "test_images": 9}, "cells instead of voc"),
    ],
)
def test_another_start_or_other_data_than_declared_is_reduced(changes: dict[str, Any], why: str) -> None:
    """The reason names what the run had instead of what its row declares."""
    run = made_up.reproduced(result(**changes), declared={"data": "voc07+12"})
    compared = row("table7", "ResNet-101, 07+12", run)
    assert compared.verdict.status == "reduced"
    assert why in compared.verdict.why


def test_a_name_alone_makes_no_data_set() -> None:
    """A folder that is called coco is not COCO."""
    small = result("coco", "coco", coco(0.5, 0.7), name="coco", training_images=60)
    assert shown(small).data == "what is called coco"
    assert row("table8", "ResNet-101", small).verdict.status == "not run"


def test_a_detector_of_coco_fine_tuned_is_the_row_with_coco() -> None:
    """And never the baseline's, which begins with a classifier."""
    content = result(recipe="voc-context", start=COCOS)
    assert shown(content).data == "coco+voc07+12"
    test = DetectionTested(protocol="voc07", box_refinement=True, multi_scale=True, scores=voc(0.856))
    compared = row("table10", "baseline+++, ResNet-101, COCO+07+12", reproduced(content, test, data="coco+voc07+12"))
    assert cell(compared, "mAP").measured == pytest.approx(85.6)
    of_three = result(recipe="voc-context", start=COCOS.with_changes(classes=3))
    assert shown(of_three).data == "voc07+12 after a detector of 3 classes"
    assert row("table7", "ResNet-101, 07+12", result(start=COCOS)).verdict.status == "not run"


def test_two_files_of_one_run_are_one_and_all_are_shown(tmp_path: Path) -> None:
    """A run's own result and what `reproduce` made of it; next to a file that is no result."""
    content = result()
    masks = MaskScores(numbers={"AP": 0.3, "AP50": 0.5}, ap={})
    refined = DetectionTested(protocol="voc07", box_refinement=True, scores=voc(0.78).with_changes(masks=masks))
    broken = base.as_json(content)
    del broken["run"]["seed"]
    files = {"one": content, "two": reproduced(content, refined), "broken": broken}
    found = collect([made_up.write(tmp_path / "results", **files)])
    (one,) = found.detectors
    assert len(one.tests) == 2
    assert "`seed` - at `$.run`" in found.problems[0]
    view = View.of(found)
    assert "| ResNet-101, 07+12 | mAP | 76.4 | 76.40 | 0.00 | 1 |" in markdown.render(view)
    text = page.render(view)
    assert "1 detectors" in text
    assert "voc07 76.40; voc07 box-refinement 78.00" in text
    assert "of masks at an IoU of .5 50.00 %, at .5 to .95 30.00 %" in text
    with pytest.raises(NotAResult, match="protocol 'kitti'"):
        shown(result(scores=voc(0.5, "kitti")))
