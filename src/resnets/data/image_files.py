"""Image files as a split: single views to fit and test on, section 3.4's batches to train on."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.data.arrays import ImageArrays
from resnets.data.decoding import DecodedImage, single_views
from resnets.data.headers import read_headers
from resnets.data.loading import (
    CPU,
    Batch,
    Batching,
    ImageStats,
    PhotoKey,
    Seeded,
    SplitKind,
    View,
    evenly_spaced,
    in_batches,
    int64_labels,
    loader,
    loading,
)
from resnets.data.normalization import Normalizer, fit_colors, fit_photos, std_of, transferred
from resnets.data.photos import Photos, PhotoViews
from resnets.data.randomness import normals, sample_bits
from resnets.data.stored_file import ImageFile, Paths, size_of
from resnets.errors import ImageError, UsageError, public
from resnets.runtime.processes import Share
from resnets.specs import (
    AreaCropFlip,
    Augmentation,
    InputSpec,
    PadCropFlip,
    PhotoAugmentation,
    Preprocessing,
    PrincipalColors,
)

_COLORS = 0x436F6C6F7273  # so that colours are drawn by other words than the crops
SAMPLE = 256  # files that the size of a typical one is taken from
FITTED = {"pixel": 10_000, "channel": 1_000}  # files that a mean is fitted on; of pixels it takes more of them


@public
@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of any size, a `Split`, decoded when they are needed; labels of any integer type become int64.

    A file may lie on its own, in a tar shard or in a table.

    Shape: labels (N,) int64
    Raises: DataError, if the labels have another type or number.
    """

    paths: Sequence[ImageFile]
    labels: NDArray[np.int64]
    content_digest: str | None = None  # where the source has it; else it is computed from names and sizes
    channels: int = 3  # colour, or 1: grey

    kind: ClassVar[SplitKind] = "photos"
    side = None
    random_access = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", int64_labels(self.labels, len(self.paths)))
        if isinstance(self.paths, tuple | list) and any(isinstance(path, str) for path in self.paths):
            object.__setattr__(self, "paths", [Path(path) if isinstance(path, str) else path for path in self.paths])
        if isinstance(self.paths, tuple | list) and all(isinstance(path, Path) for path in self.paths):
            object.__setattr__(self, "paths", Paths(self.paths))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{len(self.paths)} files>, channels={self.channels})"

    def __len__(self) -> int:
        return len(self.paths)

    def digest(self) -> str:
        """Return the SHA-256 over each file's class, name and size in bytes, in order.

        Not over its content, which would have to be read: an edited file of the same size goes unnoticed.

        Raises: ImageError, if a file is gone.
        """
        if self.content_digest is not None:
            return self.content_digest
        content = hashlib.sha256()
        for path, label in zip(self.paths, self.labels.tolist(), strict=True):
            try:
                size = size_of(path)
            except OSError as error:
                raise ImageError(f"{path}: failed to read ({error.strerror or error})") from None
            content.update(b"%d/%s/%d\n" % (label, os.fsencode(path.name), size))  # a name may be no UTF-8
        return content.hexdigest()

    def stats(self) -> ImageStats:
        """Return the means over some files, of their headers and sizes in bytes."""
        paths = self.subsample(SAMPLE).paths
        sizes = [(header.width, header.height) for header in read_headers(paths)]
        width, height = (round(float(side)) for side in np.mean(sizes, axis=0))
        return ImageStats(height, width, self.channels, round(sum(map(size_of, paths)) / len(paths)))

    def select(self, indices: NDArray[np.int64]) -> ImageFiles:
        return ImageFiles(tuple(self.paths[i] for i in indices), self.labels[indices], channels=self.channels)

    def together_with(self, others: ImageFiles) -> ImageFiles:
        """Return these images and others, class by class."""
        labels = np.concatenate((self.labels, others.labels))
        return dataclasses.replace(self, paths=(*self.paths, *others.paths), labels=labels).select(
            np.argsort(labels, kind="stable")
        )

    def take(self, share: Share) -> ImageFiles:
        if share.size == 1:
            return self
        own = slice(share.rank, None, share.size)
        return dataclasses.replace(self, paths=self.paths[own], labels=self.labels[own], content_digest=None)

    def subsample(self, count: int | None) -> ImageFiles:
        chosen = evenly_spaced(len(self), count)
        return self if chosen is None else self.select(chosen)

    def numbered(self) -> Iterator[tuple[int, ImageFile]]:
        """Yield each sample with its file, in the order in which they are read."""
        return enumerate(self.paths)

    def in_memory(self, side: int) -> ImageArrays:
        view = InputSpec(size=side, resize=side, channels=self.channels)
        images = np.empty((len(self), side, side, self.channels), np.uint8)
        for part in in_batches(self.numbered(), 1_000):  # as they come, each put in its place
            images[[sample for sample, _ in part]] = single_views([file for _, file in part], view)
        return ImageArrays(images, self.labels)

    def fit_input(
        self, preprocessing: Preprocessing, augmentation: Augmentation | None, trained: InputSpec | None = None
    ) -> InputSpec:
        """Return the input as the protocol says, fitted on at most 10,000 files for a mean image, else on 1,000."""
        if augmentation is None or isinstance(augmentation, PadCropFlip):
            raise UsageError("this recipe pads and crops small images of one size; use 'scratch' for image files")
        size, resize = augmentation.crop, augmentation.resize
        if trained is not None:  # thousands of files need not be read
            input_spec = InputSpec(size=size, resize=resize, channels=self.channels, decode=preprocessing.decode)
            return transferred(trained, input_spec)
        chosen = self.subsample(FITTED[preprocessing.mean])
        return fit_photos(chosen.paths, preprocessing, size=size, resize=resize, channels=self.channels)

    def fit_augmentation(self, augmentation: Augmentation | None) -> Augmentation | None:
        if augmentation is None or isinstance(augmentation, PadCropFlip):
            return augmentation
        if augmentation.colors is None or augmentation.colors.values is not None:
            return augmentation
        if self.channels == 1:  # grey has no colours
            return augmentation.with_changes(colors=None)
        chosen = self.subsample(FITTED["channel"]).paths
        colors = fit_colors(chosen, augmentation.colors, size=augmentation.crop, resize=augmentation.resize)
        return augmentation.with_changes(colors=colors)

    def training_batches(
        self, input_spec: InputSpec | None, augmentation: Augmentation | None, batching: Batching
    ) -> PhotoBatches:
        assert input_spec is not None
        if isinstance(augmentation, PadCropFlip):
            raise UsageError("this recipe pads and crops small images; image files need one that resizes and crops")
        return PhotoBatches(self, input_spec, augmentation, batching)

    def drawn(self, batching: Batching, start: int, stop: int) -> Iterator[Drawn]:
        """Yield what the mini-batches of iterations start to stop - 1 are made of."""
        for iteration in range(start, stop):
            samples, epochs = batching.samples(iteration, len(self))
            yield epochs, samples, [None] * len(samples)

    def test_batches(self, input_spec: InputSpec | None, *, batch_size: int, workers: int = 0) -> Iterator[Batch]:
        assert input_spec is not None
        photos = Photos(self.paths, self.labels, input_spec, None)
        normalized = Normalizer(input_spec, CPU)
        yield from loader(photos, workers, normalized, batch_sampler=in_batches(self._keys(), batch_size))

    def views(
        self, cut: Callable[[DecodedImage], list[Image.Image]], channels: int, workers: int, shorter: int | None = None
    ) -> Iterator[tuple[int, list[View]]]:
        samples = PhotoViews(self.paths, cut, channels, shorter)
        found = loading(samples, workers, batch_size=None, sampler=self._keys(), collate_fn=_as_it_is)
        for number, views in found:
            yield number, [view.numpy().copy() for view in views]  # those that wait hold no shared memory

    def _keys(self) -> Iterator[PhotoKey]:
        return ((sample, None, None) for sample in range(len(self)))

    def resident(self, input_spec: InputSpec | None, device: torch.device) -> None:
        return None


