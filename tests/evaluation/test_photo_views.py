"""The views of a photo: torchvision's five crops, and the whole image at each scale with its proportions kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from resnets.data import convention as conventions
from resnets.data import folder
from resnets.data.convention import Normalizer, normalize
from resnets.data.datasets import ImageFiles
from resnets.data.decoding import single_view
from resnets.data.views import five_crops, photo_views
from resnets.errors import DataError
from resnets.specs import HowTested, InputConvention, Preprocessing

CONVENTION = InputConvention(size=32, resize=36)


def _files(root: Path) -> ImageFiles:
    files = folder.load(root).test
    assert isinstance(files, ImageFiles)
    return files


@pytest.mark.parametrize("size", [(50, 36), (36, 51), (36, 36), (32, 32)])
def test_five_crops_are_torchvisions(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels)
    ours = [np.asarray(crop) for crop in five_crops(image, 32)]
    for one, other in zip(ours[:4], functional.five_crop(image, [32, 32])[:4], strict=True):
        assert (one == np.asarray(other)).all()
    left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
    assert (ours[4] == pixels[top : top + 32, left : left + 32]).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_last_of_the_five_crops_is_the_centre_crop(photo_folder: Path, workers: int) -> None:
    files = _files(photo_folder)
    crops = list(photo_views(files, CONVENTION, HowTested(protocol="ten-crop", flips=True), workers=workers))
    centres = photo_views(files, CONVENTION, HowTested(protocol="center-crop"), workers=workers)
    assert [number for number, _ in crops] == list(range(len(files)))
    for (number, five), (_, [centre]) in zip(crops, centres, strict=True):
        assert len(five) == 5
        assert (five[4] == centre).all()
        assert (centre == single_view(files.paths[number], CONVENTION)).all()


def test_whole_images_at_each_scale(photo_folder: Path) -> None:
    """48x40 photos: the shorter side is the scale, the longer one in proportion."""
    how = HowTested(protocol="dense-multi-scale", scales=(32, 40, 64))
    views = [each for _, each in photo_views(_files(photo_folder), CONVENTION, how, workers=0)]
    assert {tuple(view.shape for view in each) for each in views} == {((32, 38, 3), (40, 48, 3), (64, 77, 3))}


def test_a_damaged_file_is_named(photo_folder: Path) -> None:
    files = _files(photo_folder)
    files.paths[3].write_bytes(files.paths[3].read_bytes()[:200])
    for workers in (0, 2):
        with pytest.raises(DataError, match=rf"^{files.paths[3]}: cannot be decoded"):
            list(photo_views(files, CONVENTION, HowTested(protocol="ten-crop", flips=True), workers=workers))


def test_a_mean_image_is_stretched_over_larger_images(photo_folder: Path) -> None:
    """On images of its own size it is the mean of each pixel; on others it keeps its corners and its average."""
    train = folder.load(photo_folder).train
    assert isinstance(train, ImageFiles)
    convention = conventions.fit_photos(train, Preprocessing(mean="pixel"), size=32, resize=36)
    normalized = Normalizer(convention, torch.device("cpu"))
    own = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert (normalized(torch.from_numpy(own)).permute(0, 2, 3, 1).numpy() == normalize(own, convention)).all()
    black = normalized(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    mean = normalized(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert black.shape == (1, 3, 64, 96)
    torch.testing.assert_close(black[..., 0, 0], mean[..., 0, 0])
    torch.testing.assert_close(black.mean((2, 3)), mean.mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_a_channel_mean_is_the_same_everywhere() -> None:
    convention = CONVENTION.with_changes(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    images = Normalizer(convention, torch.device("cpu"))(torch.zeros(1, 40, 50, 3, dtype=torch.uint8))
    expected = torch.tensor([-0.2, -0.4, -0.6]).view(1, 3, 1, 1).expand(1, 3, 40, 50)
    torch.testing.assert_close(images, expected)
