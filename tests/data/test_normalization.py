"""The input specification: statistics of the training images, exact after a trip through files, applied as declared."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from resnets.data import folder
from resnets.data.arrays import ImageArrays
from resnets.data.crop_flip import CropFlip, crop_flip
from resnets.data.decoding import single_view
from resnets.data.image_files import ImageFiles
from resnets.data.normalization import (
    Normalizer,
    fit,
    fit_photos,
    mean_of,
    normalize,
    std_of,
    transferred,
    whitening_of,
)
from resnets.data.splits import DataSplits
from resnets.errors import DataError, UsageError
from resnets.records.headers import ClassifierHeader
from resnets.specs import InputSpec, PadCropFlip, Preprocessing
from resnets.training import recipes
from resnets.weights.tensor_file import read_tensors, write_tensors

CPU = torch.device("cpu")
PIXEL, CHANNEL = Preprocessing(), Preprocessing(mean="channel", std=True)


def images_of(count: int, size: int = 8, channels: int = 3) -> ImageArrays:
    generator = np.random.default_rng(0)
    return ImageArrays(generator.integers(0, 256, (count, size, size, channels), np.uint8), np.zeros(count, np.int64))


def restored(data: dict[str, Any]) -> InputSpec:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return InputSpec(**fields)


@pytest.mark.data
def test_the_statistics_of_cifar10_are_the_known_ones(cifar10: DataSplits) -> None:
    """Not the often copied std 0.2023 0.1994 0.2010, which is a mean over images."""
    train = cifar10.train
    assert isinstance(train, ImageArrays)
    input_spec = fit(train.images, CHANNEL)
    assert input_spec.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=5e-5)
    assert input_spec.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=5e-5)
    image = mean_of(fit(train.images, PIXEL))
    assert image.shape == (32, 32, 3)
    assert image.mean(axis=(0, 1)) == pytest.approx((0.4914, 0.4822, 0.4465), abs=5e-5)


@pytest.mark.parametrize("count", [1, 999, 2500])
def test_the_statistics_are_numpys(count: int) -> None:
    """They are summed in parts; the parts make no difference."""
    train = images_of(count)
    scaled = train.images / 255
    assert mean_of(fit(train.images, PIXEL)) == pytest.approx(scaled.mean(axis=0), abs=1e-7)
    input_spec = fit(train.images, CHANNEL)
    assert input_spec.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)), abs=1e-12)
    assert input_spec.std == pytest.approx(scaled.std(axis=(0, 1, 2)), abs=1e-12)
    assert fit(train.images, Preprocessing()).std is None


def test_grey_images_have_one_channel() -> None:
    """Mean and deviation have one number each."""
    input_spec = fit(images_of(10, channels=1).images, CHANNEL)
    assert input_spec.channels == len(input_spec.mean or ()) == len(input_spec.std or ()) == 1


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_channel_that_never_changes_is_shifted_and_not_divided_by_zero(value: int) -> None:
    """A constant channel has a deviation of 1."""
    train = images_of(50)
    train.images[..., 1] = value
    input_spec = fit(train.images, CHANNEL)
    assert (input_spec.std or ())[1] == 1.0
    assert abs(normalize(train.images, input_spec)[..., 1]).max() < 1e-6


def test_images_that_are_not_square_are_refused() -> None:
    """Arrays that are not square are an error with their size."""
    with pytest.raises(DataError, match="8 x 6 pixels"):
        fit(np.zeros((2, 8, 6, 3), np.uint8), PIXEL)


@pytest.mark.parametrize("preprocessing", [PIXEL, CHANNEL, Preprocessing(std=True)])
def test_json_and_a_weights_files_header_keep_it_exactly(preprocessing: Preprocessing, tmp_path: Path) -> None:
    """The mean belongs to the trained model: it comes back bit for bit."""
    input_spec = fit(images_of(100).images, preprocessing)
    as_json = restored(json.loads(json.dumps(msgspec.to_builtins(input_spec))))
    write_tensors(tmp_path / "w.safetensors", {"x": torch.zeros(1)}, ClassifierHeader(input=input_spec))
    in_header = read_tensors(tmp_path / "w.safetensors")[1].input
    assert as_json == in_header == input_spec
    assert mean_of(in_header).tobytes() == mean_of(input_spec).tobytes()


def test_normalize_does_what_the_declaration_says() -> None:
    """Pixels are divided by 255, the mean subtracted, and divided by the deviation."""
    input_spec = InputSpec(size=2, resize=2, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    image = np.array([[[[0, 255, 51]] * 2] * 2], np.uint8)
    assert normalize(image, input_spec)[0, 0, 0] == pytest.approx([-1.0, 3.0, 0.1])
    assert image.dtype == np.uint8
    assert normalize(image, InputSpec(size=2, resize=2))[0, 0, 0] == pytest.approx([0.0, 1.0, 0.2])


@pytest.mark.parametrize("image", [False, True])
def test_bgr_of_0_to_255_is_in_the_networks_own_order_and_scale(image: bool) -> None:
    """As in Caffe: blue first, bytes as they are, and a mean in that order."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (3, 4, 4, 3), np.uint8)
    means = generator.uniform(90, 130, (4, 4, 3)).astype(np.float32)
    input_spec = InputSpec(
        size=4,
        resize=4,
        max_value=255,
        channel_order="BGR",
        mean=None if image else (103.0, 115.0, 123.0),
        mean_image=base64.b64encode(means.tobytes()).decode() if image else None,
        std=(1.0, 2.0, 4.0),
    )
    by_hand = (pixels[..., [2, 1, 0]].astype(np.float32) - (means if image else (103, 115, 123))) / (1, 2, 4)
    assert normalize(pixels, input_spec) == pytest.approx(by_hand, abs=1e-4)
    torch.from_numpy(normalize(pixels, input_spec))  # which takes no array that runs backwards
    on_device = Normalizer(input_spec, torch.device("cpu"))(torch.from_numpy(pixels))
    assert on_device.permute(0, 2, 3, 1).numpy() == pytest.approx(by_hand, abs=1e-4)
    trained_on = CropFlip(pixels, PadCropFlip(pad=0, flip=False), input_spec, seed=0)
    batch = trained_on(np.zeros(3, np.int64), np.arange(3))
    assert batch.permute(0, 2, 3, 1).numpy() == pytest.approx(by_hand, abs=1e-4)


