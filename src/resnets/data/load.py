"""Data sets from sources and objects: a source by its name, splits, or a pair of map-style datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.utils.data import Dataset

from resnets.data import sources
from resnets.data.class_names import names_of
from resnets.data.splits import DataSplits
from resnets.errors import DataError, ImageError, UsageError, public
from resnets.records.runs import folder_of, images_in_words, record_of, source_of_runs

S = TypeVar("S")

Data = str | DataSplits | tuple[Dataset[Any], Dataset[Any]]


class Named(Protocol):
    """Data of any task: its name, and what is trained and tested on."""

    @property
    def name(self) -> str: ...

    @property
    def train(self) -> Sized: ...

    @property
    def test(self) -> Sized: ...


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


def load_of_runs(runs: Sequence[Path], load: Callable[[str], S]) -> S:
    """Return what a function loads from the source of the data that runs were trained on.

    It may be other data by now, or in another folder: `require_trained_on`.

    Raises: UsageError, RunError, as `source_of_runs`; DataError, if it is not there.
    """
    source = source_of_runs(runs)
    try:
        return load(source)
    except ImageError:
        raise
    except DataError as error:
        raise DataError(
            f"{error}; {folder_of(runs[0])} was trained on {source}, and the current folder is {Path.cwd()}; --data "
            f"names where it is"
        ) from None


def require_trained_on(path: Path, splits: Named, digest: str | None) -> None:
    """Make sure that data, which the record of a run named, is what the run was trained on, by its digest there.

    Raises: DataError; RunError, if the record cannot be read.
    """
    run = record_of(path)
    if run is None or run.data.digest is None or digest == run.data.digest:
        return
    there = images_in_words(splits.name, len(splits.train), len(splits.test), digest)
    raise DataError(
        f"{run.data.source} is not what {folder_of(path)} was trained on, {run.data.in_words()}, but {there}; the "
        f"current folder is {Path.cwd()}; --data names where it is, or takes this as it is"
    )


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
