"""A detector in a run's folder: it learns its images by heart, is resumed to the last bit, and is loaded again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from small_detectors import CLASSES, RECIPE, SPEC, VGG_SPEC, network, splits, vgg

import resnets
from resnets.detection.annotations import DetectionSplits
from resnets.detection.detector import fine_tuned
from resnets.detection.evaluate import evaluate_detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.predict import detect
from resnets.detection.score import PROTOCOLS, require_objects
from resnets.detection.train import train_detector
from resnets.errors import DataError, RunError, UsageError, WeightsError
from resnets.networks import catalog
from resnets.report.collect import collect
from resnets.specs import DetectionRecipe, InputConvention, ResNetSpec, VGGSpec
from resnets.weights import weights_file
from resnets.weights.tensor_file import read_tensors


@pytest.fixture(scope="module", autouse=True)
def small_networks() -> Iterator[None]:
    """Let the catalogue have a narrow network of ten layers, and a VGG of eight, which train in seconds."""
    real, small = catalog.spec, {"resnet10": SPEC, "vgg8": VGG_SPEC}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "spec", lambda name, **options: small.get(name) or real(name, **options))
        patch.setattr(ResNetSpec, "widths", property(lambda self: (16, 32, 64, 64)))
        patch.setattr(VGGSpec, "widths", (8, 8, 16, 16, 16))
        yield


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's weights file."""
    path = tmp_path_factory.mktemp("classifier") / "resnet10.safetensors"
    convention = InputConvention(size=64, resize=64, mean=(0.4, 0.5, 0.6))
    weights_file.save(path, network(), classes=tuple("abcdefghij"), convention=convention)
    return path


def train(start: Path, out: Path, recipe: DetectionRecipe = RECIPE, **options: Any) -> resnets.DetectorResult:
    data = splits(out.parent / "data")
    options = {"workers": 0, "device": "cpu", "precision": "fp32", "weights": start} | options
    return train_detector("resnet10", options.pop("data", data), recipe=recipe, out=out, **options)


