"""Recipes of detectors by name: the paper's, and one for small data sets."""

from __future__ import annotations

from resnets.paper.detection_recipes import COCO, COCO_CONTEXT, DET, JOINT, SHARED, VOC, VOC_CONTEXT
from resnets.registry import Registry
from resnets.specs import Departure, DetectionRecipe

_COARSE = Departure("64 regions, of which conv5_1 sees 8x8", "a quarter of the time that conv5_x takes on a CPU")

SMALL = DetectionRecipe(
    name="small",
    source="the recipe voc, for a few hundred images of your own, on a CPU in an hour",
    iterations=4_000,
    batch_size=1,
    lr=0.002,
    milestones=(3_000,),  # in VOC's proportion
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    shorter_side=480,
    longest_side=800,
    frozen_stages=0,
    anchor_sizes=(32, 64, 128, 256),
    roi_size=8,
    regions_per_image=64,
    departures=(
        JOINT,
        *SHARED,
        Departure("4,000 iterations, lr 0.002", "a small data set, and backbones that have seen little as well"),
        Departure(
            "a shorter side of 480 pixels, anchors of 32 to 256", "the objects of small data sets are often small"
        ),
        _COARSE,
        Departure("all stages are trained", "these backbones may have seen nothing of the kind"),
    ),
)

MASKS = Departure(
    "masks by Mask R-CNN's head on conv5_x (He et al. 2017), with RoI align",
    "the paper claims the first place in COCO's segmentation and describes no method; the team's MNC of 2015 differs",
)
SOFT = Departure(
    "a mask's target has the share of each cell that the object covers",
    "Mask R-CNN has 0 or 1; shares, as in torchvision, place a border within a cell",
)

COCO_MASKS = COCO.with_changes(
    name="coco-masks",
    source="the recipe coco with masks by Mask R-CNN's head on conv5_x (He et al. 2017)",
    masks=True,
    roi_pooling="align",
    departures=(*COCO.departures, MASKS, SOFT),
)
SMALL_MASKS = SMALL.with_changes(
    name="small-masks",
    source="the recipe small with masks by Mask R-CNN's head on conv5_x (He et al. 2017)",
    masks=True,
    roi_pooling="align",
    roi_size=14,
    departures=(
        *(one for one in SMALL.departures if one is not _COARSE),
        Departure("64 regions", "half the time that conv5_x takes on a CPU"),
        MASKS,
        SOFT,
    ),
)

DETECTION_RECIPES: Registry[DetectionRecipe] = Registry(
    "recipe of detectors", VOC, COCO, VOC_CONTEXT, COCO_CONTEXT, DET, SMALL, COCO_MASKS, SMALL_MASKS
)


def default_recipe(protocol: str) -> DetectionRecipe:
    """Return the recipe for data that is scored by a protocol."""
    return {"coco": COCO, "ilsvrc": DET}.get(protocol, VOC)
