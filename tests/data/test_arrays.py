"""Images in memory: a batch at a time is a sample at a time, on the host and on a GPU, in the declared order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from resnets.data import arrays
from resnets.data.arrays import ArrayBatches, ImageArrays, ResidentBatches
from resnets.data.crop_flip import CropFlip
from resnets.data.loading import Batching
from resnets.data.normalization import fit, mean_of, normalize, std_of
from resnets.data.randomness import batch_samples, sample_bits, uniform_integers
from resnets.runtime.processes import Share
from resnets.specs import InputSpec, PadCropFlip, Preprocessing

CHANNEL = Preprocessing(mean="channel", std=True)


def images_of(count: int, size: int = 8, channels: int = 3) -> ImageArrays:
    generator = np.random.default_rng(0)
    return ImageArrays(generator.integers(0, 256, (count, size, size, channels), np.uint8), np.arange(count))


def one_sample(
    image: np.ndarray, mean: np.ndarray, std: np.ndarray | None, pad: int, top: int, left: int, mirror: int
) -> np.ndarray:
    """Scale to [0, 1], subtract the mean, pad with zeros, mirror or not, crop. Shape: (H, W, C) -> (C, H, W)."""
    height, width, channels = image.shape
    scaled = image.astype(np.float32) / np.float32(255)
    centred = scaled - mean
    padded = np.zeros((height + 2 * pad, width + 2 * pad, channels), np.float32)
    padded[pad : pad + height, pad : pad + width] = centred
    if mirror:
        padded = padded[:, ::-1]
    crop = padded[top : top + height, left : left + width]
    if std is not None:
        crop = crop / std
    return crop.transpose(2, 0, 1)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "preprocessing",
    [Preprocessing(), Preprocessing(std=True), Preprocessing(mean="channel"), Preprocessing(mean="channel", std=True)],
    ids=["pixel mean", "pixel mean and std", "channel mean", "channel mean and std"],
)
def test_a_batch_equals_the_plain_reference_bit_for_bit(
    preprocessing: Preprocessing, channels: int, pad: int, flip: bool
) -> None:
    """Each sample of a batch has the bits of a plain computation of its own, for each normalisation and crop."""
    train = images_of(40, 12, channels)
    input_spec = fit(train.images, preprocessing)
    crop_flip = CropFlip(train.images, PadCropFlip(pad=pad, flip=flip), input_spec, seed=5)
    samples, epochs = np.arange(80) % 40, np.repeat([0, 3], 40)
    batch = crop_flip(epochs, samples)
    assert batch.dtype == torch.float32
    assert batch.shape == (80, channels, 12, 12)
    bits = sample_bits(5, epochs, samples)
    tops, lefts = uniform_integers(bits, 0, 2 * pad + 1), uniform_integers(bits, 1, 2 * pad + 1)
    mirrors = uniform_integers(bits, 2, 2) if flip else np.zeros(80, np.int64)
    for i, sample in enumerate(samples):
        expected = one_sample(
            train.images[sample], mean_of(input_spec), std_of(input_spec), pad, tops[i], lefts[i], mirrors[i]
        )
        assert batch[i].numpy().tobytes() == expected.tobytes()


def test_every_crop_and_its_mirror_image_is_reached() -> None:
    """Of one image with pad 2, all 5 x 5 x 2 views come, each about equally often, and no other."""
    train = ImageArrays(np.arange(101, 126, dtype=np.uint8).reshape(1, 5, 5, 1), np.array([0]))
    nothing_subtracted = InputSpec(size=5, resize=5, channels=1)
    epochs = np.arange(10_000)
    batch = CropFlip(train.images, PadCropFlip(pad=2), nothing_subtracted, seed=0)(epochs, np.zeros_like(epochs))
    views, counts = np.unique(batch.numpy().reshape(len(epochs), -1), axis=0, return_counts=True)
    mean, std = mean_of(nothing_subtracted), std_of(nothing_subtracted)
    all_views = {
        one_sample(train.images[0], mean, std, 2, top, left, mirror).tobytes()
        for top in range(5)
        for left in range(5)
        for mirror in (0, 1)
    }
    assert {view.tobytes() for view in views} == all_views
    assert len(all_views) == 50
    assert abs(counts - 200).max() < 5 * np.sqrt(200)


def test_without_pad_and_flip_the_image_is_as_in_testing() -> None:
    """Training without augmentation and testing see the same bits."""
    train = images_of(10, 8, 3)
    input_spec = fit(train.images, Preprocessing(mean="channel", std=True))
    samples = np.arange(10)
    batch = CropFlip(train.images, PadCropFlip(pad=0, flip=False), input_spec, seed=0)(samples, samples)
    expected = normalize(train.images, input_spec)
    assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), expected)


def test_the_epoch_changes_the_view_and_asking_again_does_not() -> None:
    """A sample's view is another one in the next epoch, and the same when requested again."""
    train = images_of(64, 32, 3)
    crop_flip = CropFlip(train.images, PadCropFlip(), fit(train.images, Preprocessing()), seed=0)
    samples = np.arange(64)
    first, second = crop_flip(np.zeros(64, np.int64), samples), crop_flip(np.ones(64, np.int64), samples)
    assert sum(torch.equal(a, b) for a, b in zip(first, second, strict=True)) < 5  # by chance 1 in 162
    assert torch.equal(first, crop_flip(np.zeros(64, np.int64), samples))


