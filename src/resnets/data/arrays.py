"""Images in memory, and section 4.2's augmentation of them, a whole batch at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.data.decoding import DecodedImage
from resnets.data.loading import Batch, Batching, ImageStats, SplitKind, View, evenly_spaced, int64_labels
from resnets.data.normalization import Normalizer, divisor_of, fit, mean_of, normalize, std_of, transferred
from resnets.data.randomness import sample_bits, samples_of_batches, uniform_integers
from resnets.errors import DataError, UsageError
from resnets.runtime.processes import Share
from resnets.specs import Augmentation, InputSpec, PadCropFlip, Preprocessing

DRAWN = 2_048  # iterations whose crops are drawn together: 10 MB of them at 128 images
TESTED_PIXELS = 2_048_000  # of the images that are tested together: 2,000 of CIFAR's


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
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DataError(f"images in memory are {found}; they must be uint8 of shape (N, H, W, C)")
        object.__setattr__(self, "labels", int64_labels(self.labels, len(self.images)))

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
        fitted = fit(self.images, preprocessing)
        return fitted if trained is None else transferred(trained, fitted)

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
        self.images = CropFlip(train, augmentation, input_spec, batching.seed)

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
        self.images = CropFlip(train, augmentation, input_spec, batching.seed, batching.device)

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


def _windows(images: NDArray[Any], pad: int, flip: bool, device: torch.device | None) -> NDArray[Any] | Tensor:
    """Return a view of every crop of the zero-padded images and (from N on) of their mirror images.

    Only the padded images are stored; a crop is a row of this view, copied when it is taken. It is an array, which a
    CPU gathers from ten times as fast as from a tensor, or a tensor on the `device`.

    Shape: (N, H, W, C) -> (N or 2N, 2 * pad + 1, 2 * pad + 1, H, W * C)
    """
    count, height, width, channels = images.shape
    padded = np.zeros((1 + flip, count, height + 2 * pad, width + 2 * pad, channels), images.dtype)
    inside = slice(pad, pad + height), slice(pad, pad + width)
    padded[0][:, *inside] = images
    if flip:
        padded[1][:, *inside] = images[:, :, ::-1]
    rows = padded.reshape((1 + flip) * count, height + 2 * pad, (width + 2 * pad) * channels)
    shape = (len(rows), 2 * pad + 1, 2 * pad + 1, height, width * channels)
    image, row, value = rows.strides
    if device is None:
        return as_strided(rows, shape, (image, row, channels * value, row, value), writeable=False)
    image, row = image // value, row // value
    return torch.from_numpy(rows).to(device).as_strided(shape, (image, row, channels, row, 1))


class CropFlip:
    """Training images in memory, cropped and mirrored as their (seed, epoch, sample) says.

    The mean is subtracted first and the padding is zero after it, so the mean image is cropped with the images.
    With a `device` the images are there, and are cropped there by draws that were copied to it.
    """

    def __init__(
        self,
        train: ImageArrays,
        augmentation: PadCropFlip,
        input_spec: InputSpec,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self.shape = train.images.shape[1:]
        self.count = len(train)
        self.augmentation = augmentation
        self.seed = seed
        self.device = device
        self.divisor = divisor_of(input_spec)
        pixels = train.images[..., ::-1] if input_spec.channel_order == "BGR" else train.images
        self.images: Any = _windows(pixels, augmentation.pad, augmentation.flip, device)
        self.means: Any = _windows(mean_of(input_spec)[None], augmentation.pad, augmentation.flip, device)
        std = std_of(input_spec)
        self.std = None if std is None else torch.from_numpy(std).to(device)

    def __call__(self, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> Tensor:
        """Return the samples as they are seen in these epochs.

        Shape: (B,), (B,) -> (B, C, H, W) float32, channels last in memory
        """
        return self.crop(self.draw(epochs, samples))

    def draw(self, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where samples are cropped in these epochs: the padded image, whether mirrored, top and left.

        Shape: (B,), (B,) -> (4, B)
        """
        bits = sample_bits(self.seed, epochs, samples)
        top = uniform_integers(bits, 0, 2 * self.augmentation.pad + 1)
        left = uniform_integers(bits, 1, 2 * self.augmentation.pad + 1)
        mirror = self._mirror(bits, epochs, samples)
        return np.stack([samples + mirror * self.count, mirror, top, left])

    def crop(self, drawn: Any) -> Tensor:
        """Return the images of a draw: an array, or with a `device` a tensor of it.

        Shape: (4, B) -> (B, C, H, W) float32, channels last in memory
        """
        image, mirror, top, left = drawn
        crops = torch.as_tensor(self.images[image, top, left])  # (B, H, W * C) uint8
        means = torch.as_tensor(self.means[mirror, top, left])  # (B, H, W * C)
        images = crops.float().div_(self.divisor).sub_(means)
        images = images.view(-1, *self.shape)  # (B, H, W, C)
        if self.std is not None:
            images /= self.std
        return images.permute(0, 3, 1, 2)

    def _mirror(
        self, bits: NDArray[np.uint64], epochs: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return 1 for the samples that are mirrored, 0 for the others."""
        if not self.augmentation.flip:
            return np.zeros_like(samples)
        if self.augmentation.alternate:  # from a side that is drawn for the sample, once for all epochs
            return (uniform_integers(sample_bits(self.seed, np.zeros_like(epochs), samples), 2, 2) + epochs) % 2
        return uniform_integers(bits, 2, 2)
