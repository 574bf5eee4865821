"""Crops of random area as torchvision's, AlexNet's colours, crops that grow, and JPEGs as Pillow reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data import folder
from resnets.data.decoding import EncodedImage, decode, pixels, single_views
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.normalization import fit_colors, fit_photos, std_of
from resnets.data.photos import area_crop_flip, as_tensor, random_part
from resnets.data.randomness import normals
from resnets.errors import DataError, UsageError
from resnets.specs import AreaCropFlip, InputSpec, Preprocessing, PrincipalColors, ScaleCropFlip

MakePhotos = Callable[..., Path]
CHANNEL = Preprocessing(mean="channel", std=True)


def photos_of(root: Path) -> ImageFiles:
    train = folder.load(root).train
    assert isinstance(train, ImageFiles)
    return train


@pytest.mark.parametrize("size", [(100, 100), (160, 90), (90, 160), (400, 50), (50, 400)])
def test_parts_are_drawn_as_torchvision_draws_them(size: tuple[int, int]) -> None:
    """The same distribution of areas, proportions and places, by their means; also where no attempt fits."""
    from torchvision.transforms import RandomResizedCrop

    how = AreaCropFlip()
    image = Image.new("L", size)
    random.seed(0)
    torch.manual_seed(0)
    ours = np.array([random_part(size, how) for _ in range(3000)], float)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, list(how.scale), list(how.ratio)) for _ in range(3000)], float
    )
    theirs = theirs[:, [1, 0, 3, 2]]  # top, left, height, width
    assert ours.mean(0) == pytest.approx(theirs.mean(0), abs=0.02 * max(size))
    assert ours.std(0) == pytest.approx(theirs.std(0), abs=0.02 * max(size))
    assert (ours[:, :2] >= 0).all() and (ours[:, :2] + ours[:, 2:] <= size).all()


def test_a_part_becomes_a_square(tmp_path: Path) -> None:
    """Any part is resized to the crop's size, or to a smaller one."""
    random.seed(0)
    Image.new("RGB", (300, 200), (9, 8, 7)).save(tmp_path / "a.png")
    how, input_spec = AreaCropFlip(crop=24), InputSpec(size=24, resize=28)
    view = area_crop_flip(EncodedImage(tmp_path / "a.png", 3), how, None, input_spec)
    assert view.shape == (24, 24, 3) and (view.numpy() == [9, 8, 7]).all()
    assert area_crop_flip(EncodedImage(tmp_path / "a.png", 3), how, 16, input_spec).shape == (16, 16, 3)


def test_a_part_is_resized_as_torchvision_resizes_it(tmp_path: Path) -> None:
    """The whole image of one that is already a square: Pillow's pixels to one grey level, mirrored by half."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    how = AreaCropFlip(crop=24, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    expected = np.asarray(Image.fromarray(noise).resize((24, 24), Image.Resampling.BILINEAR)).astype(int)
    mirrored = 0
    for seed in range(40):
        random.seed(seed)
        image = EncodedImage(tmp_path / "a.png", 3)
        view = area_crop_flip(image, how, None, InputSpec(size=24, resize=28)).numpy().astype(int)
        straight, turned = (np.abs(view - other).max() for other in (expected, expected[:, ::-1]))
        assert min(straight, turned) <= 1
        mirrored += turned <= 1
    assert 10 < mirrored < 30


def test_the_square_grows_in_steps_of_32() -> None:
    """Crops grow from the first to the last size between the declared shares."""
    how = AreaCropFlip(start_crop=128, resize_between=(0.25, 0.75))
    assert [how.size_at(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [128, 128, 192, 224, 224]
    assert {how.size_at(i / 1000) for i in range(1001)} == {128, 160, 192, 224}
    assert AreaCropFlip().size_at(0) == 224
    for size in (96, 160, 176):  # which are not a number of steps above where they begin: the last one is shorter
        assert AreaCropFlip(start_crop=128).at(size).size_at(1) == size


def test_other_sizes_are_in_proportion() -> None:
    """Growing crops begin, and tests are, at the same share of the whole."""
    assert ScaleCropFlip().at(112) == ScaleCropFlip(shortest=128, longest=240, crop=112)
    assert AreaCropFlip(start_crop=128).at(112) == AreaCropFlip(crop=112, resize=128, start_crop=64)


def test_mini_batches_grow_with_the_training(photo_folder: Path) -> None:
    """Batches have the crop size of the training's progress, which a mean of each pixel does not allow."""
    train = photos_of(photo_folder)
    how = AreaCropFlip(crop=64, resize=72, start_crop=32, resize_between=(0.25, 0.75))
    input_spec = fit_photos(train.paths, CHANNEL, size=64, resize=72)

    def sizes(start: int, workers: int) -> list[int]:
        batches = train.training_batches(input_spec, how, Batching(batch_size=5, seed=0, workers=workers, iterations=8))
        return [images.shape[-1] for images, _ in batches.batches(start, 8)]

    assert sizes(0, 2) == [32, 32, 32, 32, 32, 64, 64, 64]
    assert sizes(4, 0) == [32, 64, 64, 64]
    pixel = fit_photos(train.paths, Preprocessing(), size=64, resize=72)
    with pytest.raises(UsageError):
        train.training_batches(pixel, how, Batching(batch_size=5, seed=0, iterations=8))


# ---------------------------------------------------------------- colours


def test_the_axes_are_those_of_the_training_images(photo_folder: Path) -> None:
    """Principal colours are the eigenvectors of the training pixels."""
    train = photos_of(photo_folder)
    found = fit_colors(train.paths, PrincipalColors(), size=24, resize=32)
    views = single_views(train.paths, InputSpec(size=24, resize=32)).reshape(-1, 3) / 255
    covariance = np.cov(views.T, bias=True)
    assert found.values is not None and found.vectors is not None
    values, vectors = np.array(found.values), np.array(found.vectors)
    assert (np.diff(values) <= 0).all()
    assert vectors.T @ np.diag(values) @ vectors == pytest.approx(covariance, abs=1e-5)
    assert found.std == 0.1


