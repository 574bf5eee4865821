"""Data pipelines on one core, from files or arrays to batches, and the start of the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks import loaders
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.normalization import fit_photos
from resnets.specs import Preprocessing
from resnets.training.recipes import RECIPES


def ours_cifar(row: Row, setting: Setting) -> Loop:
    """Prepare the product's batches of small images; like the peers, with the channels' mean and deviation."""
    train = _small(setting)
    input_spec = train.fit_input(Preprocessing(mean="channel", std=True), None)
    augmentation = RECIPES.find("cifar").augmentation
    ours = train.training_batches(input_spec, augmentation, Batching(batch_size=row.batch, seed=0))
    return _loop(ours.batches(0, sys.maxsize), row, 32)


def baseline_cifar(row: Row, setting: Setting) -> Loop:
    """Prepare the baseline DataLoader of PIL images."""
    return _loop(_endless(loaders.baseline_cifar(_small(setting), row.batch, workers=0)), row, 32)


def expert_cifar(row: Row, setting: Setting) -> Loop:
    """Prepare an expert's pipeline, in memory and vectorised."""
    return _loop(loaders.vectorised_cifar(_small(setting), row.batch), row, 32)


def ours_photos(row: Row, setting: Setting) -> Loop:
    """Prepare the product's batches of photos; like the peers, with the channels' mean and deviation."""
    train = _photos(setting)
    input_spec = fit_photos(train.subsample(100).paths, Preprocessing(mean="channel", std=True))
    ours = train.training_batches(input_spec, loaders.SCALES, Batching(batch_size=row.batch, seed=0))
    return _loop(ours.batches(0, sys.maxsize), row, 224)


def baseline_photos(row: Row, setting: Setting) -> Loop:
    """Prepare the reference scripts' DataLoader of PIL images."""
    return _loop(_endless(loaders.baseline_photos(_photos(setting), row.batch, workers=0)), row, 224)


def expert_photos(row: Row, setting: Setting) -> Loop:
    """Prepare torchvision's own decoder and transforms v2."""
    return _loop(_endless(loaders.expert_photos(_photos(setting), row.batch, workers=0)), row, 224)


def ours_large(row: Row, setting: Setting) -> Loop:
    """Prepare the product's batches of large photos, decoded at the scale that a crop needs."""
    train = _large(setting)
    input_spec = fit_photos(train.paths, Preprocessing(mean="channel", std=True, decode="reduced"))
    ours = train.training_batches(input_spec, loaders.PARTS, Batching(batch_size=row.batch, seed=0))
    return _loop(ours.batches(0, sys.maxsize), row, 224)


def baseline_large(row: Row, setting: Setting) -> Loop:
    """Prepare the reference scripts' DataLoader of PIL images, with RandomResizedCrop."""
    return _loop(_endless(loaders.baseline(_large(setting), loaders.PARTS, row.batch, workers=0)), row, 224)


def timm_large(row: Row, setting: Setting) -> Loop:
    """Prepare timm's transforms of training as its script has them by default."""
    return _loop(_endless(loaders.timm_photos(_large(setting), row.batch, workers=0)), row, 224)


def expert_large(row: Row, setting: Setting) -> Loop:
    """Prepare torchvision's own decoder and its RandomResizedCrop on tensors."""
    return _loop(_endless(loaders.expert_large(_large(setting), row.batch, workers=0)), row, 224)


def start_up(row: Row, setting: Setting) -> Loop:
    """Prepare nothing; each step starts the command and waits for its end."""

    def loop(tick: Tick) -> None:
        while True:
            subprocess.run([sys.executable, "-m", "resnets", "--help"], check=True, stdout=subprocess.DEVNULL)
            tick(row.batch)

    return loop


def _small(setting: Setting) -> ImageArrays:
    train = setting.images.cifar_splits().train
    assert isinstance(train, ImageArrays)
    return train


def _photos(setting: Setting) -> ImageFiles:
    train = setting.images.photo_splits().train
    assert isinstance(train, ImageFiles)
    return train


def _large(setting: Setting) -> ImageFiles:
    train = setting.images.large_splits().train
    assert isinstance(train, ImageFiles)
    return train


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _loop(batches: Iterator[tuple[Tensor, Tensor]], row: Row, side: int) -> Loop:
    torch.set_num_threads(1)

    def loop(tick: Tick) -> None:
        for images, labels in batches:
            assert images.shape == (row.batch, 3, side, side)
            assert labels.shape == (row.batch,)
            tick(row.batch)

    return loop
