"""Batches: iteration i is a function of (seed, i) alone, whoever reads it; testing sees each sample exactly once."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data import folder, pipeline
from resnets.data.convention import fit, fit_photos, mean_of
from resnets.data.datasets import ImageArrays, ImageFiles
from resnets.data.decoding import single_view
from resnets.data.photos import scale_crop_flip
from resnets.data.pipeline import ArrayBatches, LoaderBatches, ResidentBatches, training_batches
from resnets.data.randomness import batch_samples
from resnets.errors import DataError, UsageError
from resnets.runtime.processes import Share
from resnets.specs import InputConvention, PadCropFlip, Preprocessing, ScaleCropFlip

CHANNEL = Preprocessing(mean="channel", std=True)


class RandomTransforms(Dataset[Any]):
    """A user's dataset: its transform draws from all three of the usual generators."""

    classes = ("even", "odd")

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
        return torch.tensor([index, *drawn], dtype=torch.float64), index % 2


class Failing(RandomTransforms):
    """A dataset with one bad sample."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 7:
            raise DataError("7.jpg: an empty file, not an image")
        return super().__getitem__(index)


def images_of(count: int, size: int = 8) -> ImageArrays:
    generator = np.random.default_rng(0)
    return ImageArrays(generator.integers(0, 256, (count, size, size, 3), np.uint8), np.arange(count))


def generator_states() -> list[Any]:
    legacy: Any = np.random.get_state()
    return [random.getstate(), legacy[1].tobytes(), torch.get_rng_state().tolist()]


def rows(batches: Any) -> list[list[Any]]:
    return [[images.flatten().tolist(), labels.tolist()] for images, labels in batches]


def loader(workers: int = 0, seed: int = 0) -> LoaderBatches:
    return LoaderBatches(RandomTransforms(), batch_size=4, seed=seed, workers=workers)


def photos_of(root: Path) -> ImageFiles:
    train = folder.load(root).train
    assert isinstance(train, ImageFiles)
    return train


# ---------------------------------------------------------------- training


def test_images_in_memory_come_augmented_with_their_labels_in_the_declared_order() -> None:
    train = images_of(50)
    convention = fit(train, Preprocessing())
    batches = training_batches(train, convention, batch_size=16, seed=3, augmentation=PadCropFlip(pad=2), workers=0)
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
    monkeypatch.setattr(pipeline, "DRAWN", 5)
    train = images_of(30)
    common: dict[str, Any] = {"batch_size": 8, "seed": 7, "augmentation": augmentation, "share": share}
    at_once = ArrayBatches(train, fit(train, CHANNEL), **common)
    resident = ResidentBatches(train, fit(train, CHANNEL), device=torch.device("cpu"), **common)
    for start in (0, 3):
        for ours, theirs in zip(resident.batches(start, 17), at_once.batches(start, 17), strict=True):
            assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
            assert ours[0].stride() == theirs[0].stride()


def test_without_augmentation_the_images_are_the_test_images() -> None:
    train = images_of(10)
    convention = fit(train, Preprocessing())
    batches = training_batches(train, convention, batch_size=10, seed=0, augmentation=None, workers=0)
    images, labels = next(iter(batches.batches(0, 1)))
    assert torch.equal(images[labels.argsort()], next(pipeline.single_pass(train, convention, batch_size=10))[0])


def test_a_run_may_start_at_any_iteration() -> None:
    """What a resumed run sees is what the uninterrupted one saw."""
    train = images_of(30)
    in_memory = training_batches(
        train, fit(train, CHANNEL), batch_size=8, seed=1, augmentation=PadCropFlip(), workers=0
    )
    for batches in (in_memory, loader()):
        whole = rows(batches.batches(0, 12))
        for start in (11, 5, 0):
            assert rows(batches.batches(start, 12)) == whole[start:]


def test_two_workers_give_what_none_gives() -> None:
    """And a user's random transform, whichever generator it draws from, depends on (seed, epoch, sample) only."""
    alone, by_two = rows(loader().batches(0, 8)), rows(loader(workers=2).batches(0, 8))
    assert alone == by_two
    assert rows(loader(seed=1).batches(0, 8)) != alone
    samples = [tuple(images[i : i + 4]) for images, _ in alone for i in range(0, 16, 4)]
    drawn = [value for sample in samples for value in sample[1:]]
    assert len(set(drawn)) == len(drawn) == 3 * 32  # another draw for every sample, epoch and generator