@pytest.fixture(scope="module")
def learnt(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 160 iterations on two images, whose test images are the same."""
    folder = tmp_path_factory.mktemp("learnt")
    recipe = RECIPE.with_changes(iterations=160, lr=0.01, milestones=(100,), flip=False)
    train(start, folder / "run", recipe)
    return folder


def test_it_learns_a_few_images_by_heart(learnt: Path) -> None:
    """Mean AP above 0.9 on what it has seen, with losses that fell; the result says where the run stands."""
    result = json.loads((learnt / "run" / "result.json").read_text())
    assert result["scores"]["mean_ap"] > 0.9
    assert result["scores"]["protocol"] == "voc"
    curve = result["curve"]
    assert curve[-1]["loss"] < curve[0]["loss"] / 3
    assert curve[-1]["loss"] == pytest.approx(
        sum(curve[-1][part] for part in ("proposal_loss", "proposal_box_loss", "class_loss", "box_loss"))
    )
    assert len(result["run"]["weights"]["sha256"]) == 64
    assert result["run"]["recipe"]["anchor_sizes"] == [32, 64]


def test_what_was_learnt_is_in_the_file(learnt: Path) -> None:
    """Loaded in another process it finds the same, with the pixels' mean of the classifier that it started from."""
    result = json.loads((learnt / "run" / "result.json").read_text())
    data = splits(learnt / "data")
    found = evaluate_detector(learnt / "run", data, workers=0, device="cpu")
    assert found.mean_ap == result["scores"]["mean_ap"]
    assert found.scores == result["scores"]
    loaded = resnets.load_detector(learnt / "run", device="cpu")
    assert loaded.classes == CLASSES
    assert loaded.network.input.mean == (0.4, 0.5, 0.6)


def test_batch_norm_keeps_the_statistics_of_the_classifier(start: Path, learnt: Path) -> None:
    """After a training the detector has each mean and variance of the weights that it started from, to the bit."""
    before, after = read_tensors(start)[0], read_tensors(learnt / "run" / "weights.safetensors")[0]
    statistics = [name for name in before if name.endswith((".running_mean", ".running_var"))]
    assert statistics
    assert all(torch.equal(before[name], after[f"backbone.network.{name}"]) for name in statistics)


def test_a_detector_is_fine_tuned(learnt: Path, tmp_path: Path) -> None:
    """As the paper's from COCO to VOC: all that fits goes on; with other classes the sibling layers are new."""
    data = splits(learnt / "data")
    recipe = RECIPE.with_changes(iterations=1, lr=1e-9)
    result = train(learnt / "run", tmp_path / "same", recipe, data=data)
    before = json.loads((learnt / "run" / "result.json").read_text())
    assert result.mean_ap == before["scores"]["mean_ap"]
    other = DetectionSplits(name="other", classes=("a", "b", "c"), train=data.train, test=data.test)
    train(learnt / "run", tmp_path / "other", recipe, data=other)
    files = (folder / "weights.safetensors" for folder in (learnt / "run", tmp_path / "other"))
    learnt_tensors, found = (read_tensors(file)[0] for file in files)
    assert found["regions.box_predictor.cls_score.weight"].shape[0] == 4
    name = "proposals.head.cls_logits.weight"
    torch.testing.assert_close(found[name], learnt_tensors[name], rtol=1e-5, atol=1e-7)
    with pytest.raises(WeightsError, match="anchors|another shape"):
        train(learnt / "run", tmp_path / "anchors", recipe.with_changes(anchor_sizes=(32,)), data=data)
    with pytest.raises(WeightsError, match="a detector on resnet10, not on resnet18"):
        train_detector("resnet18", data, weights=learnt / "run", out=tmp_path / "deeper")


def test_vgg_detects_by_the_same_code(tmp_path: Path) -> None:
    """From a classifier's file to objects on an image, trained, tested and loaded as a residual network is."""
    convention = InputConvention(size=64, resize=64, mean=(0.4, 0.5, 0.6))
    weights_file.save(tmp_path / "vgg8.safetensors", vgg(), classes=tuple("abcdefghij"), convention=convention)
    data = splits(tmp_path / "data")
    recipe = RECIPE.with_changes(iterations=2, roi_size=None)
    options: dict[str, Any] = {"workers": 0, "device": "cpu"}
    result = train_detector(
        "vgg8", data, weights=tmp_path / "vgg8.safetensors", recipe=recipe, out=tmp_path / "run", **options
    )
    assert result.mean_ap == evaluate_detector(tmp_path / "run", data, **options).mean_ap
    ((_, found),) = detect(tmp_path / "run", data.train[0].path, threshold=0, device="cpu")
    assert isinstance(found, list) and found


def test_refinements_and_ensembles_are_scored(learnt: Path, tmp_path: Path) -> None:
    """Each switch runs over a split; the files that are written score as the detections do."""
    data = splits(learnt / "data")
    run = learnt / "run"
    refined = evaluate_detector([run, run], data, box_refinement=True, out=tmp_path / "found", workers=0, device="cpu")
    assert refined.refinements == ("box-refinement", "ensemble")
    assert refined.mean_ap is not None
    assert refined.mean_ap > 0.9
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [
        "comp4_det_test_green.txt",
        "comp4_det_test_red.txt",
        "evaluation.json",
    ]
    by_coco = evaluate_detector(run, data, protocol="coco", out=tmp_path / "found", workers=0, device="cpu")
    assert len(by_coco.scores["numbers"]) == 12
    assert by_coco.scores["numbers"]["AP50"] > 0.9
    assert (tmp_path / "found" / "detections_test_results.json").exists()


def test_a_run_and_a_test_of_it_are_in_the_report(learnt: Path, tmp_path: Path) -> None:
    """The run's result.json is read with the evaluation.json of further tests; an ensemble's is named as no run's."""
    data = splits(learnt / "data")
    run = learnt / "run"
    evaluate_detector(run, data, box_refinement=True, out=tmp_path / "refined", workers=0, device="cpu")
    found = collect([run / "result.json", tmp_path / "refined"])
    (detector,) = found.detectors
    assert not found.problems
    assert {test.refinements for test in detector.tests} == {(), ("box-refinement",)}
    assert {test.protocol for test in detector.tests} == {"voc"}
    assert all(scores.mean_50 > 90 and set(scores.classes) == set(CLASSES) for scores in detector.tests.values())
    assert "started from a classifier of 10 classes instead of ImageNet's 1,000" in detector.changes
    evaluate_detector([run, run], data, out=tmp_path / "refined", workers=0, device="cpu")
    found = collect([run / "result.json", tmp_path / "refined"])
    assert "a test of an ensemble" in found.problems[0]
    assert len(found.detectors) == 1


def test_detect_draws_and_lists(learnt: Path, tmp_path: Path) -> None:
    """Each image's objects are returned, listed in a JSON file and drawn; a file that is no image is an error."""
    data = splits(learnt / "data")
    (tmp_path / "no.jpg").write_bytes(b"no image")
    paths = [data.train[0].path, tmp_path / "no.jpg", data.train[0].path]
    found = dict(enumerate(detect(learnt / "run", paths, out=tmp_path / "drawn", device="cpu")))
    assert isinstance(found[1][1], DataError)
    objects = found[0][1]
    assert not isinstance(objects, DataError)
    assert sorted(o.name for o in objects) == sorted(CLASSES[label] for label in data.train[0].labels)
    assert all(o.score >= 0.5 for o in objects)
    first = min(objects, key=lambda o: o.box[0])
    assert np.abs(np.asarray(first.box) - data.train[0].boxes[0]).max() < 8
    entries = json.loads((tmp_path / "drawn" / "detections.json").read_text())
    assert [entry["drawn"] for entry in entries] == ["000000.jpg", "000000-2.jpg"]
    assert entries[0]["objects"][0] == msgspec.to_builtins(objects[0]) | {"box": list(objects[0].box)}
    assert (tmp_path / "drawn" / "000000-2.jpg").stat().st_size > 1000


def test_photos_are_never_drawn_over(learnt: Path, tmp_path: Path) -> None:
    """Also where they are to be drawn into their own folder; what was drawn before is, and another list never is."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(splits(learnt / "data").train[0].path.read_bytes())
    before = photo.read_bytes()
    for _ in range(2):
        list(detect(learnt / "run", [photo], out=tmp_path, device="cpu"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detections.json", "photo-2.jpg", "photo.jpg"]
    assert photo.read_bytes() == before
    (tmp_path / "detections.json").write_text("[{}]")
    with pytest.raises(UsageError, match="is not of `detect predict`, and would be lost"):
        list(detect(learnt / "run", [photo], out=tmp_path, device="cpu"))


def test_a_low_threshold_shows_what_is_unlikely(learnt: Path) -> None:
    """Also below the recipe's 0.05, at which detectors are tested."""
    photo = splits(learnt / "data").train[0].path
    ((_, few),) = detect(learnt / "run", photo, threshold=0.05, device="cpu")
    ((_, many),) = detect(learnt / "run", photo, threshold=0.0001, device="cpu")
    assert not isinstance(few, DataError) and not isinstance(many, DataError)
    assert min(found.score for found in many) < 0.05 < min(found.score for found in few)


def test_a_fine_tuned_detector_keeps_the_network_s_options(learnt: Path, tmp_path: Path) -> None:
    """The authors' files have a stem that pools otherwise, with the same weights: it must not be lost."""
    other = resnets.load_detector(learnt / "run", device="cpu")
    spec = SPEC.with_changes(pool="ceil")
    built = FasterRCNN(catalog.build(spec), len(CLASSES), RECIPE, other.network.input)
    built.load_state_dict(other.network.state_dict())
    begun = dataclasses.replace(other, network=built)
    assert fine_tuned(begun, "resnet10", ("a", "b"), RECIPE).spec.pool == "ceil"


def test_a_split_without_objects_is_refused_before_training(start: Path, tmp_path: Path) -> None:
    data = splits(tmp_path / "data")
    nothing = [dataclasses.replace(image, difficult=np.ones(len(image.labels), np.bool_)) for image in data.test]
    data = dataclasses.replace(data, test=tuple(nothing))
    with pytest.raises(DataError, match="test images: no object that counts is in any"):
        train(start, tmp_path / "run", data=data)
    with pytest.raises(DataError, match="no object that counts"):
        require_objects([], "coco", "here")
    crowds = [dataclasses.replace(image, crowd=np.ones(len(image.labels), np.bool_)) for image in data.train]
    for protocol in PROTOCOLS:  # VOC's have none, and leave them out too
        with pytest.raises(DataError, match="no object that counts"):
            require_objects(crowds, protocol, "here")
    data = splits(tmp_path / "data")
    with pytest.raises(DataError, match="rectangles: no object to learn is in any of the 2 training images"):
        train(start, tmp_path / "run", data=dataclasses.replace(data, train=tuple(crowds)))


class Crash(Exception):
    """Stands for a process that dies."""


class CrashAt:
    """An observer that ends the run at a line of the log."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def started(self, *_: object) -> None: ...

    def logged(self, line: dict[str, Any]) -> None:
        if line["iteration"] == self.iteration:
            raise Crash

    def finished(self, result: dict[str, Any]) -> None: ...

    def closed(self) -> None: ...


@pytest.mark.parametrize("crash", [3, 6])
def test_resumed_to_the_last_bit(start: Path, tmp_path: Path, crash: int) -> None:
    """A run that died and went on has the same weights, momentum and log as one that never stopped."""
    recipe = RECIPE.with_changes(batch_size=2, frozen_stages=1)
    train(start, tmp_path / "whole", recipe, save_every=2)
    with pytest.raises(Crash):
        train(start, tmp_path / "broken", recipe, save_every=2, observers=[CrashAt(crash)])
    torch.rand(7)  # the other process draws other numbers before it goes on
    train(start, tmp_path / "broken", recipe, save_every=2, resume=True)
    name = "checkpoints/iteration-00000008.safetensors"
    whole, broken = (read_tensors(tmp_path / run / name)[0] for run in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    assert [key for key in whole if not torch.equal(whole[key], broken[key])] == []
    assert "momentum.backbone.network.conv1.weight" not in whole  # frozen
    logs = [_log(tmp_path / run) for run in ("whole", "broken")]
    assert logs[0] == logs[1]
    again = train(start, tmp_path / "broken", recipe, resume=True)
    assert again.already_finished


def _log(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if key not in ("seconds", "images_per_second")} for line in lines]


def test_another_start_is_another_run(start: Path, tmp_path: Path) -> None:
    """The classifier's weights are part of what a run is; a folder never mixes two."""
    recipe = RECIPE.with_changes(iterations=1)
    train(start, tmp_path / "run", recipe)
    with pytest.raises(RunError, match="--resume"):
        train(start, tmp_path / "run", recipe)
    other = tmp_path / "other.safetensors"
    weights_file.save(other, catalog.build(SPEC), classes=tuple("abcdefghij"))
    with pytest.raises(RunError, match="its weights is"):
        train(other, tmp_path / "run", recipe, resume=True)


def test_what_cannot_be_is_refused_before_training(start: Path, learnt: Path, tmp_path: Path) -> None:
    """Weights of another network, of a detector, classes of other data, an ensemble of strangers: a line each."""
    with pytest.raises(WeightsError, match="of resnet10, not of resnet18"):
        train_detector("resnet18", splits(tmp_path / "data"), weights=start, out=tmp_path / "run")
    with pytest.raises(WeightsError, match="not a detector's weights"):
        resnets.load_detector(start)
    with pytest.raises(WeightsError, match="holds no weights"):
        resnets.load_detector(tmp_path)
    with pytest.raises(WeightsError, match="a detector's weights"):
        resnets.load(learnt / "run")
    data = splits(learnt / "data")
    strange = DetectionSplits(name="strange", classes=("red", "blue"), train=data.train, test=data.test)
    with pytest.raises(DataError, match="class 'blue'"):
        evaluate_detector(learnt / "run", strange, device="cpu")
    with pytest.raises(UsageError, match="voc07"):
        evaluate_detector(learnt / "run", data, protocol="voc08", device="cpu")
    with pytest.raises(UsageError, match="threshold"):
        next(detect(learnt / "run", [], threshold=2.0))
    with pytest.raises(UsageError, match="shorter side is 8"):
        train(start, tmp_path / "run", RECIPE.with_changes(), size=8)


def test_random_weights_begin_with_the_statistics_of_images(tmp_path: Path) -> None:
    """Batch norm is frozen, so that a network that was not pre-trained needs some; what is learnt of is finite."""
    recipe = RECIPE.with_changes(iterations=2)
    with pytest.warns(UserWarning, match="random weights"):
        train(tmp_path, tmp_path / "run", recipe, weights=None)
    norm = read_tensors(tmp_path / "run" / "weights.safetensors")[0]
    statistics = next(tensor for name, tensor in norm.items() if name.endswith("layer4.0.bn1.running_var"))
    assert not torch.equal(statistics, torch.ones_like(statistics))


def test_a_loss_that_is_not_finite_changes_nothing(start: Path, tmp_path: Path) -> None:
    with pytest.raises(resnets.TrainingError, match="the loss is"):
        train(start, tmp_path / "run", RECIPE.with_changes(lr=1e12))
