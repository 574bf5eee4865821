"""The network of a training fits its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import resnets
from resnets.data.arrays import ImageArrays
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.specs import AreaCropFlip
from resnets.training.config import TrainingConfig, resolve
from resnets.weights import weights_file

GROWING = {"recipe": "imagenet-fast", "size": 48, "iterations": 1, "batch_size": 4, "workers": 0, "device": "cpu"}
"""Settings by which crops grow from 27 to 48 pixels."""


def first_side(network: str, photos: Path, **settings: Any) -> int:
    """Return the side of the first crops of a training on photos."""
    crops = resolve(
        network, f"folder:{photos}", TrainingConfig.from_settings(**GROWING, **settings)
    ).recipe.augmentation
    assert isinstance(crops, AreaCropFlip)
    return crops.size_at(0)


@pytest.mark.parametrize(("name", "size", "least"), [("maxout", 4, 8), ("nin", 2, 4), ("highway19", 2, 4)])
def test_images_must_not_be_too_small(tmp_path: Path, name: str, size: int, least: int) -> None:
    """Those that a network's layers leave nothing of are an error that names both sizes, and nothing is written."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, size, size, 3), np.uint8)
    images = ImageArrays(pixels, np.arange(20) % 2)
    data = resnets.DataSplits(name="tiny", train=images, test=images, classes=("a", "b"))
    with pytest.raises(UsageError, match=f"{least} x {least} pixels or more; .* {size} x {size}"):
        resnets.train(name, data, recipe="cifar", iterations=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.* is made for photos")
def test_growing_crops_start_at_the_least_size(photo_folder: Path, tmp_path: Path) -> None:
    """Of the network and of its teacher; where both take smaller ones they start in proportion."""
    assert first_side("resnet18", photo_folder) == 27
    assert first_side("googlenet", photo_folder) == 32
    teacher = tmp_path / "teacher.safetensors"
    network = registry.create("googlenet", num_classes=3)
    weights_file.save(teacher, network, classes=resnets.load_data(f"folder:{photo_folder}").classes, input_spec=None)
    assert first_side("resnet18", photo_folder, teacher=teacher) == 32


def test_a_custom_module_is_tried_on_the_first_crops(photo_folder: Path, tmp_path: Path) -> None:
    """One that takes those of the full size alone is refused, and nothing is written."""
    network = nn.Sequential(nn.Conv2d(3, 4, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 3)
    with pytest.raises(UsageError, match="3 x 27 x 27"):
        resnets.train(network, f"folder:{photo_folder}", out=tmp_path / "run", **GROWING)
    assert not (tmp_path / "run").exists()
