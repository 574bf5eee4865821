"""A detector learns its images, resumes to the last bit, and starts from a classifier or another detector."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_detectors
import torch
from hub_cache import hub_cache
from observing import Crash, CrashAt, Recorder
from small_detectors import RECIPE, SPEC, TinyDetector, save_classifier, splits, train, vgg

import resnets
from resnets.detection.config import DetectionConfig
from resnets.detection.evaluate import evaluate_detector
from resnets.errors import DataError, RunError, UsageError, WeightsError
from resnets.networks import registry
from resnets.records.runs import DetectorResult, LogLine
from resnets.specs import DetectionRecipe
from resnets.training.run_folder import RunFolder
from resnets.weights.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("small_networks")

RESUMED = RECIPE.with_changes(batch_size=2, frozen_stages=1)


@pytest.fixture(scope="module")
def whole(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyDetector]:
    """A run of eight iterations that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    data = splits(folder / "data")
    with small_detectors.small_networks():
        train(start, folder / "run", data, RESUMED, save_every=2)
        yield TinyDetector(folder / "run", data)


def test_it_learns_a_few_images_by_heart(tiny_detector: TinyDetector) -> None:
    """Mean AP is above 0.9 on the training images, the losses fell, and the result records the run."""
    result = RunFolder(tiny_detector.run).result(DetectorResult)
    assert result is not None and result.scores.mean_ap is not None
    assert result.scores.mean_ap > 0.9
    assert result.scores.protocol == "voc"
    first, *_, last = result.curve
    assert last.loss < first.loss / 3
    assert last.losses.keys() == {"proposal_loss", "proposal_box_loss", "class_loss", "box_loss"}
    assert last.loss == pytest.approx(sum(last.losses.values()))
    assert result.run.start is not None and len(result.run.start.sha256) == 64
    recipe = result.run.recipe
    assert isinstance(recipe, DetectionRecipe) and recipe.anchor_sizes == (32, 64)


def test_batch_norm_keeps_the_statistics_of_the_classifier(start: Path, tiny_detector: TinyDetector) -> None:
    """After a training the detector has each mean and variance of the weights that it started from, to the bit."""
    before, after = read_tensors(start)[0], read_tensors(tiny_detector.run / "weights.safetensors")[0]
    statistics = [name for name in before if name.endswith((".running_mean", ".running_var"))]
    assert statistics
    assert all(torch.equal(before[name], after[f"backbone.network.{name}"]) for name in statistics)


