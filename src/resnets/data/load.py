"""Data sets from sources and objects: a source by its name, splits, or a pair of map-style datasets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor
from torch.utils.data import Dataset

from resnets.data import sources
from resnets.data.splits import DataSplits, names_of
from resnets.errors import DataError, UsageError, public
from resnets.records.runs import source_of_runs

D = TypeVar("D")

Data = str | DataSplits | tuple[Dataset[Any], Dataset[Any]]


@public
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
            f"data is of type {type(data).__name__}; it must be a source, DataSplits or (training, test) datasets"
        )
    return splits if decoded_side is None else splits.in_memory(decoded_side)


def given_or_of_runs(data: D | None, runs: Iterable[Path]) -> D | str:
    """Return the given data, or where there is none the source of what runs were trained on, as `source_of_runs`."""
    return source_of_runs(runs) if data is None else data


def _pair(training: Dataset[Any], test: Dataset[Any]) -> DataSplits:
    for name, dataset in (("training", training), ("test", test)):
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise UsageError(
                f"the {name} dataset is of type {type(dataset).__name__}; it needs __getitem__ and __len__"
            )
        if len(dataset) == 0:
            raise DataError(f"the {name} dataset is empty")
        sample = dataset[0]
        if not (isinstance(sample, tuple | list) and len(sample) == 2 and isinstance(sample[0], Tensor)):
            kinds = (
                [type(part).__name__ for part in sample] if isinstance(sample, tuple | list) else type(sample).__name__
            )
            raise UsageError(f"the {name} dataset gives {kinds}; it must give (image tensor of shape (C, H, W), label)")
    classes = _classes_of(training)
    return DataSplits(name="dataset", train=training, test=test, classes=classes)  # type: ignore[arg-type]


def _classes_of(dataset: Dataset[Any]) -> tuple[str, ...]:
    if not isinstance(getattr(dataset, "classes", None), list | tuple):
        raise UsageError(
            "the training dataset has no attribute `classes` (the class names); pass resnets.DataSplits(name=..., "
            "train=..., test=..., classes=...) instead"
        )
    return names_of(dataset)