CONTRAST = Preprocessing(contrast=2.0)
WHITE = Preprocessing(contrast=2.0, whitening=0.1)


@pytest.mark.parametrize("value", [-1.0, 0.0, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["contrast", "whitening"])
def test_what_no_image_can_be_given_is_refused(name: str, value: float) -> None:
    """A contrast and a whitening are positive numbers, when they are made and when they are changed."""
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        Preprocessing(**{name: value})
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        WHITE.with_changes(**{name: value})


def test_contrast_is_normalised_for_each_image() -> None:
    """To mean 0 and the standard deviation, whatever its brightness and contrast; one colour becomes 0."""
    dim = np.random.default_rng(0).integers(0, 100, (5, 6, 6, 3), np.uint8)
    dim[4] = 77
    bright = 2 * dim + 10
    input_spec = fit(dim, CONTRAST).with_changes(mean_image=None, mean=(0.0, 0.0, 0.0))
    found = normalize(dim, input_spec)
    assert found.std(axis=(1, 2, 3)) == pytest.approx([2, 2, 2, 2, 0], abs=1e-5)
    assert input_spec.contrast == 2
    assert found.mean(axis=(1, 2, 3)) == pytest.approx(np.zeros(5), abs=1e-5)
    assert normalize(bright.astype(np.uint8), input_spec) == pytest.approx(found, abs=1e-3)
    by_hand = dim[0] - dim[0].mean()
    assert found[0] == pytest.approx(2 * 108**0.5 * by_hand / np.linalg.norm(by_hand), abs=1e-4)


@pytest.mark.parametrize("size", [4, 16])
def test_contrast_is_the_same_at_every_size(size: int) -> None:
    """Weights used at another size, there or only in a test or for growing crops, see its images as their own."""
    trained = fit(images_of(20, size=8).images, CONTRAST.with_changes(mean="channel")).with_changes(
        mean=(0.0, 0.0, 0.0)
    )
    images = images_of(3, size=size).images
    other = transferred(trained, fit(images, PIXEL))
    assert normalize(images, other).std(axis=(1, 2, 3)) == pytest.approx([2, 2, 2], abs=1e-4)
    for input_spec in (trained, other):
        found = Normalizer(input_spec, CPU)(torch.from_numpy(images))
        assert found.numpy().std(axis=(1, 2, 3)) == pytest.approx([2, 2, 2], abs=1e-4)


def test_the_authors_norm_is_of_small_images() -> None:
    """With their recipes' contrast a colour image of 32x32 has the norm 55, as in their files."""
    images = images_of(3, size=32).images
    assert recipes.RECIPES.find("authors-dsn").preprocessing.contrast == pytest.approx(55 / 3_072**0.5)
    input_spec = fit(images, recipes.RECIPES.find("authors-dsn").preprocessing).with_changes(mean_image=None)
    assert np.linalg.norm(normalize(images, input_spec).reshape(3, -1), axis=1) == pytest.approx([55, 55, 55], rel=1e-5)


@pytest.mark.parametrize("changes", [{}, {"mean": "channel"}, {"std": True}, {"contrast": None}])
def test_whitening_decorrelates_the_training_images(changes: dict[str, Any]) -> None:
    """The covariance of what the network is given, with what was added to the variances, is unity; it is symmetric."""
    images = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 3), np.uint8)
    images[:, 1:] = images[:, :1] // 2 + images[:, 1:] // 2  # rows that depend on each other
    preprocessing = WHITE.with_changes(**changes)
    input_spec = fit(images, preprocessing)
    matrix = whitening_of(input_spec)
    assert matrix is not None and np.array_equal(matrix, matrix.T)
    unwhitened = normalize(images, input_spec.with_changes(whitening=None)).reshape(400, -1).astype(np.float64)
    centre = unwhitened.mean(axis=0) if preprocessing.mean == "pixel" else 0
    covariance = (unwhitened - centre).T @ (unwhitened - centre) / 400 + 0.1 * np.identity(48)
    assert matrix @ covariance @ matrix == pytest.approx(np.identity(48), abs=2e-3)
    assert normalize(images, input_spec).reshape(400, -1) == pytest.approx(unwhitened @ matrix, abs=1e-3)


