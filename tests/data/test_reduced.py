"""Large JPEGs decoded at 1/2, 1/4 or 1/8: never below what a crop needs, the same crop, and nearly its pixels."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import saved
from PIL import Image

from resnets.data import folder
from resnets.data.decoding import EncodedImage, pixels, single_view
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.photos import area_crop_flip, scale_crop_flip
from resnets.errors import UsageError
from resnets.evaluation.multi_view import photo_views
from resnets.specs import AreaCropFlip, InputSpec, Preprocessing, ScaleCropFlip, TestConfig
from resnets.training.recipes import RECIPES

EXACT = InputSpec(size=24, resize=32)
WAYS = (False, True)  # reduced or not
REDUCED = EXACT.with_changes(decode="reduced")


def smooth(width: int, height: int) -> Image.Image:
    """Return an image without fine detail, of which each part has its own colours."""
    spots = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("shorter", "size"), [(30, (80, 60)), (60, (160, 120)), (61, (320, 240)), (121, (640, 480))])
def test_the_shorter_side_keeps_twice_what_is_needed(tmp_path: Path, shorter: int, size: tuple[int, int]) -> None:
    """The smallest of the decoder's sizes that is not below it; what is no JPEG is decoded whole."""
    path = saved(tmp_path / "a.jpg", smooth(640, 480), "JPEG")
    assert EncodedImage(path, 3).decoded_for(shorter).image.size == size
    assert EncodedImage(path, 3).decoded_for(None).image.size == (640, 480)
    png = saved(tmp_path / "a.png", smooth(640, 480), "PNG")
    assert EncodedImage(png, 3).decoded_for(shorter).image.size == (640, 480)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_decoded_is_where_it_is_in_the_image(tmp_path: Path, orientation: int) -> None:
    """Sides that are no multiple of 8, turned in any way: a part of the reduced image is that part of the whole one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.jpg", smooth(645, 483), "JPEG", quality=95, exif=exif)
    width, height = EncodedImage(path, 3).size
    for box in ((0.0, 0.0, 320.0, 320.0), (width - 320.0, height - 320.0, width, height)):
        exact, reduced = (EncodedImage(path, 3).resized(box, (20, 20), "bilinear", reduced=way) for way in WAYS)
        assert np.abs(pixels(exact).astype(int) - pixels(reduced)).mean() < 1.5
    exact, reduced = (EncodedImage(path, 3).decoded_for(way).shorter_side(30, "bilinear") for way in (None, 30))
    assert exact.size == reduced.size and np.abs(pixels(exact).astype(int) - pixels(reduced)).mean() < 1.5


@pytest.mark.parametrize("how", [ScaleCropFlip(shortest=28, longest=60, crop=24), AreaCropFlip(crop=24, resize=32)])
def test_the_same_crop_is_drawn(tmp_path: Path, how: ScaleCropFlip | AreaCropFlip) -> None:
    """Place, size and mirroring are as of an exact decoding, and the pixels nearly; of a small image exactly."""
    large = saved(tmp_path / "large.jpg", smooth(800, 600), "JPEG", quality=95)
    small = saved(tmp_path / "small.jpg", smooth(40, 30), "JPEG", quality=95)

    def view(path: Path, input_spec: InputSpec, seed: int) -> NDArray[np.int64]:
        random.seed(seed)
        image = EncodedImage(path, 3)
        if isinstance(how, AreaCropFlip):
            return area_crop_flip(image, how, None, input_spec).numpy().astype(int)
        return scale_crop_flip(image, how, input_spec).astype(int)

    differences = [np.abs(view(large, EXACT, seed) - view(large, REDUCED, seed)).mean() for seed in range(20)]
    assert max(differences) < 3 and min(differences) > 0
    if isinstance(how, AreaCropFlip):
        assert all(np.array_equal(view(small, EXACT, seed), view(small, REDUCED, seed)) for seed in range(20))


def test_no_crop_is_enlarged(tmp_path: Path) -> None:
    """A part of a reduced image has twice the pixels of the crop or more, in both directions, whatever is drawn."""
    path = saved(tmp_path / "a.jpg", smooth(645, 483), "JPEG")
    draw = random.Random(0)
    for _ in range(200):
        size = draw.randint(20, 60), draw.randint(20, 60)
        width, height = draw.uniform(size[0], 645), draw.uniform(size[1], 483)
        scale = EncodedImage(path, 3).scale_of((0, 0, width, height), size)
        spare = min(width / size[0], height / size[1]) / scale
        assert spare >= 2 or scale == 1
        assert spare < 4 or scale == 8


def test_recipes_decode_exactly_unless_they_say_so() -> None:
    """The paper's recipes and its re-implementations are exact; the other way is a departure, and can be undone."""
    assert RECIPES.find("imagenet").preprocessing == Preprocessing() and Preprocessing().decode == "exact"
    reduced = RECIPES.find("imagenet").with_decoding("reduced")
    assert reduced.preprocessing is not None and reduced.preprocessing.decode == "reduced"
    assert len(reduced.departures) == len(RECIPES.find("imagenet").departures) + 1
    assert reduced.with_decoding("exact") == RECIPES.find("imagenet").with_decoding("exact") == RECIPES.find("imagenet")
    assert RECIPES.find("finetune").preprocessing == Preprocessing(mean="channel", std=True, decode="reduced")
    for recipe, name, match in (("imagenet", "fast", "'fast'"), ("cifar", "reduced", "'cifar'")):
        with pytest.raises(UsageError, match=match):
            RECIPES.find(recipe).with_decoding(name)


def test_tests_and_predictions_decode_as_the_training_did(tmp_path: Path) -> None:
    """The input specification says how: single views, the views of a protocol, and batches, by any worker."""
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            saved(tmp_path / split / name / "x.jpg", smooth(645, 483), "JPEG", quality=95)
    files = folder.load(tmp_path).train
    assert isinstance(files, ImageFiles)
    exact, reduced = (single_view(files.paths[0], spec) for spec in (EXACT, REDUCED))
    assert 0 < np.abs(exact.astype(int) - reduced).mean() < 3
    for _, (view,) in photo_views(files, REDUCED, TestConfig(protocol="center-crop"), workers=0):
        assert np.array_equal(view, reduced)
    fitted = files.fit_input(Preprocessing(mean="channel", decode="reduced"), AreaCropFlip(crop=24, resize=32))
    assert fitted.decode == "reduced" and files.fit_input(Preprocessing(), ScaleCropFlip()).decode == "exact"
    batches = [
        torch.cat(
            [images for images, _ in files.training_batches(spec, AreaCropFlip(crop=24, resize=32), how).batches(0, 3)]
        )
        for spec, how in (
            (fitted, Batching(batch_size=2, seed=0)),
            (fitted, Batching(batch_size=2, seed=0, workers=2)),
            (fitted.with_changes(decode="exact"), Batching(batch_size=2, seed=0)),
        )
    ]
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])
