"""The recipe and the length where none is named: by the images, their number, the network and the start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import resnets
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.records.base import read
from resnets.records.runs import RunRecord
from resnets.specs import REDUCED, PadCropFlip, Recipe
from resnets.training.config import TrainingConfig, resolve
from resnets.training.default_recipe import epochs_for


@pytest.mark.parametrize(
    ("images", "fine_tuning", "from_scratch"),
    [
        (100, 64, 384),
        (1_000, 20, 120),
        (8_000, 10, 60),
        (10_000, 9.3, 55.7),
        (100_000, 5, 30),
        (1_281_167, 5, 30),
    ],
)
def test_the_length_follows_the_number_of_images(images: int, fine_tuning: float, from_scratch: float) -> None:
    """The table of docs/training.md, in epochs; eight times as many images are half as many epochs."""
    assert epochs_for(images, fine_tuned=True) == pytest.approx(fine_tuning, rel=0.01)
    assert epochs_for(images, fine_tuned=False) == pytest.approx(from_scratch, rel=0.01)


def arrays(images: int, side: int, *, published: bool = False) -> DataSplits:
    split = resnets.ImageArrays(np.zeros((images, side, side, 3), np.uint8), np.arange(images) % 2)
    return DataSplits(name="own", train=split, test=split, classes=("a", "b"), published=published)


def tensors(images: int) -> DataSplits:
    dataset = TensorDataset(torch.zeros(images, 3, 32, 32), torch.arange(images) % 2)
    return DataSplits(name="own", train=dataset, test=dataset, classes=("a", "b"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("splits", "settings", "name", "iterations"),
    [
        (arrays(1_000, 32), {}, "fast", 120 * 1_000 // 128 + 1),
        (tensors(1_000), {}, "scratch", 120 * 1_000 // 64),
        (arrays(1_000, 32), {"weights": "a run"}, "finetune", 312),
        (tensors(1_000), {"weights": "a run"}, "finetune", 312),
        (tensors(1_000), {"weights": "a run", "recipe_changes": {"batch_size": 32}}, "finetune", 625),
        (arrays(1_000, 32, published=True), {}, "cifar", 64_000),
        (arrays(1_000, 8, published=True), {}, "digits", 200),
        (arrays(1_000, 32, published=True), {"weights": "a run"}, "finetune", 312),
        (arrays(1_000, 32), {"recipe": "fast"}, "fast", 14_063),
        (tensors(1_000), {"recipe": "scratch"}, "scratch", 120 * 1_000 // 64),
        (tensors(1_000), {"recipe": "imagenet"}, "imagenet", 600_000),
        (tensors(1_000), {"recipe": "scratch", "epochs": 1.0}, "scratch", 16),
        (tensors(1_000), {"recipe": resnets.find_recipe("scratch").scaled(7)}, "scratch", 7),
        (tensors(1_000), {"recipe": resnets.find_recipe("scratch")}, "scratch", 8_703),
        (tensors(1_000), {"weights": "a run", "recipe": resnets.find_recipe("finetune")}, "finetune", 1_450),
    ],
)
def test_the_default_recipe(splits: DataSplits, settings: dict[str, object], name: str, iterations: int) -> None:
    """Your own images by `finetune`, `fast` or `scratch`, as long as their number suggests; what is named is kept."""
    recipe = TrainingConfig(**settings).resolve_recipe(splits)  # type: ignore[arg-type]
    assert (recipe.name, recipe.iterations) == (name, iterations)


@pytest.mark.parametrize("setting", [{"size": 64}, {"decode": "reduced"}])
def test_tensors_are_neither_cropped_nor_decoded(setting: dict[str, object]) -> None:
    """A dataset object gives its images ready: settings that would do nothing are refused, and no recipe lists them."""
    with pytest.raises(UsageError, match=f"{next(iter(setting))} is"):
        TrainingConfig(**setting).resolve_recipe(tensors(10))  # type: ignore[arg-type]
    resolved = resolve("resnet8", tensors(10), TrainingConfig(device="cpu")).recipe
    assert resolved.name == "scratch" and REDUCED not in resolved.departures


def test_files_are_trained_from_scratch(photo_folder: Path) -> None:
    """Photos of your own never mean the paper's 600,000 iterations; ImageNet's do."""
    own = resnets.load_data(f"folder:{photo_folder}")
    published = dataclasses.replace(own, published=True)
    names = [TrainingConfig().resolve_recipe(splits).name for splits in (own, published)]
    assert names == ["scratch", "imagenet"]


def test_an_estimate_is_for_all_images(photo_folder: Path) -> None:
    """A plan resolves a sample of the images, and the length is that of their whole number."""
    sample = resnets.load_data(f"folder:{photo_folder}")
    assert TrainingConfig().resolve_recipe(sample, images=1_000).iterations == 1_875


def test_points_that_find_plateaus_stay() -> None:
    """Another number of iterations between tests would change the learning rates, so it is refused."""
    changes = {"evaluate_every": 100}
    assert TrainingConfig(recipe="imagenet", recipe_changes=changes).resolve_recipe(tensors(10)).evaluate_every == 100
    assert TrainingConfig(recipe="imagenet-plateau").resolve_recipe(tensors(10)).evaluate_every == 5_000
    with pytest.raises(UsageError, match="evaluate_every is 100, and recipe 'imagenet-plateau' .* 5000 iterations"):
        TrainingConfig(recipe="imagenet-plateau", recipe_changes=changes).resolve_recipe(tensors(10))


@pytest.mark.parametrize("weights", [None, "a run"])
def test_tiny_images_are_not_mirrored(weights: str | None) -> None:
    """Images of 8 pixels are padded by one and kept as they are, which the departures say."""
    recipe: Recipe = TrainingConfig(weights=weights).resolve_recipe(arrays(10, 8))
    assert recipe.augmentation == PadCropFlip(pad=1, flip=False)
    assert "mirror" in recipe.departures[-1].what


@pytest.mark.parametrize(("name", "side"), [("finetune", 32), ("finetune", 8), ("fast", 8)])
def test_a_changed_augmentation_is_kept(name: str, side: int) -> None:
    """Of a recipe that is given as an object; what else is changed leaves the augmentation that small images need."""
    own = PadCropFlip(pad=3, flip=False)
    recipe = resnets.find_recipe(name)
    changed, other = recipe.with_changes(augmentation=own), recipe.with_changes(lr=0.03)
    kept, fitted = (TrainingConfig(recipe=one).resolve_recipe(arrays(10, side)) for one in (changed, other))
    assert (kept.augmentation, kept.departures) == (own, recipe.departures)
    assert fitted.augmentation != recipe.augmentation


def test_fine_tuning_learns(tiny_splits: DataSplits, digits_run: Path, tmp_path: Path) -> None:
    """With weights and nothing else, 96 images of other classes and channels are learned in the default length."""
    result = resnets.train("resnet8", tiny_splits, weights=digits_run, device="cpu", workers=0, out=tmp_path / "run")
    record = read(tmp_path / "run" / "run.json", RunRecord)
    assert record is not None and (record.recipe.name, result.iterations) == ("finetune", 100)
    assert result.test_error < 10