@pytest.mark.parametrize("preprocessing", [CONTRAST, WHITE, WHITE.with_changes(std=True)])
def test_whole_images_are_normalised_alike_everywhere(preprocessing: Preprocessing) -> None:
    """For tests, on a device, and for training, where the padding is zero after it, and mirror images come after it."""
    images = np.random.default_rng(1).integers(0, 256, (12, 5, 5, 3), np.uint8)
    input_spec = fit(images, preprocessing)
    expected = torch.from_numpy(normalize(images, input_spec)).permute(0, 3, 1, 2)
    torch.testing.assert_close(Normalizer(input_spec, CPU)(torch.from_numpy(images)), expected, atol=1e-4, rtol=1e-4)
    augmentation = PadCropFlip(pad=2, flip=True)
    epochs, samples = np.arange(12) % 3, np.arange(12)
    for device in (None, CPU):
        source = crop_flip(images, augmentation, input_spec, 7, device)
        found = source(epochs, samples)
        _, mirror, top, left = source.draw(epochs, samples)
        assert set(mirror) == {0, 1} and len(set(top)) > 1
        for number in range(12):
            whole = expected[samples[number]]
            padded = torch.nn.functional.pad(whole.flip(2) if mirror[number] else whole, (2, 2, 2, 2))
            y, x = top[number], left[number]
            torch.testing.assert_close(found[number], padded[:, y : y + 5, x : x + 5], atol=1e-4, rtol=1e-4)


def test_crops_are_drawn_as_without_whitening() -> None:
    """Which crop an image has in an epoch depends on seed, epoch and sample alone."""
    images = np.random.default_rng(1).integers(0, 256, (12, 5, 5, 3), np.uint8)
    augmentation, epochs, samples = PadCropFlip(pad=2), np.arange(12) % 3, np.arange(12)
    one, other = (crop_flip(images, augmentation, fit(images, how), 7) for how in (PIXEL, WHITE))
    assert np.array_equal(one.draw(epochs, samples), other.draw(epochs, samples))


def test_a_whitened_input_is_of_one_size() -> None:
    """It is kept for images of the size, and refused for others, as are image files."""
    images = np.random.default_rng(1).integers(0, 256, (12, 5, 5, 3), np.uint8)
    trained = fit(images, WHITE)
    assert transferred(trained, fit(images, PIXEL)) == trained
    with pytest.raises(UsageError, match="4 x 4 x 3"):
        transferred(trained, fit(images[:, :4, :4], PIXEL))
    with pytest.raises(UsageError, match="whitening"):
        fit_photos([], WHITE)
    assert len(repr(trained)) < 1_000 and "deviation 2," in trained.in_words() and "whitened" in trained.in_words()


def test_the_mean_cannot_be_changed_by_its_reader() -> None:
    """The shared mean is read-only."""
    mean = mean_of(fit(images_of(3).images, PIXEL))
    with pytest.raises(ValueError, match=r"read-only"):
        mean[0] = 0


