"""From a split to batches: endless training batches by their iteration, and one pass over a split to test on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset

from resnets.data.augmentation import CropFlip
from resnets.data.convention import Normalizer, normalize
from resnets.data.datasets import ImageArrays, ImageFiles, Images
from resnets.data.loading import Batch as Batch
from resnets.data.loading import Seeded, in_batches, loader
from resnets.data.photo_batches import PhotoBatches
from resnets.data.photos import Photos
from resnets.data.randomness import batch_samples
from resnets.data.share import WHOLE, Share
from resnets.data.streams import in_order, is_streamed
from resnets.errors import UsageError
from resnets.specs import AreaCropFlip, Augmentation, InputConvention, PadCropFlip, ScaleCropFlip

_CPU = torch.device("cpu")


class TrainingBatches(Protocol):
    """The mini-batches of a run, or a process's share of each: iteration i's depends on i and the seed alone."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the mini-batches of iterations start, start + 1, ..., stop - 1."""


class ArrayBatches:
    """Mini-batches of images in memory, augmented a batch at a time."""

    def __init__(
        self,
        train: ImageArrays,
        convention: InputConvention,
        *,
        batch_size: int,
        seed: int,
        augmentation: PadCropFlip | None,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        augmentation = augmentation or PadCropFlip(pad=0, flip=False)
        resident = device if _fits(train, augmentation, device) else None
        self.labels = torch.from_numpy(train.labels)
        self.batch_size = batch_size
        self.seed = seed
        self.share = share
        self.images = CropFlip(train, augmentation, convention, seed, resident)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration in range(start, stop):
            samples, epochs = batch_samples(self.seed, iteration, self.batch_size, len(self.labels), self.share)
            yield self.images(epochs, samples), self.labels[samples]


def _fits(train: ImageArrays, augmentation: PadCropFlip, device: torch.device) -> bool:
    """Tell whether padded images and their mirror images take at most a quarter of a GPU's free memory."""
    if device.type != "cuda":
        return False
    _, height, width, _ = train.images.shape
    grown = (height + 2 * augmentation.pad) * (width + 2 * augmentation.pad) / (height * width)
    return 4 * train.images.nbytes * grown * (1 + augmentation.flip) <= torch.cuda.mem_get_info(device)[0]


class LoaderBatches:
    """Mini-batches of a map-style dataset, read by worker processes."""

    def __init__(
        self, dataset: Dataset[Any], *, batch_size: int, seed: int, workers: int, share: Share = WHOLE
    ) -> None:
        self.dataset = Seeded(dataset, seed)
        self.share = share
        self.samples = len(dataset)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers
        self.share = share

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        def keys() -> Iterator[list[tuple[int, int]]]:
            for iteration in range(start, stop):
                samples, epochs = batch_samples(self.seed, iteration, self.batch_size, self.samples, self.share)
                yield list(zip(epochs.tolist(), samples.tolist(), strict=True))

        yield from loader(self.dataset, self.workers, None, batch_sampler=keys())


def training_batches(
    train: Images,
    convention: InputConvention | None,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | None,
    workers: int,
    device: torch.device = _CPU,
    iterations: int | None = None,
    share: Share = WHOLE,
) -> TrainingBatches:
    """Return the mini-batches of a training split; a dataset object is taken as it is, without augmentation.

    Images in memory are augmented on the `device` that trains on them, where they fit. `iterations` is the length of
    the training, which only crops that grow depend on. One of several processes makes its share of each mini-batch
    alone; `batch_size` is of all of them together.

    Raises: UsageError, if the augmentation is for other images, or a mini-batch cannot be shared evenly.
    """
    share.of_batch(batch_size)
    if isinstance(train, ImageArrays):
        assert convention is not None
        if isinstance(augmentation, ScaleCropFlip | AreaCropFlip):
            raise UsageError("this recipe resizes and crops photos; images in memory need one that pads and crops")
        return ArrayBatches(
            train, convention, batch_size=batch_size, seed=seed, augmentation=augmentation, device=device, share=share
        )
    if isinstance(train, ImageFiles):
        assert convention is not None
        if isinstance(augmentation, PadCropFlip):
            raise UsageError("this recipe pads and crops small images; photos need one that resizes and crops")
        return PhotoBatches(
            train,
            convention,
            augmentation,
            batch_size=batch_size,
            seed=seed,
            workers=workers,
            iterations=iterations,
            device=device,
            share=share,
        )
    return LoaderBatches(train, batch_size=batch_size, seed=seed, workers=workers, share=share)


def single_pass(
    split: Images,
    convention: InputConvention | None,
    *,
    batch_size: int,
    workers: int = 0,
) -> Iterator[Batch]:
    """Yield every sample of a split once, in its order; the last batch may be smaller.

    Paper: section 4.2, the single original view.
    """
    if isinstance(split, ImageArrays):
        assert convention is not None
        for start in range(0, len(split), batch_size):
            images = normalize(split.images[start : start + batch_size], convention)
            labels = split.labels[start : start + batch_size]
            yield torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
        return
    if isinstance(split, ImageFiles):
        assert convention is not None
        photos, normalized = Photos(split, convention, None), Normalizer(convention, _CPU)
        if is_streamed(split):
            stream = in_batches(((sample, file, None) for sample, file in in_order(split)), batch_size)
            yield from loader(photos, workers, normalized, batch_sampler=stream)
        else:
            yield from loader(photos, workers, normalized, batch_size=batch_size)
        return
    yield from loader(split, workers, None, batch_size=batch_size)
