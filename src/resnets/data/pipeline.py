"""From a split to batches: endless training batches by their iteration, and one pass over a split to test on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.augmentation import CropFlip
from resnets.data.convention import Normalizer, normalize
from resnets.data.datasets import ImageArrays, ImageFiles, Images
from resnets.data.loading import Batch as Batch
from resnets.data.loading import Seeded, in_batches, loader
from resnets.data.photo_batches import PhotoBatches
from resnets.data.photos import Photos
from resnets.data.randomness import batch_samples, samples_of_batches
from resnets.data.streams import in_order, is_streamed
from resnets.errors import UsageError
from resnets.runtime.processes import WHOLE, Share
from resnets.specs import AreaCropFlip, Augmentation, InputConvention, PadCropFlip, ScaleCropFlip

DRAWN = 2_048  # iterations whose crops are drawn together: 10 MB of them at 128 images
TESTED_PIXELS = 2_048_000  # of the images that are tested together: 2,000 of CIFAR's

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
        augmentation: PadCropFlip,
        share: Share = WHOLE,
    ) -> None:
        self.labels = torch.from_numpy(train.labels)
        self.batch_size = batch_size
        self.seed = seed
        self.share = share
        self.images = CropFlip(train, augmentation, convention, seed)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration in range(start, stop):
            samples, epochs = batch_samples(self.seed, iteration, self.batch_size, len(self.labels), self.share)
            yield self.images(epochs, samples), self.labels[samples]


class ResidentBatches:
    """The same mini-batches of images that are resident on a GPU, which is not waited for.

    Where to crop is drawn on the CPU for thousands of iterations at a time. `gather` makes a mini-batch of one
    iteration's draw by work on the GPU alone, so that a CUDA graph may hold it.
    """

    def __init__(
        self,
        train: ImageArrays,
        convention: InputConvention,
        *,
        batch_size: int,
        seed: int,
        augmentation: PadCropFlip,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        self.labels = train.labels
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.share = share
        self.images = CropFlip(train, augmentation, convention, seed, device)

    def draws(self, start: int, stop: int) -> Iterator[Tensor]:
        """Yield what each iteration's mini-batch is gathered by. Shape: (5, B) int64, on the device"""
        for first in range(start, stop, DRAWN):
            iterations = range(first, min(first + DRAWN, stop))
            samples, epochs = samples_of_batches(
                self.seed, iterations, self.batch_size, len(self.labels), self.share
            )  # (iterations, B)
            crops = self.images.draw(epochs.ravel(), samples.ravel()).reshape(4, *samples.shape)
            table = np.concatenate([crops, self.labels[samples][None]]).transpose(1, 0, 2)  # (iterations, 5, B)
            drawn = torch.from_numpy(np.ascontiguousarray(table))
            if self.device.type == "cuda":
                drawn = drawn.pin_memory()  # from other memory a copy waits for all work before it
            yield from drawn.to(self.device, non_blocking=True)

    def gather(self, draw: Tensor) -> Batch:
        """Return the mini-batch of a draw, on the device. Shape: (5, B) -> (B, C, H, W), (B,)"""
        return self.images.crop(draw[:4]), draw[4]

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        return map(self.gather, self.draws(start, stop))


class ResidentImages:
    """A split in a GPU's memory, to be tested on there, one byte a pixel; its labels stay on the CPU."""

    def __init__(self, split: ImageArrays, convention: InputConvention, device: torch.device) -> None:
        self.images = torch.from_numpy(np.ascontiguousarray(split.images)).to(device)  # (N, H, W, C) uint8
        self.labels = torch.from_numpy(split.labels)
        self.normalized = Normalizer(convention, device)

    @staticmethod
    def fits(split: ImageArrays, device: torch.device) -> bool:
        """Return whether the device is a GPU that has room for the images."""
        return device.type == "cuda" and len(split) > 0 and _has_room(split.images.nbytes, device)

    def each_once(self, run: Callable[[Tensor], Tensor], batch_size: int) -> Iterator[Batch]:
        """Yield what `run` gives for all images, and their labels, in their order.

        All batches are of one size: `batch_size`, or more where images are small.

        Shape: `run` maps (B, H, W, C) uint8 to (B, ...)
        """
        total, height, width, _ = self.images.shape
        size = min(total, max(batch_size, TESTED_PIXELS // (height * width)))
        for start in range(0, total, size):
            first = min(start, total - size)  # the last batch reads some images again, which are left out
            found = run(self.images[first : first + size])
            yield found[start - first :], self.labels[start : first + size]


def _has_room(size: float, device: torch.device) -> bool:
    """Return whether bytes take at most a quarter of a GPU's free memory."""
    return 4 * size <= torch.cuda.mem_get_info(device)[0]


def _fits(train: ImageArrays, augmentation: PadCropFlip, device: torch.device) -> bool:
    """Return whether the device is a GPU that has room for padded images and their mirror images."""
    if device.type != "cuda":
        return False
    _, height, width, _ = train.images.shape
    grown = (height + 2 * augmentation.pad) * (width + 2 * augmentation.pad) / (height * width)
    return _has_room(train.images.nbytes * grown * (1 + augmentation.flip), device)


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
        augmentation = augmentation or PadCropFlip(pad=0, flip=False)
        common: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "augmentation": augmentation, "share": share}
        if _fits(train, augmentation, device):
            return ResidentBatches(train, convention, device=device, **common)
        return ArrayBatches(train, convention, **common)
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