def test_a_photo_is_shifted_by_its_own_draw_in_each_epoch(photo_folder: Path) -> None:
    """All its pixels alike, along the axes, by N(0, 0.1 eigenvalue); the crop is the one without colours."""
    train = photos_of(photo_folder)
    colors = PrincipalColors(values=(3.0, 2.0, 0.0), vectors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    how = ScaleCropFlip(shortest=28, longest=40, crop=24)
    input_spec = fit_photos(train.paths, CHANNEL, size=24, resize=32)

    def images(colors: PrincipalColors | None, start: int = 0, workers: int = 0) -> torch.Tensor:
        augmentation = how.with_changes(colors=colors)
        batches = train.training_batches(input_spec, augmentation, Batching(batch_size=6, seed=4, workers=workers))
        return torch.cat([images for images, _ in batches.batches(start, 40)])

    coloured = images(colors)
    shift = coloured - images(None)
    assert (shift.amax((2, 3)) - shift.amin((2, 3))).max() < 1e-5
    std = std_of(input_spec)
    assert std is not None
    drawn = shift.mean((2, 3)).numpy() * std  # (240, 3)
    assert drawn.std(0) == pytest.approx([0.3, 0.2, 0.0], rel=0.15, abs=1e-6)
    assert abs(np.corrcoef(drawn[:, :2].T)[0, 1]) < 0.2
    assert len(np.unique(drawn[:, 0])) == 240  # another one for each photo and epoch
    assert torch.equal(images(colors, start=30, workers=2), coloured[180:])


def test_colours_are_in_the_scale_and_the_order_of_trained_weights(photo_folder: Path) -> None:
    """Weights that take BGR of 0 to 255, as Caffe's, are given the very shifts of an RGB image of 0 to 1."""
    train = photos_of(photo_folder)
    colors = PrincipalColors(values=(3.0, 2.0, 1.0), vectors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    how = ScaleCropFlip(shortest=28, longest=40, crop=24, colors=colors)

    def images(input_spec: InputSpec) -> torch.Tensor:
        batches = train.training_batches(input_spec, how, Batching(batch_size=6, seed=4))
        return torch.cat([images for images, _ in batches.batches(0, 4)])

    plain = InputSpec(size=24, resize=32)
    caffe = images(plain.with_changes(max_value=255, channel_order="BGR"))
    torch.testing.assert_close(caffe.flip(1) / 255, images(plain), rtol=0, atol=1e-5)


def test_axes_that_are_not_known_are_refused(photo_folder: Path) -> None:
    """Colour augmentation without fitted axes is an error."""
    train = photos_of(photo_folder)
    how = ScaleCropFlip(shortest=28, longest=40, crop=24, colors=PrincipalColors())
    input_spec = fit_photos(train.paths, CHANNEL, size=24, resize=32)
    with pytest.raises(UsageError):
        train.training_batches(input_spec, how, Batching(batch_size=6, seed=4))


def test_normal_numbers() -> None:
    """The numbers of samples are standard normal."""
    drawn = normals(np.arange(50_000, dtype=np.uint64), 3)
    assert drawn.shape == (50_000, 3) and np.isfinite(drawn).all()
    assert drawn.mean(0) == pytest.approx([0] * 3, abs=0.02)
    assert drawn.std(0) == pytest.approx([1] * 3, abs=0.02)
    assert (abs(drawn) > 1.96).mean() == pytest.approx(0.05, abs=0.005)
    assert np.corrcoef(drawn.T) == pytest.approx(np.eye(3), abs=0.02)


# ---------------------------------------------------------------- tensors


def same(path: Path, channels: int = 3) -> bool:
    """Tell whether a file decodes to the same pixels both ways."""
    expected = pixels(decode(path, channels))
    return np.array_equal(as_tensor(EncodedImage(path, channels)).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_the_same_pixels_as_a_tensor(tmp_path: Path, mode: str, orientation: int) -> None:
    """Grey and colour ones, of an odd size, turned any way."""
    noise = np.random.default_rng(0).integers(0, 256, (21, 34, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise).convert(mode).save(tmp_path / "a.jpg", quality=90, exif=exif)
    assert same(tmp_path / "a.jpg")
    assert same(tmp_path / "a.jpg", channels=1)


def test_what_is_no_plain_jpeg_is_the_same_as_a_tensor(tmp_path: Path) -> None:
    """CMYK and progressive JPEGs, a PNG whatever it is called, and a WebP."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 34, 3)).astype(np.uint8))
    noise.convert("CMYK").save(tmp_path / "cmyk.jpg")
    noise.save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    noise.save(tmp_path / "png.jpg", "PNG")
    noise.save(tmp_path / "a.webp")
    assert all(same(path) for path in tmp_path.iterdir())


def test_damage_is_the_same_error_as_a_tensor(tmp_path: Path) -> None:
    """A truncated JPEG, one of too many pixels, and what is no image."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "c.jpg").write_bytes(b"no image")
    at = content.index(b"\xff\xc0") + 5  # height and width in the header of the frame
    (tmp_path / "d.jpg").write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    for name in ("b.jpg", "c.jpg", "d.jpg", "e.jpg"):
        with pytest.raises(DataError) as expected:
            decode(tmp_path / name)
        with pytest.raises(DataError) as found:
            as_tensor(EncodedImage(tmp_path / name, 3))
        assert str(found.value) == str(expected.value)
