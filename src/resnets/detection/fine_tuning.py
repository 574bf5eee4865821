"""Detectors that start from other detectors. Paper: appendix B, where the model of COCO is fine-tuned on VOC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from resnets.detection.annotations import NAMED
from resnets.detection.detector import Detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.errors import WeightsError, warn
from resnets.networks import registry
from resnets.quantities import plural
from resnets.specs import DetectionRecipe
from resnets.weights.weights_file import load_into

PREDICTORS = "regions.box_predictor.cls_score", "regions.box_predictor.bbox_pred"
"""The sibling layers, which have rows for the background and then for each class."""


def fine_tuned(other: Detector, name: str, classes: Sequence[str], recipe: DetectionRecipe) -> FasterRCNN:
    """Return a detector that starts from another; with other classes its sibling layers are new, and a warning says so.

    The network is the other's, with all of its options, which a converted file may have beyond its name. The same
    classes in another order keep their weights.

    Raises: WeightsError, if the other is on another network than `name`, or of other anchors or context.
    Paper: appendix B, where the model of COCO is fine-tuned on VOC.
    """
    spec = other.network.spec
    if spec.name != name:
        raise WeightsError(f"{other.path}: a detector on {spec.name}, not on {name}")
    network = FasterRCNN(registry.build(spec), len(classes), recipe, other.network.input)
    _compare(other, network)
    tensors = other.network.state_dict()
    fresh = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(PREDICTORS)}
    if set(classes) == set(other.classes):
        rows = torch.tensor([0, *(1 + other.classes.index(name) for name in classes)])
        fresh = {name: tensors[name].unflatten(0, (len(rows), -1))[rows].flatten(0, 1) for name in fresh}
    else:
        warn(
            f"{other.path} knows {_in_short(other.classes)}, and the data has {_in_short(classes)}: the layers that "
            "classify regions and refine their boxes are new"
        )
    load_into(network, tensors | fresh)
    return network


def _compare(other: Detector, network: FasterRCNN) -> None:
    """Compare the settings of two detectors without which the weights of one do not fit the other, or mean less.

    Raises: WeightsError, if they do not fit.
    """
    before, after = _settings(other.network), _settings(network)
    differing = "; ".join(
        f"{name} was {_plain(before[name])}, and is {_plain(after[name])}"
        for name in before
        if before[name] != after[name]
    )
    anchors = other.network.proposals.places_of_anchors, network.proposals.places_of_anchors
    if anchors[0] != anchors[1] or before["context"] != after["context"]:
        raise WeightsError(f"{other.path}: a detector of other settings, which must be the same: {differing}")
    if differing:
        warn(f"{other.path}: a detector of other settings: {differing}")


def _settings(network: FasterRCNN) -> dict[str, Any]:
    """Return the settings that change what a detector's weights compute, by the names of the command's options."""
    recipe = network.recipe
    return {
        "anchors": recipe.anchor_sizes,
        "anchor ratios": recipe.anchor_ratios,
        "context": recipe.global_context,
        "roi-pooling": recipe.roi_pooling,
        "roi size": network.roi_size,
        "head stride": None if network.backbone.has_fixed_roi_size else recipe.head_stride,
    }


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _in_short(classes: Sequence[str]) -> str:
    """Return the classes of a detector in a few words."""
    named = f"{', '.join(classes[:NAMED])}{' ...' if len(classes) > NAMED else ''}"
    return f"{plural(len(classes), 'class')} ({named})"