def test_a_detector_is_fine_tuned(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """A run from a detector's weights keeps what it learnt, and records the kind of its start."""
    recipe = RECIPE.with_changes(iterations=1, lr=1e-9)
    result = train(tiny_detector.run, tmp_path / "run", tiny_detector.data, recipe)
    before, run = RunFolder(tiny_detector.run).result(DetectorResult), RunFolder(result.folder).record()
    assert before is not None and result.scores == before.scores
    assert run is not None and run.start is not None and (run.start.of, run.start.classes) == ("detector", 2)


def test_a_detector_starts_from_published_weights(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the Hub as from the same file; and a run that is resumed does not need them again."""
    blob = hub_cache(tmp_path / "hub", monkeypatch, "me/resnet10", start.read_bytes(), {})
    data, recipe = splits(tmp_path / "data"), RECIPE.with_changes(iterations=1)
    results = [train(source, tmp_path / str(n), data, recipe) for n, source in enumerate((start, "hf:me/resnet10"))]
    ours, theirs = (read_tensors(one.folder / "weights.safetensors")[0] for one in results)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    run = RunFolder(results[1].folder).record()
    assert run is not None and run.start is not None and run.start.file == "hf:me/resnet10"
    blob.unlink()
    assert train("hf:me/resnet10", tmp_path / "1", data, recipe, resume=True).already_finished


@pytest.mark.parametrize("of", ["classifier", "detector"])
def test_a_resumed_detector_needs_no_weights_of_another_run(
    start: Path, tiny_detector: TinyDetector, tmp_path: Path, of: str
) -> None:
    """It has its own in its checkpoints: those that it started from, a classifier's or a detector's, may be gone."""
    source = tmp_path / "start.safetensors"
    shutil.copy(start if of == "classifier" else tiny_detector.run / "weights.safetensors", source)
    data, recipe = tiny_detector.data, RECIPE.with_changes(iterations=2)
    whole = train(source, tmp_path / "whole", data, recipe)
    with pytest.raises(Crash):
        train(source, tmp_path / "run", data, recipe, save_every=1, observers=[CrashAt(1)])
    source.unlink()
    result = train(source, tmp_path / "run", data, recipe, resume=True)
    ours, theirs = (read_tensors(one.folder / "weights.safetensors")[0] for one in (result, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_vgg_detects_by_the_same_code(tmp_path: Path) -> None:
    """From a classifier's file to objects on an image, VGG is trained, tested and loaded as a residual network is."""
    start, data = save_classifier(tmp_path / "vgg8.safetensors", vgg()), splits(tmp_path / "data")
    recipe = RECIPE.with_changes(iterations=2, roi_size=None)
    with pytest.raises(UsageError, match="roi_size is 14; vgg8 has 7"):
        train(start, tmp_path / "run", data, recipe, network="vgg8", roi_size=14)
    result = train(start, tmp_path / "run", data, recipe, network="vgg8")
    assert result.mean_ap == evaluate_detector(tmp_path / "run", data, workers=0, device="cpu").mean_ap
    ((_, found),) = resnets.detect(tmp_path / "run", data.train[0].path, threshold=0, device="cpu")
    assert isinstance(found, list) and found


@pytest.mark.parametrize("crash", [3, 6])
def test_resumed_to_the_last_bit(start: Path, whole: TinyDetector, tmp_path: Path, crash: int) -> None:
    """A run that died and was resumed has the same weights, momentum and log as one that never stopped."""
    with pytest.raises(Crash):
        train(start, tmp_path, whole.data, RESUMED, save_every=2, observers=[CrashAt(crash)])
    torch.manual_seed(7)  # the other process is in another random state
    train(start, tmp_path, whole.data, RESUMED, save_every=2, resume=True)
    name = "checkpoints/iteration-00000008.safetensors"
    expected, found = (read_tensors(run / name)[0] for run in (whole.run, tmp_path))
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert "momentum.backbone.network.conv1.weight" not in expected  # frozen
    assert _log(whole.run) == _log(tmp_path)


def _log(run: Path) -> list[LogLine]:
    return [line.with_changes(seconds=0.0, images_per_second=0.0) for line in RunFolder(run).logged()]


def test_a_folder_holds_one_run(start: Path, whole: TinyDetector, tmp_path: Path) -> None:
    """A finished run is returned with `resume` alone; other weights to start from make another run."""
    assert train(start, whole.run, whole.data, RESUMED, resume=True).already_finished
    with pytest.raises(RunError, match="--resume"):
        train(start, whole.run, whole.data, RESUMED)
    other = save_classifier(tmp_path / "other.safetensors", registry.build(SPEC))  # type: ignore[arg-type]
    with pytest.raises(RunError, match=rf"its start is {start} \(SHA-256 .*{other} \(SHA-256 "):
        train(other, whole.run, whole.data, RESUMED, resume=True)


def test_a_split_without_objects_is_refused_before_training(start: Path, tmp_path: Path) -> None:
    """Neither test images without an object that counts nor training images without one to learn start a run."""
    data = splits(tmp_path / "data")
    difficult = tuple(dataclasses.replace(one, difficult=np.ones(len(one.labels), np.bool_)) for one in data.test)
    crowds = tuple(dataclasses.replace(one, crowd=np.ones(len(one.labels), np.bool_)) for one in data.train)
    with pytest.raises(DataError, match="test images"):
        train(start, tmp_path / "run", dataclasses.replace(data, test=difficult))
    with pytest.raises(DataError, match="training images"):
        train(start, tmp_path / "run", dataclasses.replace(data, train=crowds))
    assert not (tmp_path / "run").exists()


def test_impossible_settings_are_refused_before_training(start: Path, tmp_path: Path) -> None:
    """The weights of another network, a size that is too small, classes of splits, and a misspelt setting."""
    data = splits(tmp_path / "data")
    with pytest.raises(WeightsError, match="resnet18"):
        train(start, tmp_path / "run", data, network="resnet18")
    with pytest.raises(UsageError, match="8"):
        train(start, tmp_path / "run", data, size=8)
    with pytest.raises(UsageError, match="classes"):
        train(start, tmp_path / "run", data, classes=["red"])
    with pytest.raises(UsageError, match="anchors"):
        train(start, tmp_path / "run", data, anchor=[32])


def test_settings_change_the_recipe() -> None:
    """A setting is a field of the recipe or a shorter name of one; None leaves the recipe's own."""
    config = DetectionConfig.from_settings(
        weights=None, size=300, anchors=[16, 32], context=True, flip=False, lr=None, iterations=400
    )
    recipe = config.resolve_recipe("coco")
    assert (recipe.name, recipe.iterations, recipe.milestones) == ("coco", 400, (300,))
    assert (recipe.shorter_side, recipe.longest_side, recipe.anchor_sizes) == (300, 500, (16, 32))
    assert (recipe.global_context, recipe.flip, recipe.lr) == (True, False, 0.001)
    assert DetectionConfig(weights=None).resolve_recipe("voc07").name == "voc"


def test_random_weights_start_with_the_statistics_of_images(tmp_path: Path) -> None:
    """Batch norm is frozen, so a network that was not pre-trained takes its statistics from the training images."""
    with pytest.warns(UserWarning, match="random weights"):
        train(None, tmp_path / "run", splits(tmp_path / "data"), RECIPE.with_changes(iterations=2))
    tensors = read_tensors(tmp_path / "run" / "weights.safetensors")[0]
    variances = next(tensor for name, tensor in tensors.items() if name.endswith("layer4.0.bn1.running_var"))
    assert not torch.equal(variances, torch.ones_like(variances))


def test_a_class_without_training_objects_is_noted(start: Path, tmp_path: Path) -> None:
    """The data's notes, and the classes that the run cannot learn, are shown at its start."""
    data = splits(tmp_path / "data")
    data = dataclasses.replace(data, classes=(*data.classes, "blue"), category_ids=(), notes=("a note",))
    observer = Recorder()
    train(start, tmp_path / "run", data, RECIPE.with_changes(iterations=1), observers=[observer])
    assert observer.notes[0] == "a note"
    assert "1 of 3 classes: blue" in observer.notes[1]


def test_a_loss_that_is_not_finite_ends_the_run(start: Path, tmp_path: Path) -> None:
    """A learning rate of 1e12 is an error, not a trained detector."""
    with pytest.raises(resnets.TrainingError):
        train(start, tmp_path / "run", splits(tmp_path / "data"), RECIPE.with_changes(lr=1e12))
    assert not (tmp_path / "run" / "result.json").exists()