def photos_in(root: Path) -> ImageFiles:
    train = folder.load(root).train
    assert isinstance(train, ImageFiles)
    return train


@pytest.mark.parametrize("preprocessing", [PIXEL, CHANNEL])
def test_the_statistics_of_photos_are_those_of_their_single_views(
    photo_folder: Path, preprocessing: Preprocessing
) -> None:
    """Mean and deviation are of the views that are tested."""
    train = photos_in(photo_folder)
    input_spec = fit_photos(train.paths, preprocessing, size=24, resize=32)
    assert (input_spec.size, input_spec.resize, input_spec.channels) == (24, 32, 3)
    views = np.stack([single_view(path, input_spec) for path in train.paths])
    of_views = fit(views, preprocessing)
    assert mean_of(input_spec) == pytest.approx(mean_of(of_views))
    if preprocessing.std:
        assert std_of(input_spec) == pytest.approx(std_of(of_views))
    else:
        assert input_spec.std is None


def test_a_part_of_the_photos_is_drawn_evenly_over_all_classes(make_photos) -> None:  # type: ignore[no-untyped-def]
    """Three photos of nine, one of each class: the mean colour is grey, as of all nine, not one class's colour."""
    train = photos_in(make_photos(train=3))
    few = fit_photos(train.subsample(3).paths, CHANNEL, size=24, resize=32)
    assert few.mean == pytest.approx(fit_photos(train.paths, CHANNEL, size=24, resize=32).mean, abs=0.02)


def test_photos_cannot_be_fitted_on_a_damaged_file(photo_folder: Path) -> None:
    """A damaged file is an error with its path."""
    damaged = sorted((photo_folder / "train").rglob("*.jpg"))[5]
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(DataError, match=str(damaged)):
        fit_photos(photos_in(photo_folder).paths, CHANNEL)


def test_trained_weights_bring_their_whitening(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other one is computed for it, which takes a quarter of a minute for CIFAR-10."""
    images = images_of(20)
    trained = images.fit_input(WHITE, None)
    monkeypatch.setattr(np.linalg, "eigh", lambda *_: pytest.fail("whitening is computed again"))
    assert images.fit_input(WHITE, None, trained) == trained


def test_trained_weights_keep_their_mean_at_another_size() -> None:
    """A mean of each pixel, which has one size, becomes its channels' mean; the rest stays as it was trained."""
    channel, pixel = fit(images_of(50, size=8).images, CHANNEL), fit(images_of(50, size=8).images, PIXEL)
    other = InputSpec(size=6, resize=7)
    assert transferred(channel, other) == channel.with_changes(size=6, resize=7)
    assert transferred(pixel, other.with_changes(size=8)) == pixel.with_changes(resize=7)
    moved = transferred(pixel, other)
    assert moved.mean_image is None and moved.mean == pytest.approx(channel.mean, abs=1e-6)
    grey = transferred(pixel, other.with_changes(channels=1))
    assert grey.channels == 1 and grey.mean == pytest.approx((np.mean(channel.mean),), abs=1e-6)


def test_a_mean_image_is_resized_to_larger_images(photo_folder: Path) -> None:
    """On images of its own size it is the mean of each pixel; on others it keeps its corners and its average."""
    train = folder.load(photo_folder).train
    assert isinstance(train, ImageFiles)
    input_spec = fit_photos(train.paths, Preprocessing(mean="pixel"), size=32, resize=36)
    normalized = Normalizer(input_spec, torch.device("cpu"))
    own = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert (normalized(torch.from_numpy(own)).permute(0, 2, 3, 1).numpy() == normalize(own, input_spec)).all()
    black = normalized(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    mean = normalized(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert black.shape == (1, 3, 64, 96)
    torch.testing.assert_close(black[..., 0, 0], mean[..., 0, 0])
    torch.testing.assert_close(black.mean((2, 3)), mean.mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_a_channel_mean_is_the_same_everywhere() -> None:
    """On images of any size a channel's mean is subtracted from each pixel."""
    input_spec = InputSpec(size=32, resize=36, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    images = Normalizer(input_spec, torch.device("cpu"))(torch.zeros(1, 40, 50, 3, dtype=torch.uint8))
    expected = torch.tensor([-0.2, -0.4, -0.6]).view(1, 3, 1, 1).expand(1, 3, 40, 50)
    torch.testing.assert_close(images, expected)