def test_a_sample_draws_the_same_whatever_batch_it_is_in() -> None:
    def by_sample(batch_size: int) -> set[tuple[float, ...]]:
        batches = LoaderBatches(RandomTransforms(), batch_size=batch_size, seed=0, workers=0)
        images = torch.cat([batch[0] for batch in batches.batches(0, 40 // batch_size)])
        return {tuple(row.tolist()) for row in images}

    assert by_sample(4) == by_sample(10) == by_sample(1)


def test_the_callers_generators_are_left_alone() -> None:
    """A network's dropout and initialisation must not depend on how the data is read."""
    states = generator_states()
    rows(loader().batches(0, 3))
    rows(loader(workers=1).batches(0, 3))
    list(pipeline.single_pass(images_of(5), InputConvention(size=8, resize=8), batch_size=2))
    assert generator_states() == states


@pytest.mark.gpu
def test_the_gpus_generator_is_left_alone() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    torch.cuda.manual_seed(0)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(0)
    rows(loader().batches(0, 3))
    assert torch.equal(torch.rand(4, device="cuda"), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_told_in_one_line(workers: int) -> None:
    """A worker's error would arrive as a traceback of twenty lines."""
    batches = LoaderBatches(Failing(), batch_size=5, seed=0, workers=workers)
    with pytest.raises(DataError) as error:
        rows(batches.batches(0, 2))
    assert str(error.value) == "7.jpg: an empty file, not an image"
    with pytest.raises(DataError) as error:
        list(pipeline.single_pass(Failing(), None, batch_size=5, workers=workers))
    assert str(error.value) == "7.jpg: an empty file, not an image"


class Signalling(RandomTransforms):
    """Sends its own process, a worker, what Ctrl-C and a scheduler send to a whole process group."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        os.kill(os.getpid(), random.choice([signal.SIGINT, signal.SIGTERM]))
        return super().__getitem__(index)


def test_signals_to_the_workers_do_not_stop_the_run() -> None:
    """The process that trains decides: it finishes its iteration, saves and stops the workers itself."""
    batches = LoaderBatches(Signalling(), batch_size=4, seed=0, workers=2)
    assert len(rows(batches.batches(0, 5))) == 5


def test_a_recipe_for_other_images_is_refused(photo_folder: Path) -> None:
    options: dict[str, Any] = {"batch_size": 2, "seed": 0, "workers": 0}
    view = InputConvention(size=8, resize=8)
    with pytest.raises(UsageError, match=r"images in memory need one that pads and crops"):
        training_batches(images_of(3), view, augmentation=ScaleCropFlip(), **options)
    photos = photos_of(photo_folder)
    with pytest.raises(UsageError, match=r"photos need one that resizes and crops"):
        training_batches(photos, view, augmentation=PadCropFlip(), **options)
    with pytest.raises(UsageError, match=r"crops of 224 pixels out of a shorter side of 256 or more do not give"):
        training_batches(photos, view, augmentation=ScaleCropFlip(), **options)
    with pytest.raises(UsageError, match=r"crops of 8 pixels out of a shorter side of 4"):
        training_batches(photos, view, augmentation=ScaleCropFlip(shortest=4, longest=9, crop=8), **options)


# ---------------------------------------------------------------- photos


def test_photos_are_scaled_cropped_and_flipped_at_random(make_photos) -> None:  # type: ignore[no-untyped-def]
    train = photos_of(make_photos(train=2))
    convention = fit_photos(train, CHANNEL, size=24, resize=32)
    how = ScaleCropFlip(shortest=28, longest=40, crop=24)
    options: dict[str, Any] = {"batch_size": 6, "seed": 0, "augmentation": how}
    alone = training_batches(train, convention, workers=0, **options)
    by_two = training_batches(train, convention, workers=2, **options)
    seen = []
    for (images, labels), (again, also) in zip(alone.batches(0, 4), by_two.batches(0, 4), strict=True):
        assert images.shape == (6, 3, 24, 24)
        assert torch.equal(images, again)
        assert torch.equal(labels, also)
        assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]
        assert torch.equal(images.mean((2, 3)).argmax(1), labels)  # each class has its own colour
        seen += [image.numpy().tobytes() for image in images]
    assert len(set(seen)) == 24


def test_a_random_crop_reaches_every_place_scale_and_mirror_image() -> None:
    """Of a horizontal ramp resized to 9 or 10 pixels and cropped to 8, all views come and no other."""
    from PIL import Image

    ramp = Image.fromarray(np.tile(np.arange(10, dtype=np.uint8) * 20, (10, 1)))
    random.seed(0)
    views = {scale_crop_flip(ramp, ScaleCropFlip(shortest=9, longest=10, crop=8)).tobytes() for _ in range(500)}
    expected = set()
    for side in (9, 10):
        resized = np.asarray(ramp.resize((side, side), Image.Resampling.BILINEAR))
        for left in range(side - 7):
            view = resized[:8, left : left + 8]
            expected |= {view.tobytes(), view[:, ::-1].tobytes()}
    assert views == expected
    unflipped = {
        scale_crop_flip(ramp, ScaleCropFlip(shortest=10, longest=10, crop=8, flip=False)).tobytes() for _ in range(99)
    }
    assert len(unflipped) == 3


def test_photos_are_tested_on_their_centre(photo_folder: Path) -> None:
    train = photos_of(photo_folder)
    convention = fit_photos(train, Preprocessing(), size=24, resize=32)
    images = torch.cat([batch[0] for batch in pipeline.single_pass(train, convention, batch_size=5)])
    for image, path in zip(images, train.paths, strict=True):
        expected = single_view(path, convention).astype(np.float32) / np.float32(255) - mean_of(convention)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


# ---------------------------------------------------------------- testing


@pytest.mark.parametrize("count", [1, 7, 100, 101])
@pytest.mark.parametrize("batch_size", [1, 7, 100, 256])
def test_each_image_in_memory_is_tested_once(count: int, batch_size: int) -> None:
    """No padding with duplicates and no dropped rest, in order."""
    batches = list(pipeline.single_pass(images_of(count), InputConvention(size=8, resize=8), batch_size=batch_size))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(count))
    assert max(len(labels) for _, labels in batches) == min(count, batch_size)
    assert all(len(images) == len(labels) for images, labels in batches)


class Numbered(Dataset[Any]):
    """A map-style dataset of its indices; its labels come as NumPy integers, as from many a table."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return torch.full((1, 2, 2), float(index)), np.int32(index)


@pytest.mark.parametrize(("count", "workers"), [(1, 0), (7, 0), (100, 0), (101, 0), (1, 2), (7, 2), (100, 2), (101, 2)])
def test_each_sample_of_a_dataset_is_tested_once(count: int, workers: int) -> None:
    batches = list(pipeline.single_pass(Numbered(count), None, batch_size=10, workers=workers))
    labels = torch.cat([labels for _, labels in batches])
    assert labels.tolist() == list(range(count))
    assert labels.dtype == torch.int64
    assert torch.equal(torch.cat([images for images, _ in batches])[:, 0, 0, 0], labels.float())
