"""Rows of Tables 7 to 11 from their plan to the report: two iterations of narrow networks on synthetic rectangles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_boxes import write_rectangles

import resnets
from resnets.detection.annotations import DetectionSplits
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.paper import detection_data, detection_recipes, tables
from resnets.paper.declarations import DetectionTest
from resnets.records.base import read
from resnets.records.evaluations import ReproducedRun
from resnets.reproduction import detection_data_resolver, reproduce
from resnets.reproduction.data_resolver import MissingData
from resnets.reproduction.detection_data_resolver import DetectionDataResolver
from resnets.reproduction.tasks import Task, select
from resnets.specs import InputSpec, ResNetSpec, Setting
from resnets.weights import weights_file


@pytest.fixture(scope="module", autouse=True)
def small(one_thread: None) -> Iterator[None]:
    """Let ResNet-101 have ten narrow layers."""
    real = registry.declare

    def spec(name: str, **options: Any) -> Any:
        found = real(name, **options)
        return found.with_changes(blocks=(1, 1, 1, 1), depth=14) if name == "resnet101" else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "declare", spec)
        patch.setattr(ResNetSpec, "widths", property(lambda self: (16, 32, 64, 64)))
        patch.setattr(reproduce, "write_costs", lambda *_: None)  # which would be those of narrow networks
        yield


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in VOC's layout: four images of one aeroplane or bicycle each."""
    return write_rectangles(tmp_path_factory.mktemp("data") / "things", "bicycle", "aeroplane", step=0)


