"""Data sets from sources and objects: a source by its name, splits, or a pair of map-style datasets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from resnets.data import audit, sharding, sources
from resnets.data.audit import Audit
from resnets.data.datasets import DataSplits, ImageFiles
from resnets.data.folder import in_memory
from resnets.data.sharding import Progress, Written
from resnets.data.streams import is_streamed
from resnets.errors import DataError, UsageError

Data = str | DataSplits | tuple[Dataset[Any], Dataset[Any]]

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")


def load_data(data: Data, decoded_side: int | None = None) -> DataSplits:
    """Return the splits of a source (`digits`, `cifar10[:PATH]`, `folder:PATH`, `imagenet:PATH` ...) or of objects.

    With `decoded_side`, in pixels, the images of a folder are resized to such squares and kept in memory.

    Raises: UsageError, if there is no such source; DataError, if the data is missing or damaged.
    """
    if isinstance(data, str):
        splits = sources.load(data)
    elif isinstance(data, DataSplits):
        splits = data
    elif isinstance(data, tuple | list) and len(data) == 2:
        splits = _pair(*data)
    else:
        raise UsageError(
            f"data is a {type(data).__name__}; it must be a source, DataSplits or (training, test) datasets"
        )
    if decoded_side is not None and isinstance(splits.train, ImageFiles):
        return in_memory(splits, decoded_side)
    return splits


def _pair(training: Dataset[Any], test: Dataset[Any]) -> DataSplits:
    for name, dataset in (("training", training), ("test", test)):
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise UsageError(f"the {name} dataset is a {type(dataset).__name__}; it needs __getitem__ and __len__")
        if len(dataset) == 0:
            raise DataError(f"the {name} dataset is empty")
        sample = dataset[0]
        if not (isinstance(sample, tuple | list) and len(sample) == 2 and isinstance(sample[0], Tensor)):
            kinds = (
                [type(part).__name__ for part in sample] if isinstance(sample, tuple | list) else type(sample).__name__
            )
            raise UsageError(f"the {name} dataset gives {kinds}; it must give (image tensor of shape (C, H, W), label)")
    return DataSplits(name="dataset", train=training, test=test, classes=_classes_of(training))


def _classes_of(dataset: Dataset[Any]) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    if names is None:
        raise UsageError(
            "the training dataset has no attribute `classes` (the class names); pass resnets.DataSplits(name=..., "
            "train=..., test=..., classes=...) instead"
        )
    return tuple(map(str, names))


def split_data(splits: DataSplits, split: str, seed: int) -> DataSplits:
    """Return all training images (`all`), or some of them held out to validate on, drawn by the seed.

    `45k5k` holds out 5,000 of CIFAR's, `10%` (any such share) a tenth of each class of any data.

    Raises: UsageError, if there is no such split or the data set has another size; DataError, if nothing remains.
    Paper: section 4.2.
    """
    if split == "all":
        return splits
    share = _SHARE.fullmatch(split)
    if split != "45k5k" and not (share and 0 < float(share[1]) < 100):
        raise UsageError(f"split is {split!r}; it must be all or 45k5k or a share such as 10%")
    if isinstance(splits.train, ImageFiles) and is_streamed(splits.train):
        raise UsageError(
            f"{splits.name} is read as a stream, which cannot be divided; its split must be all, not {split}; "
            f"what is copied here first (webdataset:FOLDER, hf:REPO) can be divided"
        )
    if splits.validation is not None:
        raise UsageError(f"{splits.name} has a validation split of its own; its split must be all, not {split}")
    if share:
        return splits.hold_out_share(float(share[1]), seed)
    if len(splits.train) != 50_000:  # type: ignore[arg-type]
        raise UsageError(f"split 45k5k is for CIFAR's 50,000 training images; {splits.name} has {len(splits.train):,}")  # type: ignore[arg-type]
    return splits.hold_out(5_000, seed)


def check_data(source: str, *, workers: int | None = None, progress: Progress = lambda done, total: None) -> Audit:
    """Read and decode every image of a source, and return what would make training fail and what is worth knowing.

    `workers` threads decode (by default one for each core); `progress` is told how many images of how many are done.

    Raises: UsageError, if there is no such source; DataError, if nothing of it can be listed.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; it must be 1 or more")
    return audit.check(source, workers=workers or audit.default_workers(), progress=progress)


def shard_data(
    source: str, folder: str | Path, *, size: int = 1_000, progress: Progress = lambda done, total: None
) -> Written:
    """Write the image files of a source as tar shards of about `size` megabytes with a manifest; restartable.

    `webdataset:FOLDER` is then the same data set, with the same order and digest.

    Raises: UsageError; DataError, if an image cannot be read or the folder holds other shards; RunError.
    """
    if size < 1:
        raise UsageError(f"size is {size} MB; it must be 1 or more")
    return sharding.write(sources.load(source), Path(folder), size=size * 10**6, progress=progress)