Drawn = tuple[NDArray[np.int64], NDArray[np.int64], list[ImageFile | None]]
"""Epochs and samples of a mini-batch, and their files where a stream has read them already."""


def _as_it_is(sample: Any) -> Any:
    return sample


class PhotoBatches:
    """Section 3.4's mini-batches: images cropped by worker processes, then normalised and coloured together."""

    def __init__(
        self,
        train: ImageFiles,
        input_spec: InputSpec,
        augmentation: PhotoAugmentation | None,
        batching: Batching,
    ) -> None:
        growing = augmentation if isinstance(augmentation, AreaCropFlip) and augmentation.start_crop else None
        if growing is not None and (batching.iterations is None or input_spec.mean_image is not None):
            raise UsageError("crops that grow need the length of the training, and no mean of each pixel")
        self.growing = growing
        self.train, self.batching = train, batching
        self.dataset = Seeded(Photos(train.paths, train.labels, input_spec, augmentation), batching.seed)
        self.normalized = Normalizer(input_spec, batching.device)
        colors = None if augmentation is None else augmentation.colors
        self.colors = None if colors is None else ColorShifts(colors, input_spec, batching.seed, batching.device)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        loading_now: deque[tuple[NDArray[np.int64], NDArray[np.int64]]] = deque()  # epochs and samples

        def keys() -> Iterator[list[tuple[int, PhotoKey]]]:
            for iteration, (epochs, samples, files) in enumerate(self.train.drawn(self.batching, start, stop), start):
                loading_now.append((epochs, samples))
                size = self._size(iteration)
                triples = zip(epochs.tolist(), samples.tolist(), files, strict=True)
                yield [(epoch, (sample, file, size)) for epoch, sample, file in triples]

        for images, labels in loader(self.dataset, self.batching.workers, self.normalized, batch_sampler=keys()):
            epochs, samples = loading_now.popleft()
            yield images if self.colors is None else self.colors(images, epochs, samples), labels

    def _size(self, iteration: int) -> int | None:
        return None if self.growing is None else self.growing.size_at(iteration / (self.batching.iterations or 1))


class ColorShifts:
    """Section 3.4's colour augmentation, a mini-batch of normalised images at a time."""

    def __init__(self, colors: PrincipalColors, input_spec: InputSpec, seed: int, device: torch.device) -> None:
        if colors.values is None or colors.vectors is None:
            raise UsageError("the colour augmentation's axes are not known; resolve it with resnets.data's fit_colors")
        axes = np.asarray(colors.values)[:, None] * np.asarray(colors.vectors) * colors.std  # (3, RGB), of white 1
        self.axes = input_spec.max_value * (axes[:, ::-1] if input_spec.channel_order == "BGR" else axes)
        self.std = std_of(input_spec)
        self.seed, self.device = seed, device

    def __call__(self, images: Tensor, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> Tensor:
        bits = sample_bits(self.seed ^ _COLORS, epochs, samples)
        shifts = (normals(bits, 3) @ self.axes).astype(np.float32)  # (B, 3)
        if self.std is not None:
            shifts /= self.std
        return images.add_(torch.from_numpy(shifts)[:, :, None, None].to(self.device, non_blocking=True))
