"""Images in memory, and section 4.2's augmentation of them, a whole batch at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.data.crop_flip import crop_flip
from resnets.data.decoding import DecodedImage
from resnets.data.loading import Batch, Batching, ImageStats, SplitKind, View, evenly_spaced, int64_labels
from resnets.data.normalization import Normalizer, fit, normalize, transferred
from resnets.data.randomness import samples_of_batches
from resnets.errors import DataError, UsageError, public
from resnets.runtime.processes import Share
from resnets.specs import Augmentation, InputSpec, PadCropFlip, Preprocessing

DRAWN = 2_048  # iterations whose crops are drawn together: 10 MB of them at 128 images
TESTED_PIXELS = 2_048_000  # of the images that are tested together: 2,000 of CIFAR's


@public
@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images of one size in memory, a `Split`; labels of any integer type become int64.

    On a GPU that has room for them they are augmented and tested there.

    Shape: images (N, H, W, C) uint8, labels (N,) int64
    Raises: DataError, if they have another type or shape.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    kind: ClassVar[SplitKind] = "arrays"
    random_access = True

    def __post_init__(self) -> None:
        if not isinstance(self.images, np.ndarray):
            raise DataError(f"images in memory are of type {type(self.images).__name__}; they must be a NumPy array")
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DataError(f"images in memory are {found}; they must be uint8 of shape (N, H, W, C)")
        object.__setattr__(self, "labels", int64_labels(self.labels, len(self.images)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{' x '.join(map(str, self.images.shape))} uint8>)"

    @property
    def side(self) -> int:
        return int(self.images.shape[1])

    @property
    def channels(self) -> int:
        return int(self.images.shape[3])

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """Return the SHA-256 of all pixels, then all labels as bytes (as two bytes from 256 classes on)."""
        labels = self.labels.astype(np.uint8 if self.labels.max(initial=0) < 256 else "<u2")
        content = hashlib.sha256(np.ascontiguousarray(self.images).data)
        content.update(labels.tobytes())
        return content.hexdigest()

    def stats(self) -> ImageStats:
        _, height, width, channels = self.images.shape
        return ImageStats(height, width, channels)

    def select(self, indices: NDArray[np.int64]) -> ImageArrays:
        return ImageArrays(self.images[indices], self.labels[indices])

    def take(self, share: Share) -> ImageArrays:
        own = slice(share.rank, None, share.size)
        return self if share.size == 1 else ImageArrays(self.images[own], self.labels[own])

    def subsample(self, count: int | None) -> ImageArrays:
        chosen = evenly_spaced(len(self), count)
        return self if chosen is None else self.select(chosen)

    def in_memory(self, side: int) -> ImageArrays:
        return self

    def fit_input(
        self, preprocessing: Preprocessing, augmentation: Augmentation | None, trained: InputSpec | None = None
    ) -> InputSpec:
        if trained is None:
            return fit(self.images, preprocessing)
        sized = fit(self.images[:1], preprocessing.with_changes(whitening=None))  # the statistics are the trained ones
        return transferred(trained, sized)

    def fit_augmentation(self, augmentation: Augmentation | None) -> Augmentation | None:
        return augmentation

    def training_batches(
        self, input_spec: InputSpec | None, augmentation: Augmentation | None, batching: Batching
    ) -> ArrayBatches | ResidentBatches:
        assert input_spec is not None
        how = augmentation or PadCropFlip(pad=0, flip=False)
        if not isinstance(how, PadCropFlip):
            raise UsageError("this recipe resizes and crops image files; images in memory need one that pads and crops")
        _, height, width, _ = self.images.shape
        padded = (height + 2 * how.pad) * (width + 2 * how.pad) / (height * width)
        if _has_room(self.images.nbytes * padded * (1 + how.flip), batching.device):
            return ResidentBatches(self, input_spec, how, batching)
        return ArrayBatches(self, input_spec, how, batching)

    def test_batches(self, input_spec: InputSpec | None, *, batch_size: int, workers: int = 0) -> Iterator[Batch]:
        assert input_spec is not None
        for start in range(0, len(self), batch_size):
            images = normalize(self.images[start : start + batch_size], input_spec)
            labels = self.labels[start : start + batch_size]
            yield torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)

    def views(
        self, cut: Callable[[DecodedImage], list[Image.Image]], channels: int, workers: int, shorter: int | None = None
    ) -> Iterator[tuple[int, list[View]]]:
        raise UsageError("views are crops of image files, and these images are arrays of one size")

    def resident(self, input_spec: InputSpec | None, device: torch.device) -> ResidentImages | None:
        if input_spec is None or len(self) == 0 or not _has_room(self.images.nbytes, device):
            return None
        return ResidentImages(self, input_spec, device)


def _has_room(size: float, device: torch.device) -> bool:
    """Return whether the device is a GPU, and bytes take at most a quarter of its free memory."""
    return device.type == "cuda" and 4 * size <= torch.cuda.mem_get_info(device)[0]


class ArrayBatches:
    """Mini-batches of images in memory, augmented a batch at a time."""

    def __init__(
        self, train: ImageArrays, input_spec: InputSpec, augmentation: PadCropFlip, batching: Batching
    ) -> None:
        self.labels = torch.from_numpy(train.labels)
        self.batching = batching
        self.images = crop_flip(train.images, augmentation, input_spec, batching.seed)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration in range(start, stop):
            samples, epochs = self.batching.samples(iteration, len(self.labels))
            yield self.images(epochs, samples), self.labels[samples]


class ResidentBatches:
    """The same mini-batches of images that are resident on a GPU, which is not waited for.

    Where to crop is drawn on the CPU for thousands of iterations at a time. `gather` makes a mini-batch of one
    iteration's draw by work on the GPU alone, so that a CUDA graph may hold it.
    """

    def __init__(
        self, train: ImageArrays, input_spec: InputSpec, augmentation: PadCropFlip, batching: Batching
    ) -> None:
        self.labels = train.labels
        self.batching = batching
        self.images = crop_flip(train.images, augmentation, input_spec, batching.seed, batching.device)

    def draws(self, start: int, stop: int) -> Iterator[Tensor]:
        """Yield what each iteration's mini-batch is gathered by. Shape: (5, B) int64, on the device"""
        how = self.batching
        for first in range(start, stop, DRAWN):
            iterations = range(first, min(first + DRAWN, stop))
            samples, epochs = samples_of_batches(
                how.seed, iterations, how.batch_size, len(self.labels), how.share
            )  # (iterations, B)
            crops = self.images.draw(epochs.ravel(), samples.ravel()).reshape(4, *samples.shape)
            table = np.concatenate([crops, self.labels[samples][None]]).transpose(1, 0, 2)  # (iterations, 5, B)
            drawn = torch.from_numpy(np.ascontiguousarray(table))
            if how.device.type == "cuda":
                drawn = drawn.pin_memory()  # from other memory a copy waits for all work before it
            yield from drawn.to(how.device, non_blocking=True)

    def gather(self, draw: Tensor) -> Batch:
        """Return the mini-batch of a draw, on the device. Shape: (5, B) -> (B, C, H, W), (B,)"""
        return self.images.crop(draw[:4]), draw[4]

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        return map(self.gather, self.draws(start, stop))


class ResidentImages:
    """A split in a GPU's memory, to be tested on there, one byte a pixel; its labels stay on the CPU."""

    def __init__(self, split: ImageArrays, input_spec: InputSpec, device: torch.device) -> None:
        self.images = torch.from_numpy(np.ascontiguousarray(split.images)).to(device)  # (N, H, W, C) uint8
        self.labels = torch.from_numpy(split.labels)
        self.normalized = Normalizer(input_spec, device)

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
