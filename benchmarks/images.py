"""Images to measure with: real ones where they are named, else synthetic ones of the same number and size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.data import folder
from resnets.data.arrays import ImageArrays
from resnets.data.decoding import decode
from resnets.data.image_files import ImageFiles
from resnets.data.load import load_data
from resnets.data.splits import DataSplits
from resnets.data.stored_file import size_of
from resnets.errors import UsageError

PHOTOS = 64
SIDES = (500, 375)  # pixels: ImageNet's most frequent size
LARGE, LARGE_SIDES, LARGE_QUALITY = 16, (4_000, 3_000), 90  # as of a phone
GRAIN = 4  # standard deviation of a sensor's noise: with it files have the megabytes of a phone's
QUALITY = 88  # gives about 110 kB a file, ImageNet's mean


@dataclass(frozen=True)
class Images:
    """Where the candidates' processes find the images: a source (None: random ones) and a folder of photos."""

    source: str | None
    photos: Path
    large: Path | None = None  # the photos enlarged to 12 megapixels, where a row needs them

    def cifar_splits(self) -> DataSplits:
        """Return CIFAR's splits, or random images of their number and size.

        Raises: UsageError, if the source is of other images; DataError, if it is damaged.
        """
        if self.source is None:
            generator = np.random.default_rng(0)
            pixels = generator.integers(0, 256, (50_000, 32, 32, 3), np.uint8)
            images = ImageArrays(pixels, generator.integers(0, 10, 50_000))
            return DataSplits("random images", images, images, tuple(map(str, range(10))))
        splits = load_data(self.source)
        if not (isinstance(splits.train, ImageArrays) and splits.train.images.shape[1:] == (32, 32, 3)):
            raise UsageError(f"data source {self.source!r}: the benchmark needs cifar10[:PATH] or cifar100[:PATH]")
        return splits

    def photo_splits(self) -> DataSplits:
        """Return the photos of the folder. Raises: DataError, as `folder.load`."""
        return folder.load(self.photos)

    def large_splits(self) -> DataSplits:
        """Return the enlarged photos."""
        assert self.large is not None
        return folder.load(self.large)

    def describe_cifar(self) -> str:
        """Return what the small images are; real ones are looked at."""
        splits = self.cifar_splits()
        count = f"{len(splits.train):,}"
        if self.source is None:
            return f"{count} RANDOM images of CIFAR-10's size (--data cifar10:PATH names real ones)"
        return f"{splits.name}, {count} training images"

    def describe_photos(self) -> str:
        """Return what the photos are."""
        return _described(self.photo_splits())

    def describe_large(self) -> str:
        """Return what the enlarged photos are."""
        width, height = LARGE_SIDES
        return f"{_described(self.large_splits())}, enlarged to {width} x {height}, with grain"


def _described(splits: DataSplits) -> str:
    train = splits.train
    assert isinstance(train, ImageFiles)
    size = sum(map(size_of, train.paths)) / len(train)
    return f"{len(train):,} files, {size / 1000:.0f} kB on average"


def make_photos(root: Path) -> None:
    """Write synthetic photos as a folder data set: noise with the spectrum of natural images, in JPEG files."""
    generator = np.random.default_rng(0)
    pool = [_field(generator, 1024) for _ in range(6)]
    for number in range(PHOTOS):
        target = root / ("train" if number else "val") / "class"
        target.mkdir(parents=True, exist_ok=True)
        width, height = SIDES if number % 4 else SIDES[::-1]
        parts = generator.choice(len(pool), 3, replace=False)
        crops = []
        for part in parts:
            top, left = generator.integers(0, 1024 - height), generator.integers(0, 1024 - width)
            crops.append(pool[part][top : top + height, left : left + width])
        light, *colours = crops
        channels = [light + 0.4 * colours[0], light, light + 0.4 * colours[1]]
        pixels = np.clip(np.stack(channels, -1) * 55 + 120, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:03}.jpg", quality=QUALITY)


def make_large(root: Path, photos: DataSplits) -> None:
    """Write some training photos as a folder data set, each enlarged to 12 megapixels, its longer side as before."""
    files = photos.train
    assert isinstance(files, ImageFiles)
    for number, path in enumerate(files.subsample(LARGE).paths):
        target = root / ("train" if number else "val") / "class"
        target.mkdir(parents=True, exist_ok=True)
        image = decode(path)
        size = LARGE_SIDES if image.width >= image.height else LARGE_SIDES[::-1]
        smooth = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)
        grain = np.random.default_rng(number).normal(0, GRAIN, (*smooth.shape[:2], 1)).astype(np.float32)
        pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:03}.jpg", quality=LARGE_QUALITY)


def _field(generator: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return noise whose amplitude falls as 1 / frequency, as in photos, of deviation 1. Shape: (side, side)."""
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(generator.standard_normal((side, side))) / frequency
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (side, side))
    return np.asarray(field / field.std(), np.float32)
