"""Section 3.4's training batches: photos cropped by worker processes, then normalised and coloured together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.data.convention import Normalizer, std_of
from resnets.data.datasets import ImageFiles
from resnets.data.loading import Batch, Seeded, in_batches, loader
from resnets.data.photos import PhotoKey, Photos
from resnets.data.randomness import batch_samples, normals, sample_bits
from resnets.data.stored import ImageFile
from resnets.data.streams import is_streamed, read_ahead, training_stream
from resnets.errors import UsageError
from resnets.runtime.processes import WHOLE, Share
from resnets.specs import AreaCropFlip, InputConvention, PhotoAugmentation, PrincipalColors

_COLORS = 0x436F6C6F7273  # so that colours are drawn by other words than the crops


class PhotoBatches:
    """Mini-batches of photos: read by worker processes, from where they lie or as a stream, normalised and coloured.

    `iterations` is the length of the training, which crops that grow depend on.
    """

    def __init__(
        self,
        train: ImageFiles,
        convention: InputConvention,
        augmentation: PhotoAugmentation | None,
        *,
        batch_size: int,
        seed: int,
        workers: int,
        iterations: int | None,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        growing = augmentation if isinstance(augmentation, AreaCropFlip) and augmentation.growing_from else None
        if growing is not None and (iterations is None or convention.mean_image is not None):
            raise UsageError("crops that grow need the length of the training, and no mean of each pixel")
        self.growing, self.iterations = growing, iterations
        self.train = train
        self.dataset = Seeded(Photos(train, convention, augmentation), seed)
        self.normalized = Normalizer(convention, device)
        colors = None if augmentation is None else augmentation.colors
        self.colors = None if colors is None else _Colors(colors, convention, seed, device)
        self.batch_size, self.seed, self.workers, self.share = batch_size, seed, workers, share

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        drawn: deque[tuple[NDArray[np.int64], NDArray[np.int64]]] = deque()  # of mini-batches on their way

        def keys() -> Iterator[list[tuple[int, PhotoKey]]]:
            for epochs, samples, files, size in self._wanted(start, stop):
                drawn.append((epochs, samples))
                pairs = zip(epochs.tolist(), samples.tolist(), files, strict=True)
                yield [(epoch, (sample, file, size)) for epoch, sample, file in pairs]

        for images, labels in loader(self.dataset, self.workers, self.normalized, batch_sampler=keys()):
            epochs, samples = drawn.popleft()
            yield images if self.colors is None else self.colors(images, epochs, samples), labels

    def _wanted(
        self, start: int, stop: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], list[ImageFile | None], int | None]]:
        count = self.batch_size
        if not is_streamed(self.train):
            for iteration in range(start, stop):
                samples, epochs = batch_samples(self.seed, iteration, count, len(self.train), self.share)
                yield epochs, samples, [None] * len(samples), self._size(iteration)
            return
        stream = training_stream(self.train, self.seed, start * count, stop * count)
        for iteration, batch in enumerate(read_ahead(in_batches(stream, count), depth=4), start):
            epoch, sample, files = zip(*batch[self.share.of_batch(count)], strict=True)
            yield np.asarray(epoch, np.int64), np.asarray(sample, np.int64), list(files), self._size(iteration)

    def _size(self, iteration: int) -> int | None:
        return None if self.growing is None else self.growing.size_at(iteration / (self.iterations or 1))


class _Colors:
    """Section 3.4's colour augmentation, a mini-batch of normalised images at a time."""

    def __init__(self, colors: PrincipalColors, convention: InputConvention, seed: int, device: torch.device) -> None:
        if colors.values is None or colors.vectors is None:
            raise UsageError("the colour augmentation's axes are not known; resolve it with resnets.data's fit_colors")
        axes = np.asarray(colors.values)[:, None] * np.asarray(colors.vectors) * colors.std  # (3, RGB), of white 1
        self.axes = convention.white * (axes[:, ::-1] if convention.order == "BGR" else axes)
        self.std = std_of(convention)
        self.seed, self.device = seed, device

    def __call__(self, images: Tensor, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> Tensor:
        bits = sample_bits(self.seed ^ _COLORS, epochs, samples)
        shifts = (normals(bits, 3) @ self.axes).astype(np.float32)  # (B, 3)
        if self.std is not None:
            shifts /= self.std
        return images.add_(torch.from_numpy(shifts)[:, :, None, None].to(self.device, non_blocking=True))