def test_the_padding_is_zero_after_the_mean_is_subtracted() -> None:
    """Black images with a bright mean: the border shows 0, as if padded with the mean, not black minus the mean."""
    train = ImageArrays(np.full((1, 8, 8, 1), 255, np.uint8), np.array([0]))
    bright = fit(train.images, Preprocessing())
    black = ImageArrays(np.zeros((1, 8, 8, 1), np.uint8), np.array([0]))
    epochs = np.arange(200)
    batch = CropFlip(black.images, PadCropFlip(pad=4), bright, seed=0)(epochs, np.zeros_like(epochs))
    assert sorted(batch.unique().tolist()) == [-1.0, 0.0]


def test_memory_is_channels_last_and_the_images_are_left_alone() -> None:
    """Batches are channels-last, and the images in memory do not change."""
    train = images_of(20, 8, 3)
    before = train.images.copy()
    samples = np.arange(20)
    batch = CropFlip(train.images, PadCropFlip(), fit(train.images, Preprocessing(std=True)), seed=0)(samples, samples)
    batch.zero_()
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(train.images, before)


def test_alternate_mirrors_each_image_every_other_epoch() -> None:
    """Half of the images begin mirrored; each then takes turns, whatever the crop."""
    train = images_of(200, 6, 1)
    crop_flip = CropFlip(train.images, PadCropFlip(pad=0, alternate=True), fit(train.images, Preprocessing()), seed=5)
    samples = np.arange(200)
    first, second, third = (crop_flip(np.full(200, epoch), samples) for epoch in (0, 1, 2))
    plain = CropFlip(train.images, PadCropFlip(pad=0, flip=False), fit(train.images, Preprocessing()), seed=5)(
        samples * 0, samples
    )
    mirrored = [not torch.equal(shown, image) for shown, image in zip(first, plain, strict=True)]
    assert 70 < sum(mirrored) < 130
    assert torch.equal(first, third)
    for shown, other, image, was in zip(first, second, plain, mirrored, strict=True):
        assert torch.equal(other if was else shown, image)


@pytest.mark.parametrize("augmentation", [PadCropFlip(pad=2), PadCropFlip(pad=1, flip=False)])
def test_a_device_crops_as_the_host_does(augmentation: PadCropFlip) -> None:
    """Bit for bit; here the device is the CPU as well, but the images are a tensor on it."""
    train = images_of(30, 10, 3)
    input_spec = fit(train.images, Preprocessing(std=True))
    samples, epochs = np.arange(60) % 30, np.repeat([0, 7], 30)
    host = CropFlip(train.images, augmentation, input_spec, seed=5)
    device = CropFlip(train.images, augmentation, input_spec, seed=5, device=torch.device("cpu"))
    assert torch.equal(host(epochs, samples), device(epochs, samples))


def test_images_in_memory_come_augmented_with_their_labels_in_the_declared_order() -> None:
    """Batches have the samples of the declared order, augmented, with their labels."""
    train = images_of(50)
    input_spec = fit(train.images, Preprocessing())
    batches = train.training_batches(input_spec, PadCropFlip(pad=2), Batching(batch_size=16, seed=3))
    for i, (images, labels) in enumerate(batches.batches(0, 8)):
        assert images.shape == (16, 3, 8, 8)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert labels.tolist() == batch_samples(3, i, 16, 50)[0].tolist()  # each label is its sample's number


@pytest.mark.parametrize(
    "augmentation", [PadCropFlip(pad=2), PadCropFlip(pad=1, alternate=True), PadCropFlip(pad=0, flip=False)]
)
@pytest.mark.parametrize("share", [Share(), Share(1, 2)])
def test_images_resident_on_a_gpu_come_in_the_same_mini_batches(
    monkeypatch: pytest.MonkeyPatch, augmentation: PadCropFlip, share: Share
) -> None:
    """To the bit, drawn for many iterations at once, wherever a run starts: same order, crops and mirror images."""
    monkeypatch.setattr(arrays, "DRAWN", 5)
    train = images_of(30)
    common: dict[str, Any] = {"batch_size": 8, "seed": 7, "share": share}
    at_once = ArrayBatches(train, fit(train.images, CHANNEL), augmentation, Batching(**common))
    resident = ResidentBatches(
        train, fit(train.images, CHANNEL), augmentation, Batching(device=torch.device("cpu"), **common)
    )
    for start in (0, 3):
        for ours, theirs in zip(resident.batches(start, 17), at_once.batches(start, 17), strict=True):
            assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
            assert ours[0].stride() == theirs[0].stride()


def test_without_augmentation_the_images_are_the_test_images() -> None:
    """A recipe without augmentation trains on the images as they are tested."""
    train = images_of(10)
    input_spec = fit(train.images, Preprocessing())
    batches = train.training_batches(input_spec, None, Batching(batch_size=10, seed=0))
    images, labels = next(iter(batches.batches(0, 1)))
    assert torch.equal(images[labels.argsort()], next(train.test_batches(input_spec, batch_size=10))[0])


@pytest.mark.parametrize("count", [1, 7, 100, 101])
@pytest.mark.parametrize("batch_size", [1, 7, 100, 256])
def test_each_image_in_memory_is_tested_once(count: int, batch_size: int) -> None:
    """No padding with duplicates and no dropped rest, in order."""
    batches = list(images_of(count).test_batches(InputSpec(size=8, resize=8), batch_size=batch_size))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(count))
    assert max(len(labels) for _, labels in batches) == min(count, batch_size)
    assert all(len(images) == len(labels) for images, labels in batches)
