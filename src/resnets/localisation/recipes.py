"""Recipes of localisers by name: the paper's, and two for small data sets; and the recipes of all tasks."""

from __future__ import annotations

from typing import Any

from resnets.detection.recipes import DETECTION_RECIPES
from resnets.errors import calling_module, public
from resnets.paper.localisation_recipes import ANCHORS, CROPS, IMAGENET_RCNN, IMAGENET_RPN, ONCE, OPEN, READING
from resnets.registry import Registry
from resnets.specs import (
    Departure,
    DetectionRecipe,
    LocalisationRecipe,
    LocalisationStage,
    Preprocessing,
    Recipe,
    ScaleCropFlip,
)
from resnets.training.recipes import RECIPES

_SMALL = (
    Departure("4,000 iterations of 32 images, weight decay of 5e-4", "small data sets, on a CPU"),
    Departure(
        "crops of 112 pixels out of a shorter side of 112 to 160",
        "a quarter of the time; small images, which their objects nearly fill",
    ),
    Departure("dense tests at shorter sides of 112, 128 and 160 pixels", "in proportion to the crops, and fewer"),
    Departure("channel mean and standard deviation, no colour augmentation", "as in other small recipes"),
)

SMALL_RPN = LocalisationRecipe(
    name="small-rpn",
    source="the recipe imagenet-rpn, for a few thousand small images of your own, on a CPU in an hour",
    iterations=4_000,
    batch_size=32,
    lr=0.01,
    milestones=(2_667,),  # in proportion
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    preprocessing=Preprocessing(mean="channel", std=True),
    augmentation=ScaleCropFlip(shortest=112, longest=160, crop=112),
    anchor_sizes=(32, 64, 112),
    box_weight=5.0,
    anchors_per_image=32,
    anchor_positive=0.6,
    anchor_negative=0.5,
    proposals=100,
    context=8,
    scales=(112, 128, 160),
    departures=(
        ANCHORS.with_changes(what=ANCHORS.what.replace("64, 128 and 224", "32, 64 and 112")),
        CROPS,
        *OPEN,
        *_SMALL,
        Departure(
            "the box loss counts five times", "the classifier that it starts from knows the classes, and no boxes"
        ),
        Departure("32 anchors of each image", "8 teach too little in so short a training"),
        Departure(
            "anchors positive from IoU 0.6, negative below 0.5",
            "[32] learns nothing of those from 0.3 to 0.7: after a short training they win by chance, with any box",
        ),
    ),
)

SMALL_RCNN = SMALL_RPN.with_changes(
    name="small-rcnn",
    source="the recipe imagenet-rcnn, for a few thousand small images of your own, on a CPU in an hour",
    stage="rcnn",
    batch_size=128,
    box_weight=1.0,
    context=24,
    departures=(
        *OPEN,
        *_SMALL,
        READING.with_changes(what="4 regions of each of 32 images per iteration"),
        ONCE.with_changes(what=ONCE.what.replace("200", "100")),
        Departure(
            "24 pixels around a region of 112", "after a short training a region's inside says little of its border"
        ),
    ),
)

LOCALISATION_RECIPES: Registry[LocalisationRecipe] = Registry(
    "recipe of localisers", IMAGENET_RPN, IMAGENET_RCNN, SMALL_RPN, SMALL_RCNN
)


def default_recipe(stage: LocalisationStage) -> LocalisationRecipe:
    """Return the paper's recipe of a stage."""
    return IMAGENET_RPN if stage == "rpn" else IMAGENET_RCNN


# ---------------------------------------------------------------- of all tasks


def _registry_of(recipe: Recipe) -> Registry[Any]:
    if isinstance(recipe, LocalisationRecipe):
        return LOCALISATION_RECIPES
    return DETECTION_RECIPES if isinstance(recipe, DetectionRecipe) else RECIPES


def all_recipes() -> dict[str, Recipe]:
    """Return the recipes of classifiers, detectors and localisers by their names, no two of the same."""
    return {recipe.name: recipe for recipe in (*RECIPES, *DETECTION_RECIPES, *LOCALISATION_RECIPES)}


@public
def find_recipe(name: str) -> Recipe:
    """Return a recipe of any task by its name, for example to change it with `with_changes`.

    Raises: UsageError, naming the nearest ones, if there is none.
    """
    return Registry("recipe", *all_recipes().values()).find(name)


@public
def list_recipes() -> list[Recipe]:
    """Return all recipes; those of detectors are `DetectionRecipe`, of localisers `LocalisationRecipe`."""
    return list(all_recipes().values())


@public
def register_recipe(recipe: Recipe) -> None:
    """Register a recipe of classifiers, a `DetectionRecipe` or a `LocalisationRecipe`: its name is then known.

    Raises: UsageError, if the name is taken.
    """
    own = _registry_of(recipe)
    for other in (RECIPES, DETECTION_RECIPES, LOCALISATION_RECIPES):
        if other is not own:
            other.require_free(recipe.name)
    own.add(recipe, calling_module())
