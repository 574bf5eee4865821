"""Data sets, and what every split offers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnets.data.arrays import ResidentImages
from resnets.data.class_names import class_names, names_of, order_of, wrong_names
from resnets.data.decoding import DecodedImage
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batch, Batching, ImageStats, SplitKind, View
from resnets.data.map_datasets import MapSplit
from resnets.data.named_splits import NamedSplits, adjective
from resnets.data.passed_over import PassedOver, in_words
from resnets.errors import DataError, UsageError, public
from resnets.quantities import plural
from resnets.runtime.processes import Share
from resnets.specs import Augmentation, InputSpec, Preprocessing

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")


class TrainingBatches(Protocol):
    """The mini-batches of a run, or a process's share of each: iteration i's depends on i and the seed alone."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the mini-batches of iterations start, start + 1, ..., stop - 1."""


class Split(Protocol):
    """Images with labels, in an order: `ImageArrays`, `ImageFiles`, `ImageStream` or `MapSplit`.

    `kind` is what the images are: arrays of one size in memory, photos of any size that are cropped when they are read,
    or tensors that a map-style dataset has augmented and normalised, which networks take as they are.
    """

    @property
    def kind(self) -> SplitKind: ...

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels in order, None where only reading the images gives them. Shape: (N,)"""

    @property
    def side(self) -> int | None:
        """The height of every image in pixels, None for photos."""

    @property
    def channels(self) -> int: ...

    @property
    def random_access(self) -> bool:
        """Whether the images can be read in any order."""

    def __len__(self) -> int: ...

    def digest(self) -> str | None:
        """Return the SHA-256 of the content, None where it is unknown. Raises: DataError, if a file is gone."""

    def stats(self) -> ImageStats:
        """Return the typical size of an image. Raises: DataError, OSError, for files that cannot be read."""

    def select(self, indices: NDArray[np.int64]) -> Split:
        """Return the images at `indices`. Raises: UsageError, of a stream."""

    def take(self, share: Share) -> Split:
        """Return the images numbered rank, rank + size, ...: each is in exactly one share, and a share may be empty."""

    def subsample(self, count: int | None) -> Split:
        """Return at most `count` images, evenly spaced, so that each class of a sorted split has its share.

        Of a stream they are the first ones, in memory. None is all of them.
        """

    def in_memory(self, side: int) -> Split:
        """Return photos as square arrays: shorter side resized, centre cropped; other images as they are.

        Raises: DataError, for the first file that cannot be decoded.
        """

    def fit_input(
        self, preprocessing: Preprocessing, augmentation: Augmentation | None, trained: InputSpec | None = None
    ) -> InputSpec | None:
        """Return the input of a network trained on these images, or with `trained` that one at their size.

        Raises: UsageError, if the augmentation is for other images; DataError.
        """

    def fit_augmentation(self, augmentation: Augmentation | None) -> Augmentation | None:
        """Return the augmentation with the axes of its colours, if it has any, fitted on these photos."""

    def training_batches(
        self, input_spec: InputSpec | None, augmentation: Augmentation | None, batching: Batching
    ) -> TrainingBatches:
        """Return the mini-batches to train on; tensors are taken as they are, without augmentation.

        Raises: UsageError, if the augmentation is for other images, or a mini-batch cannot be shared evenly.
        """

    def test_batches(self, input_spec: InputSpec | None, *, batch_size: int, workers: int = 0) -> Iterator[Batch]:
        """Yield every image once, by a single view and in order; the last batch may be smaller. Paper: section 4.2."""

    def views(
        self, cut: Callable[[DecodedImage], list[Image.Image]], channels: int, workers: int, shorter: int | None = None
    ) -> Iterator[tuple[int, list[View]]]:
        """Yield each photo's number with the views that `cut` gives, in order.

        With `shorter`, a shorter side that no view exceeds, large JPEGs are decoded reduced.

        Raises: DataError, for the first file that cannot be decoded; UsageError, if these are no photos.
        """

    def resident(self, input_spec: InputSpec | None, device: torch.device) -> ResidentImages | None:
        """Return the images in a GPU's memory, to be tested on there; None where they do not fit or are no arrays."""


