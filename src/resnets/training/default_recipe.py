"""The recipe and the length of a training where none is named: by the images, their number and the start."""

from __future__ import annotations

from resnets.data.splits import DataSplits, Split
from resnets.paper.recipes import CIFAR, IMAGENET
from resnets.specs import AreaCropFlip, Departure, PadCropFlip, Recipe
from resnets.training.recipes import DIGITS, FAST, FINETUNE, RECIPES, SCRATCH

EPOCHS, OF_IMAGES = 20.0, 1_000  # of fine-tuning; half as many for eight times as many images
LEAST_EPOCHS, LEAST_SEEN = 5.0, 6_400  # and images that are seen in all, however few there are
FROM_SCRATCH = 6  # times as long
TINY = 16  # pixels of a side, below which images are as the digits


def epochs_for(images: int, *, fine_tuned: bool) -> float:
    """Return the default length in epochs of a training on a number of images, from trained weights or random ones."""
    epochs = max(EPOCHS * (OF_IMAGES / images) ** (1 / 3), LEAST_EPOCHS, LEAST_SEEN / images)
    return epochs if fine_tuned else FROM_SCRATCH * epochs


def recipe_of_kind(train: Split) -> Recipe:
    """Return the paper's recipe for a kind of images: photos, digits, or else small images as CIFAR's."""
    if train.kind == "photos":
        return IMAGENET
    return DIGITS if _are_tiny(train) else CIFAR


def default_recipe(splits: DataSplits, *, fine_tuned: bool = False) -> Recipe:
    """Return the recipe for data: for what is published the paper's, for your own images one for any number of them."""
    if fine_tuned:
        return FINETUNE
    if splits.published:
        return recipe_of_kind(splits.train)
    return FAST if splits.train.kind == "arrays" else SCRATCH


def choose(
    named: str | Recipe | None, splits: DataSplits, images: int, *, fine_tuned: bool
) -> tuple[Recipe, float | None]:
    """Return the recipe for data, and its length in epochs where that follows the number of images, else None.

    `named` is a recipe or its name; None is the default one. A recipe that is given as an object keeps its length.

    Raises: UsageError, if there is no such recipe.
    """
    recipe = RECIPES.find(named) if isinstance(named, str) else named or default_recipe(splits, fine_tuned=fine_tuned)
    of_any_number = (FINETUNE, SCRATCH, FAST) if named is None else (FINETUNE, SCRATCH)
    follows = not isinstance(named, Recipe) and recipe in of_any_number
    epochs = epochs_for(images, fine_tuned=recipe is FINETUNE) if follows else None
    return _fitted(recipe, splits.train), epochs


def _fitted(recipe: Recipe, train: Split) -> Recipe:
    """Return a recipe for images of any size with the augmentation that small ones need; a changed one is kept."""
    unchanged = [(one.name, one.augmentation) for one in (FINETUNE, FAST)]
    if train.kind != "arrays" or (recipe.name, recipe.augmentation) not in unchanged:
        return recipe
    augmentation = recipe.augmentation
    if _are_tiny(train):
        augmentation = DIGITS.augmentation
    elif isinstance(augmentation, AreaCropFlip):
        augmentation = PadCropFlip(pad=4, flip=True)
    if augmentation == recipe.augmentation:
        return recipe
    what = "padding of 1 and no mirror images" if _are_tiny(train) else "padding of 4 and mirror images, as for CIFAR"
    smaller = Departure(what, "the images are small, and of one size")
    return recipe.with_changes(augmentation=augmentation, departures=(*recipe.departures, smaller))


def _are_tiny(train: Split) -> bool:
    return train.kind == "arrays" and train.side is not None and train.side < TINY
