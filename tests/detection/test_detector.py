"""Detectors in files: what was learnt is in them, and a detector starts from what another has learnt."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_detectors import CLASSES, RECIPE, SPEC, TinyDetector, detector

import resnets
from resnets.detection.detector import Detector, detector_input, is_detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.fine_tuning import fine_tuned
from resnets.errors import UsageError, WeightsError
from resnets.networks import registry
from resnets.records.base import as_json
from resnets.specs import InputSpec
from resnets.weights.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("small_networks")


def test_a_file_holds_classes_and_input(start: Path, tiny_detector: TinyDetector) -> None:
    """A loaded detector knows its classes, and has the mean of the classifier that it started from."""
    loaded = resnets.load_detector(tiny_detector.run, device="cpu")
    assert loaded.classes == CLASSES
    assert loaded.network.input.mean == (0.4, 0.5, 0.6)
    assert loaded.network.recipe.anchor_sizes == (32, 64)
    assert is_detector(tiny_detector.run)
    assert not is_detector(start)


def test_repr_of_a_detector_is_a_few_lines() -> None:
    """It has the network, the recipe, the classes, the device and the path, and stays short with many classes."""
    many = tuple(f"class {number}" for number in range(1000))
    shown = repr(Detector(Path("runs/first"), detector(), many, torch.device("cpu")))
    assert len(shown.splitlines()) < 10
    for part in (SPEC.name, RECIPE.name, "1000 (class 0, class 1, class 2, ...)", "cpu", "runs/first"):
        assert part in shown


def test_other_files_are_refused(start: Path, tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """A classifier is no detector, a detector no classifier, and an empty folder neither."""
    with pytest.raises(WeightsError, match=start.name):
        resnets.load_detector(start)
    with pytest.raises(WeightsError, match=tmp_path.name):
        resnets.load_detector(tmp_path)
    with pytest.raises(WeightsError, match="detector"):
        resnets.load(tiny_detector.run)


def test_fine_tuning_keeps_what_fits(tiny_detector: TinyDetector) -> None:
    """As the paper's from COCO to VOC: with other classes new sibling layers, as noted, and all else is kept."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    same = fine_tuned(learnt, "resnet10", CLASSES, RECIPE).state_dict()
    with pytest.warns(UserWarning, match=r"2 classes \(red, green\).* 3 classes \(red, b, c\)"):
        other = fine_tuned(learnt, "resnet10", ("red", "b", "c"), RECIPE).state_dict()
    for name, tensor in learnt.network.state_dict().items():
        assert torch.equal(same[name], tensor)
        assert name.startswith("regions.") or torch.equal(other[name], tensor)
    assert other["regions.box_predictor.cls_score.weight"].shape[0] == 4


def test_the_same_classes_in_another_order_keep_their_weights(tiny_detector: TinyDetector) -> None:
    """A detector of red and green detects the same as one of green and red, each by its new label."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    turned = fine_tuned(learnt, "resnet10", CLASSES[::-1], RECIPE).eval()
    vectors = torch.rand(5, turned.backbone.region_features)
    scores, shifts = learnt.network.regions.answer(vectors)
    turned_scores, turned_shifts = turned.regions.answer(vectors)
    torch.testing.assert_close(turned_scores, scores[:, [0, 2, 1]])
    torch.testing.assert_close(turned_shifts.view(5, 3, 4), shifts.view(5, 3, 4)[:, [0, 2, 1]])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"anchor_sizes": (32,)}, "anchors was 32,64, and is 32"),
        ({"anchor_ratios": (1.0, 2.0)}, "anchor ratios was 0.5,1.0,2.0, and is 1.0,2.0"),
        ({"global_context": True}, "context was False, and is True"),
    ],
)
def test_fine_tuning_needs_the_same_anchors_and_context(
    tiny_detector: TinyDetector, changes: dict[str, Any], named: str
) -> None:
    """The error names the setting that differs, with both values."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    with pytest.raises(WeightsError, match=named):
        fine_tuned(learnt, "resnet10", CLASSES, RECIPE.with_changes(**changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"anchor_sizes": (64, 128)}, "anchors was 32,64, and is 64,128"),
        ({"roi_pooling": "align"}, "roi-pooling was max, and is align"),
        ({"roi_size": 8}, "roi size was 4, and is 8"),
        ({"head_stride": 1}, "head stride was 2, and is 1"),
    ],
)
def test_settings_with_which_weights_mean_less_are_noted(
    tiny_detector: TinyDetector, changes: dict[str, Any], named: str
) -> None:
    """Weights fit as many anchors of other sizes, say, and were trained for their own."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    with pytest.warns(UserWarning, match=named):
        fine_tuned(learnt, "resnet10", CLASSES, RECIPE.with_changes(**changes))


def test_fine_tuning_needs_the_same_network(tiny_detector: TinyDetector) -> None:
    """A detector on another network is refused."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    with pytest.raises(WeightsError, match="resnet18"):
        fine_tuned(learnt, "resnet18", CLASSES, RECIPE)


