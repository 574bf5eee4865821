"""Dataset statistics for planning: declared for the known data sets, which need not be present, else measured."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from resnets.data import sources
from resnets.data.arrays import ImageArrays
from resnets.data.cifar import CIFAR10
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits, Split, TrainingBatches
from resnets.data.stored_file import Paths
from resnets.errors import UsageError
from resnets.specs import CIFAR10_IMAGES, IMAGENET_IMAGES, Augmentation, PadCropFlip, PublishedImages

SAMPLE = 256  # files or images that represent a whole split
SYNTHETIC_FILES = 64  # likewise, where the files are written for it
LOADING_SECONDS = 1.0  # of batches whose loading is timed


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """Number, size and format of the images of a data set.

    `digest` is that of the published content, None where it is unknown; without `class_names` classes are numbers.

    Units: pixels; `file_bytes` of a file, on average, None for images of one size that are kept in memory.
    """

    name: str
    train: int
    test: int
    classes: int
    height: int
    width: int
    channels: int = 3
    file_bytes: int | None = None
    declared: bool = True  # by the table below, and not measured
    digest: str | None = None
    class_names: tuple[str, ...] = ()

    def memory_bytes(self, augmentation: Augmentation | None) -> int:
        """Return the bytes of the images kept in memory: all unchanged, and the training images padded and flipped."""
        if self.file_bytes is not None:
            return 0
        kept = (self.train + self.test) * self.height * self.width * self.channels
        how = augmentation if isinstance(augmentation, PadCropFlip) else PadCropFlip(pad=0, flip=False)
        padded = (self.height + 2 * how.pad) * (self.width + 2 * how.pad) * self.channels
        return kept + self.train * padded * (1 + how.flip)

    def at_most(self, *, train: int, test: int) -> DatasetStats:
        """Return the statistics of at most so many of the images, whose digest is unknown where they are not all."""
        if self.train <= train and self.test <= test:
            return self
        return dataclasses.replace(self, train=min(self.train, train), test=min(self.test, test), digest=None)


DIGITS_DIGESTS = (
    "82802935d0fe01afd1035c0f1a993f26bea98a7684fd6daf1836e40d6b71fd53",
    "7985de38aae25d79bbaeaf84c879beb2af266fdf1c19cec26ca8ac180399124f",
)


def _published(
    images: PublishedImages,
    *,
    height: int,
    width: int,
    file_bytes: int | None = None,
    class_names: tuple[str, ...] = (),
) -> DatasetStats:
    return DatasetStats(
        name=images.name,
        train=images.train,
        test=images.test,
        classes=images.classes,
        height=height,
        width=width,
        file_bytes=file_bytes,
        digest=":".join(images.digests) or None,
        class_names=class_names,
    )


KNOWN: dict[str, DatasetStats] = {
    kind.name: kind
    for kind in (
        DatasetStats(
            name="digits",
            train=1_437,
            test=360,
            classes=10,
            height=8,
            width=8,
            channels=1,
            digest=":".join(DIGITS_DIGESTS),
        ),
        _published(CIFAR10_IMAGES, height=32, width=32, class_names=CIFAR10.classes),
        DatasetStats(name="cifar100", train=50_000, test=10_000, classes=100, height=32, width=32),
        _published(IMAGENET_IMAGES, height=375, width=500, file_bytes=110_000),
    )
}


def stats_of(splits: DataSplits) -> DatasetStats:
    """Return the statistics of a data set, from the sizes of at most 256 files or from its arrays.

    Raises: UsageError, for dataset objects, whose images are not known.
    """
    if splits.train.kind == "tensors":
        raise UsageError("a plan is for a source, such as cifar10 or folder:PATH, not for a dataset object")
    return DatasetStats(
        name=splits.name,
        train=len(splits.train),
        test=len(splits.test),
        classes=len(splits.classes),
        declared=False,
        **splits.train.stats()._asdict(),
    )


def unread(kind: DatasetStats, decoded_side: int | None = None) -> DataSplits:
    """Return a data set of a kind without its content, for plans that only count images: they take no memory.

    With `decoded_side`, in pixels, photos are as `load_data` would decode them.
    """
    if kind.file_bytes is not None and decoded_side is not None:
        kind = dataclasses.replace(kind, height=decoded_side, width=decoded_side, file_bytes=None)

    def split(count: int) -> Split:
        labels = np.arange(count, dtype=np.int64) % kind.classes
        if kind.file_bytes is None:
            return ImageArrays(np.broadcast_to(np.uint8(0), (count, kind.height, kind.width, kind.channels)), labels)
        return ImageFiles(Paths(repeat(Path(kind.name), count)), labels, channels=kind.channels)

    return DataSplits(
        name=kind.name,
        train=split(kind.train),
        test=split(kind.test),
        classes=kind.class_names or tuple(map(str, range(kind.classes))),
        digest=kind.digest,
        published=True,
    )


def stand_in(kind: DatasetStats, folder: Path) -> DataSplits:
    """Return a small data set of synthetic images like those of a kind, its files (if any) written to a folder.

    Files are smooth noise with grain, as JPEGs of about the size in bytes of ImageNet's.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(SAMPLE, dtype=np.int64) % kind.classes
    split: Split
    if kind.file_bytes is None:
        shape = (SAMPLE, kind.height, kind.width, kind.channels)
        split = ImageArrays(generator.integers(0, 256, shape, np.uint8), labels)
    else:
        labels = labels[:SYNTHETIC_FILES]
        files = tuple(_photo(kind, folder, number, generator) for number in range(SYNTHETIC_FILES))
        split = ImageFiles(files, labels)
    classes = tuple(map(str, range(kind.classes)))
    return DataSplits(name=kind.name, train=split, test=split, classes=classes, published=True)