@pytest.fixture(scope="module")
def start(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's weights file, of ten classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("classifier") / "resnet101.safetensors"
    input_spec = InputSpec(size=224, resize=256, mean=(0.5, 0.5, 0.5))
    weights_file.save(
        path, registry.create("resnet101", num_classes=10), classes=tuple("abcdefghij"), input_spec=input_spec
    )
    return path


@pytest.fixture(scope="module")
def options(voc: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("reproduction")
    given = {"data": f"voc:{voc}", "weights": f"resnet101={start}", "out": out}
    return {"only": "resnet101", "scale": "smoke", "device": "cpu", "workers": 0} | given


@pytest.fixture(scope="module")
def made(options: dict[str, Any]) -> resnets.Reproduction:
    """ResNet-101's rows of Table 9: two with context, two without, two of sets that a server scores."""
    pytest.importorskip("pycocotools")
    return resnets.reproduce("table9", **options)


def test_rows_that_differ_in_testing_alone_share_a_training(made: resnets.Reproduction) -> None:
    """Five rows of three trainings, each with the tests that its rows ask for; nothing passes for the paper's."""
    assert len(made.made) == 3
    assert made.failed == ()
    plain = read(next(made.plan.results.glob("resnet101-coco-coco*.json")), ReproducedRun)
    assert plain is not None
    assert [(test.box_refinement, test.multi_scale) for test in plain.tests] == [(False, False), (True, False)]
    assert all(test.protocol == "coco" and len(test.scores.numbers or ()) == 12 for test in plain.tests)
    assert plain.declared == Setting(network="resnet101", shortcut="B", recipe="coco", data="coco")
    assert (plain.scale, plain.data) == ("smoke", "things")
    assert plain.result.run.recipe.iterations == detection_data_resolver.SMOKE_ITERATIONS
    for row in made.tables[0].rows:
        if row.row.network != "resnet101":
            continue
        assert row.verdict.status == "reduced"
        assert "things instead of coco" in row.verdict.why
        assert "a classifier of 10 classes instead of ImageNet's 1,000" in row.verdict.why
        assert all(cell.measured is not None for cell in row.cells)
    page = made.report.page
    assert page is not None and "a detector on things" in page.read_text()
    assert "| baseline, ResNet-101 | mAP@.5 |" in made.report.markdown


def test_what_is_done_is_not_made_again_and_other_weights_are_another_run(
    made: resnets.Reproduction, options: dict[str, Any], tmp_path: Path
) -> None:
    """The digest of the initial weights is part of a run's identity."""
    again = resnets.plan_reproduction("table9", **_planned(options))
    assert [run.state for run in again.runs] == ["done"] * 3
    other = tmp_path / "other.safetensors"
    weights_file.save(other, registry.create("resnet101", num_classes=10), classes=tuple("abcdefghij"))
    changed = _planned(options) | {"weights": f"resnet101={other}"}
    assert [run.state for run in resnets.plan_reproduction("table9", **changed).runs] == ["to do"] * 3


def test_a_detector_of_coco_is_fine_tuned(made: resnets.Reproduction, options: dict[str, Any]) -> None:
    """The row baseline+++ begins with the run that Table 9 has made; without it, it says what it lacks."""
    slug = tables.TABLES["table10"].rows[-1].slug
    found = resnets.reproduce("table10", **(options | {"only": slug}))
    record = read(found.plan.runs[0].file, ReproducedRun)
    assert record is not None and record.result.run.start is not None
    assert record.data == "things after a detector of 20 classes"
    assert record.result.run.start.of == "detector"
    assert record.tests[0].protocol == "voc07"
    (compared,) = found.tables[0].rows
    shown = {cell.column.name: cell.measured for cell in compared.cells}
    assert shown["mAP"] is not None and shown["aero"] is not None and shown["cat"] is None
    elsewhere = resnets.plan_reproduction("table10", **_planned(options) | {"only": slug, "out": Path("/nowhere")})
    assert "needs a detector of COCO" in elsewhere.left_out[0].why


def test_what_a_server_scores_is_trained_and_its_files_are_written(
    voc: Path, options: dict[str, Any], tmp_path: Path
) -> None:
    """Without annotations of the test set the run has detections in files, and no number."""
    data = dataclasses.replace(resnets.load_detection_data(f"voc:{voc}"), test_annotated=False)
    only = "baseline, ResNet-101, 07++12"
    found = resnets.reproduce("table11", **(options | {"data": data, "only": only, "out": tmp_path}))
    (row,) = found.tables[0].rows
    assert row.verdict.status == "not run"
    assert "a server scores" in row.verdict.why
    files = found.plan.runs[0].folder / "detections-voc"
    assert (files / "comp4_det_test_aeroplane.txt").exists()


def _planned(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "workers"}


def test_what_is_missing_is_said_in_a_line(voc: Path, tmp_path: Path) -> None:
    """A row without weights or data is left out with the option that names them; wrong weights are an error."""
    plan = resnets.plan_reproduction("table7", only="resnet101", data=f"voc:{voc}", out=tmp_path, device="cpu")
    (why,) = {one.why for one in plan.left_out}
    assert "needs an ImageNet classifier" in why and "--weights resnet101=FILE" in why
    assert plan.runs == ()
    plan = resnets.plan_reproduction("table7", only="resnet101", scale="smoke", out=tmp_path, device="cpu")
    assert "needs voc07+12: --data voc:PATH names its folder" in plan.left_out[0].why
    for wrong in ("resnet101", "resnet101=", "=file", f"resnet101={tmp_path / 'none'}"):
        with pytest.raises(UsageError, match="weights"):
            resnets.plan_reproduction("table7", weights=wrong, out=tmp_path, device="cpu")


def test_data_is_known_by_its_images(voc: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As many images and classes as the declared data has; a folder of the other declared data is not taken for it."""
    task = next(task for task in select(["table7"]).tasks if task.name == "resnet101 voc07+12")
    other = next(task for task in select(["table7"]).tasks if task.name == "resnet101 voc07++12")
    data = resnets.load_detection_data(f"voc:{voc}")
    known = dict(detection_data.DETECTION_DATA)
    known["voc07+12"] = dataclasses.replace(known["voc07+12"], train=range(2, 3), test=2, classes=len(data.classes))
    monkeypatch.setattr(detection_data, "DETECTION_DATA", known)

    def shelf(given: str | DetectionSplits) -> DetectionDataResolver:
        return DetectionDataResolver([given], [], "smoke", tmp_path)

    assert shelf(data).resolve(task).name == "voc07+12"
    fewer = dataclasses.replace(data, name="voc07+12", train=data.train[:1])
    assert shelf(fewer).resolve(task).name == "what is called voc07+12"
    assert shelf(f"voc:{voc}").resolve(task).name == "voc07+12"
    with pytest.raises(MissingData, match=r"needs voc07\+\+12: "):
        shelf(f"voc:{voc}").resolve(other)


def test_the_recipe_at_each_scale() -> None:
    """The recipe is the declared one, shorter at scale short, and with small images and anchors at smoke."""
    training = Setting(network="vgg16", shortcut=None, recipe="voc", data="voc07+12")
    assert detection_data_resolver.fit_recipe(training, "full") == detection_recipes.VOC
    assert detection_data_resolver.fit_recipe(training, "short") == detection_recipes.VOC.scaled(5_000)
    smoke = detection_data_resolver.fit_recipe(training, "smoke")
    assert (smoke.iterations, smoke.shorter_side, smoke.longest_side) == (2, 128, 213)
    assert smoke.anchor_sizes == (27, 55, 109)


def test_a_task_tells_its_tests() -> None:
    """A row of VOC 2012 is tested by its protocol alone."""
    task: Task = next(task for task in select(["table11"]).tasks if task.name == "vgg16 voc07++12")
    assert task.detections == (DetectionTest(protocol="voc"),)
