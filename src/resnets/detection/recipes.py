"""Recipes of detectors by name: the paper's, and one for small data sets."""

from __future__ import annotations

from resnets.errors import UsageError, nearest
from resnets.paper.detection_recipes import COCO, COCO_CONTEXT, JOINT, SHARED, VOC, VOC_CONTEXT
from resnets.paper.recipes import RECIPES
from resnets.specs import DetectionRecipe, Deviation, Recipe

SMALL = DetectionRecipe(
    name="small",
    source="the recipe voc, for a few hundred images of your own, on a CPU in an hour",
    iterations=4_000,
    batch_size=1,
    lr=0.002,
    milestones=(3_000,),  # in VOC's proportion
    factor=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    shorter_side=480,
    longest_side=800,
    frozen_stages=0,
    anchor_sizes=(32, 64, 128, 256),
    roi_size=8,
    regions_per_image=64,
    deviations=(
        JOINT,
        *SHARED,
        Deviation("4,000 iterations, lr 0.002", "a small data set, and backbones that have seen little as well"),
        Deviation(
            "a shorter side of 480 pixels, anchors of 32 to 256", "the objects of small data sets are often small"
        ),
        Deviation("64 regions, of which conv5_1 sees 8x8", "a quarter of the time that conv5_x takes on a CPU"),
        Deviation("all stages are trained", "these backbones may have seen nothing of the kind"),
    ),
)

DETECTION_RECIPES: dict[str, DetectionRecipe] = {
    recipe.name: recipe for recipe in (VOC, COCO, VOC_CONTEXT, COCO_CONTEXT, SMALL)
}

ALL_RECIPES: dict[str, Recipe] = {**RECIPES, **DETECTION_RECIPES}
"""Those of classifiers and of detectors, no two of the same name."""


def find(name: str) -> DetectionRecipe:
    """Return a detector's recipe by its name.

    Raises: UsageError, naming the nearest ones, if there is none.
    """
    if name not in DETECTION_RECIPES:
        known = ", ".join(DETECTION_RECIPES)
        raise UsageError(f"unknown recipe {name!r} of a detector{nearest(name, DETECTION_RECIPES)}; known: {known}")
    return DETECTION_RECIPES[name]


def default_recipe(protocol: str) -> DetectionRecipe:
    """Return the recipe for data that is scored by a protocol."""
    return COCO if protocol == "coco" else VOC
