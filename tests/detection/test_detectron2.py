"""Files of detectron2's C4 detectors: every tensor in its place, on synthetic files in its layout."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from other_projects import detectron2_names
from PIL import Image
from small_detectors import CPU, INPUT
from torch import nn

import resnets
from resnets.detection.detectron2 import RATIOS, RECIPE, SIZES
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.predict import detect_image
from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.specs import ResNetSpec

Arrays = dict[str, NDArray[np.float32]]
ANCHORS = [(size, ratio) for size in SIZES for ratio in RATIOS]
"""detectron2's, in its order: of height over width `ratio`, and of area `size` ** 2."""


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """Make ResNet-50 and ResNet-101 narrow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResNetSpec, "widths", property(lambda self: (4, 8, 8, 8)))
        yield


def theirs(network: FasterRCNN, classes: int) -> Arrays:
    """Return the weights of a detector of ours in detectron2's names, orders and shapes."""
    state = network.state_dict()
    layers = {
        name.removeprefix("backbone.network."): tensor
        for name, tensor in state.items()
        if name.startswith("backbone.network.") and not name.endswith("num_batches_tracked")
    }
    named = detectron2_names(layers)
    found = {f"{'roi_heads' if name.startswith('res5') else 'backbone'}.{name}": named[name] for name in named}
    order = [RATIOS.index(ratio) * len(SIZES) + SIZES.index(size) for size, ratio in ANCHORS]
    for kind in ("weight", "bias"):
        logits, shifts = (state[f"proposals.head.{name}.{kind}"] for name in ("cls_logits", "bbox_pred"))
        scores, boxes = (state[f"regions.box_predictor.{name}.{kind}"] for name in ("cls_score", "bbox_pred"))
        found[f"proposal_generator.rpn_head.conv.{kind}"] = state[f"proposals.head.conv.0.0.{kind}"]
        found[f"proposal_generator.rpn_head.objectness_logits.{kind}"] = logits[order]
        found[f"proposal_generator.rpn_head.anchor_deltas.{kind}"] = shifts[
            [4 * anchor + side for anchor in order for side in range(4)]
        ]
        found[f"roi_heads.box_predictor.cls_score.{kind}"] = scores[[*range(1, classes + 1), 0]]
        found[f"roi_heads.box_predictor.bbox_pred.{kind}"] = boxes[4:]
        if network.recipe.masks:
            found[f"roi_heads.mask_head.deconv.{kind}"] = state[f"regions.mask_predictor.conv5_mask.{kind}"]
            found[f"roi_heads.mask_head.predictor.{kind}"] = state[f"regions.mask_predictor.mask_fcn_logits.{kind}"]
    return {name: tensor.numpy() for name, tensor in found.items()}


def made(depth: int = 50, classes: int = 80, *, masks: bool = True) -> FasterRCNN:
    torch.manual_seed(depth)
    backbone = registry.create(f"resnet{depth}")
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.3)  # else the maps of 101 random layers are not finite
    network = FasterRCNN(backbone, classes, RECIPE.with_changes(masks=masks), INPUT)
    for module in (network.proposals.head, network.regions):
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, std=0.05)
                nn.init.normal_(layer.bias, std=0.5)
    return network.eval()


def write(path: Path, arrays: Arrays) -> Path:
    """Write a file as those of detectron2's model zoo."""
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return path


def test_a_mask_detector_of_the_zoo_computes_what_it_is(tmp_path: Path) -> None:
    """All 80 classes of COCO in their order; on an image the same boxes, scores and masks, from BGR pixels."""
    network = made()
    arrays = theirs(network, 80) | {"pixel_mean": np.float32([[[50]], [[60]], [[70]]])}
    arrays["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((15, 4), np.float32)
    loaded = resnets.load_detector(write(tmp_path / "model_final.pkl", arrays), device="cpu")
    assert (loaded.classes[0], loaded.classes[14], loaded.classes[79]) == ("person", "bird", "toothbrush")
    assert (loaded.network.spec.name, loaded.network.recipe.shorter_side) == ("resnet50", 800)
    assert (loaded.network.input.mean, loaded.network.input.channel_order) == ((50, 60, 70), "BGR")
    ours = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    zero = ("regions.box_predictor.bbox_pred.weight", "regions.box_predictor.bbox_pred.bias")  # of the background
    for name, tensor in loaded.network.state_dict().items():
        if name in ours:
            kept = slice(4, None) if name in zero else slice(None)
            assert torch.equal(tensor[kept], ours[name][kept]) if tensor.dim() else True, name


def test_anchors_are_detectron2s(tmp_path: Path) -> None:
    """The row of each anchor of theirs goes with the anchor of its size and ratio, which is not rounded."""
    arrays = theirs(made(masks=False), 80)
    arrays["proposal_generator.rpn_head.objectness_logits.bias"] = np.arange(15, dtype=np.float32)
    proposals = resnets.load_detector(write(tmp_path / "model.pkl", arrays), device="cpu").network.proposals
    (anchors,) = proposals.anchor_generator.cell_anchors
    for number, anchor in zip(proposals.head.cls_logits.bias.long().tolist(), anchors, strict=True):
        size, ratio = ANCHORS[number]
        width = (size**2 / ratio) ** 0.5
        expected = torch.tensor([-width, -width * ratio, width, width * ratio]) / 2
        torch.testing.assert_close(anchor, expected)


def test_a_detector_of_boxes_and_of_other_classes(tmp_path: Path) -> None:
    """A training's .pth of ResNet-101 without masks and with 3 classes detects; the classes are numbered."""
    arrays = theirs(made(101, 3, masks=False), 3)
    path = tmp_path / "model_0009999.pth"
    torch.save({"model": {name: torch.from_numpy(array) for name, array in arrays.items()}, "iteration": 9_999}, path)
    with pytest.warns(UserWarning, match="3 classes"):
        loaded = resnets.load_detector(path, device="cpu")
    assert (loaded.network.spec.name, loaded.classes[2]) == ("resnet101", "class 3")
    loaded.network.recipe = RECIPE.with_changes(masks=False, shorter_side=64, longest_side=96, proposals=(20, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = detect_image([loaded.network], Image.new("RGB", (90, 60), (10, 200, 90)), device=CPU, threshold=0)
    assert found.masks is None and len(found.boxes)


def test_other_detectors_are_refused_in_one_line(tmp_path: Path) -> None:
    """One with a feature pyramid, one without a layer, one of other anchors, and a pickle that would run code."""
    arrays = theirs(made(masks=False), 80)
    fpn = {name.replace("backbone.", "backbone.bottom_up."): array for name, array in arrays.items()}
    with pytest.raises(WeightsError, match="C4"):
        resnets.load_detector(write(tmp_path / "fpn.pkl", fpn), device="cpu")
    anchors = "proposal_generator.rpn_head.objectness_logits.bias"
    with pytest.raises(WeightsError, match="shapes"):
        resnets.load_detector(write(tmp_path / "anchors.pkl", arrays | {anchors: arrays[anchors][:4]}), device="cpu")
    del arrays["roi_heads.box_predictor.bbox_pred.bias"]
    with pytest.raises(WeightsError, match="bbox_pred"):
        resnets.load_detector(write(tmp_path / "less.pkl", arrays), device="cpu")
    (tmp_path / "code.pkl").write_bytes(pickle.dumps({"model": print}))
    with pytest.raises(WeightsError):
        resnets.load_detector(tmp_path / "code.pkl", device="cpu")
