"""Detectors that start from other detectors. Paper: appendix B, where the model of COCO is fine-tuned on VOC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resnets.detection.annotations import in_short
from resnets.detection.detector import Detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.errors import WeightsError, warn
from resnets.networks import registry
from resnets.quantities import plural
from resnets.specs import DetectionRecipe
from resnets.weights.weights_file import load_into

BY_CLASS = {
    "regions.box_predictor.cls_score": 1,
    "regions.box_predictor.bbox_pred": 1,
    "regions.mask_predictor.mask_fcn_logits": 0,
}
"""The layers that have rows for each class, and how many before them: the background's, which has no mask."""


def fine_tuned(other: Detector, name: str, classes: Sequence[str], recipe: DetectionRecipe) -> FasterRCNN:
    """Return a detector that starts from another; with other classes its sibling layers are new, and a warning says so.

    So are the layers of masks, where only the new one has them; where only the other has them, they are left out.
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
    tensors, same = other.network.state_dict(), set(classes) == set(other.classes)

    def started(name: str, fresh: Tensor) -> Tensor:
        before = next((rows for layer, rows in BY_CLASS.items() if name.startswith(layer)), None)
        if name not in tensors or (before is not None and not same):
            return fresh
        if before is None:
            return tensors[name]
        rows = torch.tensor([*range(before), *(before + other.classes.index(one) for one in classes)])
        return tensors[name].unflatten(0, (len(rows), -1))[rows].flatten(0, 1)

    if not same:
        warn(
            f"{other.path} knows {_counted(other.classes)}, and the data has {_counted(classes)}: the layers that "
            "classify regions, refine their boxes and draw their masks are new"
        )
    if recipe.masks and not other.network.recipe.masks:
        warn(f"{other.path} has no masks: their layers are new")
    load_into(network, {name: started(name, fresh) for name, fresh in network.state_dict().items()})
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
        "rounded anchors": recipe.rounded_anchors,
        "context": recipe.global_context,
        "roi-pooling": recipe.roi_pooling,
        "roi size": network.roi_size,
        "head stride": None if network.backbone.has_fixed_roi_size else recipe.head_stride,
    }


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _counted(classes: Sequence[str]) -> str:
    return f"{plural(len(classes), 'class')} ({in_short(classes)})"
