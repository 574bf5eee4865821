"""The shares of all processes are together the whole: each image of a mini-batch or of a split is in exactly one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from resnets.data import folder, normalization
from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.map_datasets import MapSplit
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.runtime.processes import Share
from resnets.specs import PadCropFlip, Preprocessing, ScaleCropFlip


@pytest.mark.parametrize("size", [2, 4])
def test_mini_batches_of_arrays(tiny_splits: DataSplits, size: int) -> None:
    """In order, augmented alike, also where a mini-batch ends one epoch and begins the next (96 images by 40)."""
    train = tiny_splits.train
    assert isinstance(train, ImageArrays)
    assert_shares_make_the_whole(
        train, normalization.fit(train.images, Preprocessing()), size, batch_size=40, augmentation=PadCropFlip(pad=2)
    )


def test_mini_batches_of_files(photo_folder: Path) -> None:
    """The shares of processes make the whole batch."""
    train = folder.load(photo_folder).train
    assert isinstance(train, ImageFiles)
    augmentation = ScaleCropFlip(shortest=20, longest=30, crop=16)
    input_spec = normalization.fit_photos(train.paths, Preprocessing(), size=16, resize=20)
    assert_shares_make_the_whole(train, input_spec, 4, batch_size=8, augmentation=augmentation)


def assert_shares_make_the_whole(train: Any, input_spec: Any, size: int, batch_size: int, augmentation: Any) -> None:
    whole = train.training_batches(input_spec, augmentation, Batching(batch_size=batch_size, seed=3))
    shares = [
        train.training_batches(
            input_spec, augmentation, Batching(seed=3, share=Share(rank, size), batch_size=batch_size)
        )
        for rank in range(size)
    ]
    for (images, labels), *parts in zip(whole.batches(0, 4), *(share.batches(0, 4) for share in shares), strict=True):
        assert torch.equal(torch.cat([part for part, _ in parts]), images)
        assert torch.equal(torch.cat([part for _, part in parts]), labels)


@pytest.mark.parametrize(("images", "size"), list(itertools.product((1, 7, 100, 101), (1, 2, 3, 4))))
def test_splits(images: int, size: int) -> None:
    """The shares of processes make the whole split, and differ by one image at most."""
    arrays = ImageArrays(np.zeros((images, 2, 2, 1), np.uint8), np.arange(images))
    files = ImageFiles(tuple(Path(str(number)) for number in range(images)), np.arange(images))
    dataset = MapSplit(TensorDataset(torch.zeros(images, 1, 2, 2), torch.arange(images)))
    for split in (arrays, files, dataset):
        shares = [split.take(Share(rank, size)) for rank in range(size)]
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        if split is files:
            seen = [path for share in shares for path in share.paths]
            assert sorted(seen, key=str) == sorted(files.paths, key=str)
        else:
            view = normalization.fit(arrays.images, Preprocessing()) if split is arrays else None
            passes = [share.test_batches(view, batch_size=8) for share in shares]
            labels = [int(label) for one in passes for _, batch in one for label in batch]
            assert sorted(labels) == list(range(images))


def test_a_mini_batch_that_cannot_be_shared() -> None:
    """A batch that the processes do not divide is an error with both numbers."""
    arrays = ImageArrays(np.zeros((8, 2, 2, 1), np.uint8), np.arange(8))
    input_spec = normalization.fit(arrays.images, Preprocessing())
    with pytest.raises(UsageError, match="10 images.* 4 processes"):
        arrays.training_batches(input_spec, None, Batching(batch_size=10, seed=0, share=Share(1, 4)))