def test_fine_tuning_keeps_the_options_of_the_network(tiny_detector: TinyDetector) -> None:
    """The authors' files have a stem that pools otherwise, with the same weights: it must not be lost."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    spec = SPEC.with_changes(pool="ceil")
    built = FasterRCNN(registry.build(spec), len(CLASSES), RECIPE, learnt.network.input)
    built.load_state_dict(learnt.network.state_dict())
    start = dataclasses.replace(learnt, network=built)
    assert fine_tuned(start, "resnet10", CLASSES, RECIPE).spec.pool == "ceil"


def test_a_mean_image_is_reduced_to_the_mean_of_each_channel() -> None:
    """A detector's images have any size, so only the channels' means of a classifier's mean image are kept."""
    mean = np.random.default_rng(0).random((8, 8, 3), np.float32)
    found = detector_input(InputSpec(size=8, resize=8, mean_image=base64.b64encode(mean.tobytes()).decode()), [])
    assert found.mean_image is None
    assert found.mean == pytest.approx(mean.mean((0, 1)).tolist())


def test_images_of_equal_contrast_are_refused() -> None:
    """A detector has no contrast of a whole image to normalise: such weights would see other images than before."""
    with pytest.raises(UsageError, match="equal contrast"):
        detector_input(InputSpec(size=8, resize=8, mean=(0.5,) * 3, contrast=1.0), [])


def test_a_detector_needs_a_class(tiny_detector: TinyDetector) -> None:
    """Without a class there is nothing to detect."""
    learnt = resnets.load_detector(tiny_detector.run, device="cpu")
    with pytest.raises(UsageError):
        fine_tuned(learnt, "resnet10", (), RECIPE)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("kind",), "classifier weights"),
        (("version",), 2),
        (("classes",), 3),
        (("classes",), [1, 2]),
        (("classes",), ["one more", *CLASSES]),
        (("network",), None),
        (("network", "blocks"), [10**7] * 4),
        (("recipe",), []),
        (("recipe", "anchor_sizes"), [32] * 10**5),
        (("recipe", "roi_size"), -1),
        (("input", "mean"), [0.5]),
        (("input", "size"), 10**7),
    ],
)
def test_a_header_that_does_not_fit_is_refused_at_once(
    tiny_detector: TinyDetector, tmp_path: Path, where: tuple[str, ...], value: Any
) -> None:
    """Before a network of what it declares is built."""
    tensors, header = read_tensors(tiny_detector.run / "weights.safetensors")
    parent = changed = as_json(header)
    for key in where[:-1]:
        parent = parent[key]
    parent[where[-1]] = value
    write_tensors(tmp_path / "w.safetensors", tensors, changed)
    with pytest.raises(WeightsError) as caught:
        resnets.load_detector(tmp_path / "w.safetensors", device="cpu")
    assert "\n" not in str(caught.value)
