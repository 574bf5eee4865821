"""Detectors in files: what was learnt is in them, and a detector starts from what another has learnt."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small_detectors import CLASSES, RECIPE, SPEC, TinyDetector

import resnets
from resnets.detection.detector import detector_input, fine_tuned, is_detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.errors import UsageError, WeightsError
from resnets.networks import registry
from resnets.specs import InputSpec

pytestmark = pytest.mark.usefixtures("small_networks")


def test_a_file_holds_classes_and_input(start: Path, tiny_detector: TinyDetector) -> None:
    """A loaded detector knows its classes, and has the mean of the classifier that it started from."""
    loaded = resnets.load_detector(tiny_detector.run, device="cpu")
    assert loaded.classes == CLASSES
    assert loaded.network.input.mean == (0.4, 0.5, 0.6)
    assert loaded.network.recipe.anchor_sizes == (32, 64)
    assert is_detector(tiny_detector.run)
    assert not is_detector(start)


def test_other_files_are_refused(start: Path, tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """A classifier is no detector, a detector no classifier, and an empty folder neither."""
    with pytest.raises(WeightsError, match=start.name):
        resnets.load_detector(start)
    with pytest.raises(WeightsError, match=tmp_path.name):
        resnets.load_detector(tmp_path)
    with pytest.raises(WeightsError, match="detector"):
        resnets.load(tiny_detector.run)


def test_fine_tuning_keeps_what_fits(tiny_detector: TinyDetector) -> None:
    """As the paper's from COCO to VOC: with other classes the sibling layers are new, and all else is kept."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    same = fine_tuned(learnt, "resnet10", CLASSES, RECIPE).state_dict()
    other = fine_tuned(learnt, "resnet10", ("a", "b", "c"), RECIPE).state_dict()
    for name, tensor in learnt.network.state_dict().items():
        assert torch.equal(same[name], tensor)
        assert name.startswith("regions.") or torch.equal(other[name], tensor)
    assert other["regions.box_predictor.cls_score.weight"].shape[0] == 4


def test_fine_tuning_needs_the_same_network_and_anchors(tiny_detector: TinyDetector) -> None:
    """Another number of anchors, or another network, is refused."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    with pytest.raises(WeightsError):
        fine_tuned(learnt, "resnet10", CLASSES, RECIPE.with_changes(anchor_sizes=(32,)))
    with pytest.raises(WeightsError, match="resnet18"):
        fine_tuned(learnt, "resnet18", CLASSES, RECIPE)


def test_fine_tuning_keeps_the_options_of_the_network(tiny_detector: TinyDetector) -> None:
    """The authors' files have a stem that pools otherwise, with the same weights: it must not be lost."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    spec = SPEC.with_changes(pool="ceil")
    built = FasterRCNN(registry.build(spec), len(CLASSES), RECIPE, learnt.network.input)
    built.load_state_dict(learnt.network.state_dict())
    start = dataclasses.replace(learnt, network=built)
    assert fine_tuned(start, "resnet10", ("a", "b"), RECIPE).spec.pool == "ceil"


def test_a_mean_image_is_reduced_to_the_mean_of_each_channel() -> None:
    """A detector's images have any size, so only the channels' means of a classifier's mean image are kept."""
    mean = np.random.default_rng(0).random((8, 8, 3), np.float32)
    found = detector_input(InputSpec(size=8, resize=8, mean_image=base64.b64encode(mean.tobytes()).decode()), [])
    assert found.mean_image is None
    assert found.mean == pytest.approx(mean.mean((0, 1)).tolist())


def test_a_detector_needs_a_class(tiny_detector: TinyDetector) -> None:
    """Without a class there is nothing to detect."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    with pytest.raises(UsageError):
        fine_tuned(learnt, "resnet10", (), RECIPE)
