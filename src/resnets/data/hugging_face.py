"""Data sets of the Hugging Face Hub, or of a folder that `datasets` wrote: rows of an image and a class label."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.datasets import DataSplits, ImageFiles
from resnets.errors import DataError, UsageError, nearest

TESTED_ON = ("validation", "valid", "val", "test")  # the first that is there


@dataclass(frozen=True, slots=True)
class Row:
    """The image of a row."""

    rows: Any  # datasets.Dataset
    column: str
    index: int

    @property
    def name(self) -> str:
        return str(self.index)

    def __str__(self) -> str:
        return f"row {self.index} of {self.rows.info.dataset_name or 'the data set'}, split {self.rows.split}"

    def read(self) -> bytes:
        stored = self.rows[self.index][self.column]
        content = stored["bytes"]
        try:
            return bytes(content) if content is not None else Path(stored["path"]).read_bytes()
        except OSError as error:
            raise DataError(f"{self}: cannot be read ({error.strerror})") from None


def load(rest: str) -> DataSplits:
    """Return the data set `REPO[@TEST]`, trained on its split `train`, tested on `TEST`, else on its validation split.

    What is not a folder is fetched into the library's cache. `REPO@TRAIN,TEST` names both splits.

    Raises: UsageError, without `datasets`; DataError, if there is no such data set or split, or it has no images.
    """
    datasets = _library()
    repository, _, asked = rest.partition("@")
    path = Path(repository).expanduser()
    try:
        if path.is_dir() and (path / "dataset_dict.json").exists():
            found = datasets.load_from_disk(str(path))
        else:
            found = datasets.load_dataset(str(path) if path.is_dir() else repository)
    except Exception as error:  # the library raises nearly anything
        raise DataError(f"hf:{repository}: cannot be loaded ({str(error).splitlines()[0]})") from error
    train, test = _names(repository, list(found), asked)
    column, label, classes = _columns(repository, found[train])
    splits = {name: _files(found[name], column, label) for name in (train, test)}
    names = classes or tuple(map(str, range(1 + max(int(part.labels.max(initial=0)) for part in splits.values()))))
    return DataSplits(
        name=path.name,
        train=splits[train],
        test=splits[test],
        classes=names,
        digest=f"{splits[train].digest()}:{splits[test].digest()}",
    )


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise UsageError("hf: needs `pip install 'resnets[datasets]'`") from None


def _names(repository: str, splits: list[str], asked: str) -> tuple[str, str]:
    train, _, test = asked.partition(",") if "," in asked else ("train", ",", asked)
    test = test or next((name for name in TESTED_ON if name in splits), "")
    if not test:
        raise DataError(f"hf:{repository}: no split to test on among {', '.join(splits)}; name one as @SPLIT")
    for name in (train, test):
        if name not in splits:
            raise DataError(f"hf:{repository}: no split {name!r}{nearest(name, splits)}; there are {', '.join(splits)}")
    return train, test


def _columns(repository: str, rows: Any) -> tuple[str, str, tuple[str, ...]]:
    """Return the column of the images, that of the labels, and the names of the classes where they are told."""
    datasets = _library()
    features = rows.features
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    plain = [name for name, feature in features.items() if getattr(feature, "dtype", "").startswith("int")]
    if not images or not (labels or plain):
        raise DataError(f"hf:{repository}: a column of images and one of class labels are needed; it has {features}")
    label = next((name for name in ("label", "labels", "fine_label") if name in labels), (labels or plain)[0])
    return images[0], label, tuple(getattr(features[label], "names", None) or ())


def _files(rows: Any, column: str, label: str) -> ImageFiles:
    labels = np.asarray(rows[label][:], np.int64)
    if len(labels) and labels.min() < 0:
        raise DataError(f"split {rows.split} has rows without a class (label {labels.min()}); it cannot be tested on")
    encoded = rows.cast_column(column, _library().Image(decode=False))
    digest = hashlib.sha256(labels.tobytes() + str(rows.info.dataset_size).encode()).hexdigest()
    return ImageFiles(tuple(Row(encoded, column, index) for index in range(len(labels))), labels, digest)