def _photo(kind: DatasetStats, folder: Path, number: int, generator: np.random.Generator) -> Path:
    coarse = generator.integers(0, 256, (kind.height // 25, kind.width // 25, 3), np.uint8)
    soft = Image.fromarray(coarse).resize((kind.width, kind.height), Image.Resampling.BICUBIC)
    grain = generator.normal(0, 10, (kind.height, kind.width, 1))
    content = BytesIO()
    Image.fromarray((np.asarray(soft) + grain).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=95)
    path = folder / f"{number:03}.jpg"
    path.write_bytes(content.getvalue())
    return path


def load(source: str, folder: Path) -> tuple[DatasetStats, DataSplits]:
    """Return what a source is like and a sample of it; of a known data set named without a path, synthetic images.

    Raises: UsageError, DataError, as `sources.load`.
    """
    if source in KNOWN:
        return KNOWN[source], stand_in(KNOWN[source], folder)
    splits = sources.load(source).divided("all", seed=0)  # without what is held out for validation
    kind = stats_of(splits)
    if splits.train.kind == "photos":
        train, test = splits.train.subsample(SAMPLE), splits.test.subsample(SAMPLE)
        splits = dataclasses.replace(splits, train=train, test=test)
    return kind, splits


def as_taken(kind: DatasetStats, train: Split) -> DatasetStats:
    """Return the kind as a network takes it: one for small images has them decoded, resized and kept in memory."""
    if kind.file_bytes is None or train.kind != "arrays":
        return kind
    return dataclasses.replace(kind, **train.stats()._asdict())


def loading_rate(batches: TrainingBatches, batch_size: int) -> float:
    """Return the images a second that one core reads, augments and normalises.

    The mini-batches must be made in this process. The first one, which also sets things up, does not count.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images, start = -batch_size, 0.0
    try:
        for _ in batches.batches(0, 10**9):
            start = start or time.perf_counter()
            images += batch_size
            if time.perf_counter() - start > LOADING_SECONDS:
                break
        return images / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