def problems(classes: Sequence[str], splits: Mapping[str, Split]) -> Iterator[tuple[str, str]]:
    """Yield what no training could take of the classes and splits of a data set: the split, and a sentence on it."""
    yield from (("train", problem) for problem in wrong_names(classes))
    train = splits["train"]
    for name, split in splits.items():
        if split.labels is None:
            continue
        which = adjective(name)
        if len(split) == 0:
            yield name, f"there are no {which} images"
            continue
        if split.kind == train.kind == "arrays" and split.stats()[:3] != train.stats()[:3]:
            own, those = ("x".join(map(str, one.stats()[:3])) for one in (split, train))
            yield name, f"the {which} images are {own}, and the training images {those}"
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(classes):
            wrong = low if low < 0 else high
            yield (
                name,
                (f"a {which} image has label {wrong}; {len(classes)} classes have labels 0 to {len(classes) - 1}"),
            )


MAJORITY = 0.9
"""Share of the training images of one class from which on an error alone says little."""


@public
@dataclass(frozen=True, eq=False)
class DataSplits(NamedSplits[Split]):
    """A data set: what is trained on, what is tested on, and (optionally) what choices are made on.

    In place of a split, a map-style dataset of (image tensor (C, H, W), label) will do: it becomes a `MapSplit`.
    `roles` is a sentence on what is trained, validated and tested on, where the source has found that out. With
    `validation_share`, in percent, `divided` holds out that share of the training images where it is given no other.
    `notes` are sentences on what the source took for granted, and `passed_over` the files that it did not read; `train`
    and `data check` show all of them. What is `published` (digits, CIFAR, ImageNet) is trained by the paper's recipes
    where none is named.

    Raises: DataError, if a split is empty or has a label without a class, or two classes have one name.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    validation: Split | None = None
    digest: str | None = None  # of the content; None for a dataset object whose content is unknown
    source_digest: str | None = None  # of the photos that `in_memory` decoded
    notes: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = dataclasses.field(default=(), repr=False)
    validation_share: float | None = None
    roles: str = ""
    published: bool = False
    test_is_drawn: bool = False  # of the same images as the training images, which another file may change

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", class_names(self.classes, self.name))
        self._wrap_datasets()
        for _, problem in problems(self.classes, self.splits()):
            raise DataError(f"{self.name}: {problem}")

    def _wrap_datasets(self) -> None:
        """Put splits in place of map-style datasets; classes that they name themselves are matched by their names."""
        known = names_of(self.train)
        for name, split in self.splits().items():
            if hasattr(split, "training_batches"):
                continue
            which = adjective(name)
            own, order = names_of(split), None
            if known and own and own != known:
                order = order_of(own, known, f"{self.name}: the {which} dataset", "the training dataset")
                note = f"{self.name}: the {which} dataset lists its classes in another order than the training dataset"
                object.__setattr__(self, "notes", (*self.notes, f"{note}; they are matched by their names"))
            object.__setattr__(self, name, MapSplit(split, len(self.classes), order, which))  # type: ignore[arg-type]

    def remarks(self) -> list[str]:
        """Return what is to be shown of how the source was read: roles, notes, and what was passed over in one line."""
        passed = [f"{self.name}: passed over: {in_words(self.passed_over)}"] if self.passed_over else []
        alone = (
            [f"{self.name} has one class, {self.classes[0]}: every answer is right"] if len(self.classes) == 1 else []
        )
        return [*([self.roles] if self.roles else []), *self.notes, *alone, *self._imbalance(), *passed]

    def _imbalance(self) -> list[str]:
        """Return a note where nearly all training images are of one class."""
        labels = self.train.labels
        if labels is None or len(self.classes) == 1:
            return []
        counts = np.bincount(labels, minlength=len(self.classes))
        share = counts.max() / len(labels)
        if share <= MAJORITY:
            return []
        name = self.classes[int(counts.argmax())]
        return [
            f"{self.name}: {100 * share:.1f} % of the training images are of class {name}, and an error of "
            f"{100 * (1 - share):.1f} % is that of always answering {name}; --class-weights auto weighs the others up"
        ]

    def divided(self, split: str, seed: int) -> DataSplits:
        """Return all training images (`all`), or some of them held out to validate on, drawn by the seed.

        Of a source with a `validation_share`, `all` holds out that one.
        `45k5k` holds out 5,000 of CIFAR's, `10%` (any such share) a tenth of each class of any data.

        Raises: UsageError, if there is no such split or the data set has another size; DataError, if nothing remains.
        Paper: section 4.2.
        """
        if split == "all":
            return self if self.validation_share is None else self.hold_out_share(self.validation_share, seed)
        share = _SHARE.fullmatch(split)
        if split != "45k5k" and not (share and 0 < float(share[1]) < 100):
            raise UsageError(f"split is {split!r}; it must be all or 45k5k or a share such as 10%")
        if not self.train.random_access:
            raise UsageError(
                f"{self.name} is read as a stream, which cannot be divided; its split must be all, not {split}; "
                f"what is copied here first (webdataset:FOLDER, hf:REPO) can be divided"
            )
        if self.validation is not None:
            raise UsageError(f"{self.name} has a validation split of its own; its split must be all, not {split}")
        if share:
            return self.hold_out_share(float(share[1]), seed)
        if len(self.train) != 50_000:
            raise UsageError(f"split 45k5k is for CIFAR's 50,000 training images; {self.name} has {len(self.train):,}")
        return self.hold_out(5_000, seed)

    def hold_out(self, count: int, seed: int) -> DataSplits:
        """Return the splits with `count` training images, drawn by `seed`, set apart for validation.

        Of a dataset object the held-out samples come as it gives them, with any augmentation that it has.

        Raises: DataError, if there are not more training images than that.
        Paper: section 4.2, the 45k/5k split of CIFAR-10.
        """
        total = len(self.train)
        if not 0 < count < total:
            raise DataError(f"{self.name}: cannot hold out {count} of {total} training images")
        return self._without(_order(total, seed)[:count])

    def hold_out_share(self, percent: float, seed: int) -> DataSplits:
        """Return the splits with a share of the training images, drawn by `seed`, set apart for validation.

        Of images whose labels are known it is that share of each class, to one image: a class of two or more has at
        least one on either side. Of a dataset object it is of all samples.

        Raises: DataError, if the share is no image, or all of them.
        """
        total = len(self.train)
        if self.train.labels is None:
            return self.hold_out(round(total * percent / 100), seed)
        chosen = drawn_of_each_class(self.train.labels, len(self.classes), percent, seed)
        if not 0 < len(chosen) < total:
            raise DataError(
                f"{self.name}: {percent:g} % of its {plural(total, 'training image')} to validate on, drawn of each "
                f"class, are {len(chosen)}; add images to the classes, or give images to validate on (val/)"
            )
        return self._without(chosen)

    def _without(self, held: NDArray[np.int64]) -> DataSplits:
        """Return the splits with these training images moved to the validation split, both in their old order."""
        rest = np.setdiff1d(np.arange(len(self.train)), held)
        return dataclasses.replace(self, train=self.train.select(rest), validation=self.train.select(np.sort(held)))

    def with_channels(self, channels: int | None) -> DataSplits:
        """Return the same data set with its image files read in colour (3) or as grey (1); None leaves them.

        Raises: UsageError, for another number.
        """
        if channels is None or not isinstance(self.train, ImageFiles) or channels == self.train.channels:
            return self
        if channels not in (1, 3):
            raise UsageError(f"in_channels is {channels}; image files are read in colour, with 3, or as grey, with 1")
        read: dict[str, Any] = {
            name: dataclasses.replace(split, channels=channels)
            for name, split in self.splits().items()
            if isinstance(split, ImageFiles)
        }
        return dataclasses.replace(self, **read)

    def in_memory(self, side: int) -> DataSplits:
        """Return the same data set with its photos, if it has any, as arrays; the digest is then of their pixels.

        What it was is the `source_digest`.

        Raises: DataError, for the first file that cannot be decoded.
        """
        if self.train.kind != "photos":
            return self
        train = self.train.in_memory(side)
        test = train if self.test is self.train else self.test.in_memory(side)
        validation = None if self.validation is None else self.validation.in_memory(side)
        parts = (train, test) if validation is None else (train, test, validation)
        digest = ":".join(str(part.digest()) for part in parts)
        return dataclasses.replace(
            self, train=train, test=test, validation=validation, digest=digest, source_digest=self.digest
        )


def drawn_of_each_class(labels: NDArray[np.int64], classes: int, percent: float, seed: int) -> NDArray[np.int64]:
    """Return the indices of a share of each class, drawn by `seed`: of two images or more at least one, and not all.

    Shape: (N,) -> (K,)
    """
    order = _order(len(labels), seed)
    drawn = [order[:0]]
    for label in range(classes):
        own = order[labels[order] == label]
        least, most = (1, len(own) - 1) if len(own) > 1 else (0, 0)
        drawn.append(own[: min(max(round(len(own) * percent / 100), least), most)])
    return np.concatenate(drawn)


def _order(total: int, seed: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(key=seed & ((1 << 64) - 1))).permutation(total)
