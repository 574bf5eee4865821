"""A detector on a split scores as its training did, with refinements, as an ensemble, and in a report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from small_detectors import CLASSES, TinyDetector

import resnets
from resnets.detection.annotations import DetectionSplits
from resnets.detection.evaluate import DetectionEvaluation, evaluate_detector
from resnets.errors import DataError, UsageError
from resnets.records.runs import DetectorResult
from resnets.report.collect import collect
from resnets.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("small_networks")


def evaluated(path: Any, data: DetectionSplits, **options: Any) -> DetectionEvaluation:
    return evaluate_detector(path, data, workers=0, device="cpu", **options)


def test_the_score_is_that_of_the_training(tiny_detector: TinyDetector) -> None:
    """Loaded from its file the detector has the scores that its run recorded."""
    recorded = RunFolder(tiny_detector.run).result(DetectorResult)
    assert recorded is not None
    assert evaluated(*tiny_detector).scores == recorded.scores


def test_refinements_and_ensembles_are_scored(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """Both run over a split, and its detections are written in VOC's files."""
    run, data = tiny_detector
    refined = evaluated([run, run], data, box_refinement=True, out=tmp_path)
    assert refined.refinements == ("box-refinement", "ensemble")
    assert refined.mean_ap is not None
    assert refined.mean_ap > 0.9
    files = {*(f"comp4_det_test_{name}.txt" for name in CLASSES), "evaluation.json"}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_a_class_that_no_file_is_named_after_is_refused_before_detection(
    tiny_detector: TinyDetector, tmp_path: Path
) -> None:
    """VOC's files cannot hold it; without `out`, or in COCO's JSON, there is no such file."""
    learnt = dataclasses.replace(resnets.load_detector(tiny_detector.run, device="cpu"), classes=("n/a", "green"))
    data = dataclasses.replace(tiny_detector.data, classes=("n/a", "green"))
    images = []
    with pytest.raises(UsageError, match="n/a"):
        evaluated(learnt, data, out=tmp_path / "out", progress=lambda done, _: images.append(done))
    assert images == []
    assert evaluated(learnt, data).images == 2


def test_a_data_set_is_scored_by_another_protocol(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """COCO's protocol gives twelve numbers, and writes COCO's result JSON."""
    pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")
    found = evaluated(*tiny_detector, protocol="coco", out=tmp_path)
    assert found.scores.numbers is not None and len(found.scores.numbers) == 12
    assert found.scores.numbers["AP50"] > 0.9
    assert (tmp_path / "detections_test_results.json").exists()


def test_a_run_and_a_test_of_it_are_in_the_report(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """The run's result.json is read with the evaluation.json of further tests; an ensemble's is of no run."""
    run, data = tiny_detector
    evaluated(run, data, box_refinement=True, out=tmp_path)
    found = collect([run / "result.json", tmp_path])
    (detector,) = found.detectors
    assert not found.problems
    assert {test.refinements for test in detector.tests} == {(), ("box-refinement",)}
    assert {test.protocol for test in detector.tests} == {"voc"}
    assert all(scores.mean_50 > 90 and set(scores.classes) == set(CLASSES) for scores in detector.tests.values())
    assert any("1,000" in change for change in detector.changes)  # it started from 10 classes
    evaluated([run, run], data, out=tmp_path)
    found = collect([run / "result.json", tmp_path])
    assert len(found.problems) == len(found.detectors) == 1


def test_impossible_tests_are_refused(tiny_detector: TinyDetector) -> None:
    """Classes that the weights do not know, and a protocol, split or class list that does not exist."""
    run, data = tiny_detector
    other = DetectionSplits(name="other", classes=("red", "blue"), train=data.train, test=data.test)
    with pytest.raises(DataError, match="blue"):
        evaluated(run, other)
    with pytest.raises(UsageError, match="voc08"):
        evaluated(run, data, protocol="voc08")
    with pytest.raises(UsageError, match="validation"):
        evaluated(run, data, split="validation")
    with pytest.raises(UsageError, match="classes"):
        evaluated(run, data, classes=CLASSES)


def test_a_test_set_without_annotations_has_no_score(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """Where only a server knows the boxes, the detections are written for it, and no score is claimed."""
    run, data = tiny_detector
    found = evaluated(run, dataclasses.replace(data, test_annotated=False), out=tmp_path)
    assert found.mean_ap is None
    assert len(list(tmp_path.glob("comp4_det_test_*.txt"))) == len(CLASSES)
