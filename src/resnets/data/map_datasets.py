"""Map-style datasets as splits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset

from resnets.data.decoding import DecodedImage
from resnets.data.loading import Batch, Batching, ImageStats, Seeded, SplitKind, View, evenly_spaced, loader
from resnets.errors import DataError, UsageError
from resnets.runtime.processes import Share
from resnets.specs import Augmentation, InputSpec, Preprocessing


class MapSplit:
    """A map-style dataset of (image tensor (C, H, W), label), already augmented and normalised, as a `Split`.

    Its random draws depend on (seed, epoch, sample) alone, from whichever of the usual generators they are. With
    `classes`, their number, and `order`, the class of each of its labels, each sample is verified as it is read.
    """

    kind: ClassVar[SplitKind] = "tensors"
    labels = None
    random_access = True

    def __init__(
        self, dataset: Dataset[Any], classes: int | None = None, order: list[int] | None = None, name: str = ""
    ) -> None:
        self.dataset: Dataset[Any] = _Verified(dataset, classes, order, f"{name} sample".lstrip())

    @property
    def side(self) -> int:
        return int(self.dataset[0][0].shape[1])

    @property
    def channels(self) -> int:
        return int(self.dataset[0][0].shape[0])

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # torch's class declares no length

    def digest(self) -> None:
        return None

    def stats(self) -> ImageStats:
        channels, height, width = self.dataset[0][0].shape
        return ImageStats(height, width, channels)

    def select(self, indices: NDArray[np.int64]) -> MapSplit:
        return self._part(indices.tolist())

    def take(self, share: Share) -> MapSplit:
        own = slice(share.rank, None, share.size)
        return self if share.size == 1 else self._part(range(len(self))[own])

    def _part(self, indices: Sequence[int]) -> MapSplit:
        part = copy(self)
        part.dataset = Subset(self.dataset, indices)
        return part

    def subsample(self, count: int | None) -> MapSplit:
        chosen = evenly_spaced(len(self), count)
        return self if chosen is None else self.select(chosen)

    def in_memory(self, side: int) -> MapSplit:
        return self

    def fit_input(
        self, preprocessing: Preprocessing, augmentation: Augmentation | None, trained: InputSpec | None = None
    ) -> None:
        return None

    def fit_augmentation(self, augmentation: Augmentation | None) -> Augmentation | None:
        return augmentation

    def training_batches(
        self, input_spec: InputSpec | None, augmentation: Augmentation | None, batching: Batching
    ) -> LoaderBatches:
        return LoaderBatches(self.dataset, len(self), batching)

    def test_batches(self, input_spec: InputSpec | None, *, batch_size: int, workers: int = 0) -> Iterator[Batch]:
        return loader(self.dataset, workers, None, batch_size=batch_size)

    def views(
        self, cut: Callable[[DecodedImage], list[Image.Image]], channels: int, workers: int, shorter: int | None = None
    ) -> Iterator[tuple[int, list[View]]]:
        raise UsageError("views are crops of image files, and a dataset object returns tensors")

    def resident(self, input_spec: InputSpec | None, device: torch.device) -> None:
        return None


class _Verified(Dataset[Any]):
    """A dataset whose samples are a float32 tensor of finite values and the number of a class.

    Other floating-point tensors become float32; what else a sample may be is a DataError.
    """

    def __init__(self, dataset: Dataset[Any], classes: int | None, order: list[int] | None, what: str) -> None:
        self.dataset, self.order, self.what = dataset, order, what
        self.known = classes if order is None else len(order)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # torch's class declares no length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        sample, where = self.dataset[index], f"{self.what} {index}"
        if not (isinstance(sample, tuple | list) and len(sample) == 2 and isinstance(sample[0], Tensor)):
            raise DataError(f"{where} is of type {type(sample).__name__}; it must be (image tensor (C, H, W), label)")
        image, stored = self._image(sample[0], where), sample[1]
        try:
            label = operator.index(stored)
        except (TypeError, ValueError):
            raise DataError(f"{where}: its label is {stored!r}; it must be a whole number, that of its class") from None
        if label < 0 or (self.known is not None and label >= self.known):
            right = "0 or more" if self.known is None else f"0 to {self.known - 1}, the number of a class"
            raise DataError(f"{where}: its label is {label}; it must be {right}")
        return image, label if self.order is None else self.order[label]

    def _image(self, image: Tensor, where: str) -> Tensor:
        if not image.is_floating_point():
            right = "torchvision's ToTensor, or v2.ToDtype(torch.float32, scale=True), makes one"
            raise DataError(f"{where}: its image is of {image.dtype}; it must be a float tensor: {right}")
        if image.ndim != 3:
            raise DataError(f"{where}: its image has the shape {tuple(image.shape)}; it must be (C, H, W)")
        if not image.isfinite().all():
            raise DataError(f"{where}: its image has values that are not finite (NaN or infinity)")
        return image.float()


class LoaderBatches:
    """Mini-batches of a map-style dataset, read by worker processes."""

    def __init__(self, dataset: Dataset[Any], samples: int, batching: Batching) -> None:
        self.dataset = Seeded(dataset, batching.seed)
        self.samples = samples
        self.batching = batching

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        def keys() -> Iterator[list[tuple[int, int]]]:
            for iteration in range(start, stop):
                samples, epochs = self.batching.samples(iteration, self.samples)
                yield list(zip(epochs.tolist(), samples.tolist(), strict=True))

        yield from loader(self.dataset, self.batching.workers, None, batch_sampler=keys())
