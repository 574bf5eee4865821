"""From a split to batches: endless training batches by their iteration, and one pass over a split to test on."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnets.data.augmentation import CropFlip
from resnets.data.convention import Normalizer, normalize
from resnets.data.datasets import ImageArrays, ImageFiles, Images
from resnets.data.photos import Photos
from resnets.data.randomness import batch_samples, sample_bits
from resnets.data.share import WHOLE, Share
from resnets.errors import DataError, UsageError
from resnets.specs import Augmentation, InputConvention, PadCropFlip, ScaleCropFlip

Batch = tuple[Tensor, Tensor]
"""Images (B, C, H, W) float32 and labels (B,) int64."""

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


class _Seeded(Dataset[Any]):
    """A map-style dataset that draws each sample's augmentation from (seed, epoch, sample)."""

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, sample = key
        bits = int(sample_bits(self.seed, np.array([epoch]), np.array([sample]))[0])
        states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        try:
            random.seed(bits)
            np.random.seed(bits & 0xFFFFFFFF)
            torch.default_generator.manual_seed(bits)  # torch.manual_seed would seed the GPUs as well, for good
            return self.dataset[sample]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.random.set_rng_state(states[2])


class LoaderBatches:
    """Mini-batches of a map-style dataset, read by worker processes, and normalised where it gives bytes."""

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        batch_size: int,
        seed: int,
        workers: int,
        normalized: Callable[[Tensor], Tensor] | None = None,
        share: Share = WHOLE,
    ) -> None:
        self.dataset = _Seeded(dataset, seed)
        self.normalized = normalized
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

        yield from _loader(self.dataset, self.workers, self.normalized, batch_sampler=keys())


def training_batches(
    train: Images,
    convention: InputConvention | None,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | None,
    workers: int,
    device: torch.device = _CPU,
    share: Share = WHOLE,
) -> TrainingBatches:
    """Return the mini-batches of a training split; a dataset object is taken as it is, without augmentation.

    Images in memory are augmented on the `device` that trains on them, where they fit. One of several processes makes
    its share of each mini-batch alone; `batch_size` is of all of them together.

    Raises: UsageError, if the augmentation is for other images, or a mini-batch cannot be shared evenly.
    """
    share.of_batch(batch_size)
    if isinstance(train, ImageArrays):
        assert convention is not None
        if isinstance(augmentation, ScaleCropFlip):
            raise UsageError("this recipe resizes and crops photos; images in memory need one that pads and crops")
        return ArrayBatches(
            train, convention, batch_size=batch_size, seed=seed, augmentation=augmentation, device=device, share=share
        )
    if isinstance(train, ImageFiles):
        assert convention is not None
        if isinstance(augmentation, PadCropFlip):
            raise UsageError("this recipe pads and crops small images; photos need one that resizes and crops")
        photos, normalized = Photos(train, convention, augmentation), Normalizer(convention, device)
        return LoaderBatches(
            photos, batch_size=batch_size, seed=seed, workers=workers, normalized=normalized, share=share
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
        yield from _loader(
            Photos(split, convention, None), workers, Normalizer(convention, _CPU), batch_size=batch_size
        )
        return
    yield from _loader(split, workers, None, batch_size=batch_size)


def _loader(
    dataset: Dataset[Any], workers: int, normalized: Callable[[Tensor], Tensor] | None, **options: Any
) -> Iterator[Batch]:
    for images, labels in loading(dataset, workers, **options):
        yield normalized(images) if normalized else images, torch.as_tensor(labels, dtype=torch.int64)


def loading(dataset: Dataset[Any], workers: int, **options: Any) -> Iterator[Any]:
    """Yield what a `DataLoader` with these options gives, read by worker processes.

    Raises: DataError, in one line, of a sample that cannot be read.
    """
    options["generator"] = torch.Generator()  # else each pass would draw from the global one
    options |= {"num_workers": workers, "pin_memory": torch.cuda.is_available(), "worker_init_fn": _ignore_signals}
    try:
        yield from DataLoader(dataset, **options)
    except DataError as error:  # a worker's error arrives with its whole traceback as its message
        raise DataError(str(error).rpartition("DataError: ")[2].strip()) from None


def _ignore_signals(worker: int) -> None:
    """Leave Ctrl-C, which reaches a whole process group, and SIGTERM, which may, to the process that trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
