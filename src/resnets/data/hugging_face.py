"""Data sets of the Hugging Face Hub, or of a folder that `datasets` wrote: rows of an image and a class label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.image_files import ImageFiles
from resnets.data.shards import Members
from resnets.data.splits import DataSplits
from resnets.data.stored_file import InMemoryFile
from resnets.data.streams import ImageStream
from resnets.errors import DataError, first_line, import_extra, nearest

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
        return _content(self.rows[self.index][self.column], str(self))


def _content(stored: dict[str, Any], where: str) -> bytes:
    """Return the bytes of an image that is not decoded; `datasets` has them, or the path of a file."""
    try:
        return bytes(stored["bytes"]) if stored["bytes"] is not None else Path(stored["path"]).read_bytes()
    except OSError as error:
        raise DataError(f"{where}: failed to read ({error.strerror})") from None


@dataclass(frozen=True, slots=True)
class StreamedRow:
    """The image of a row that can only be read when its turn comes."""

    where: str
    index: int

    @property
    def name(self) -> str:
        return str(self.index)

    def __str__(self) -> str:
        return f"row {self.index} of {self.where}"

    def read(self) -> bytes:
        raise DataError(f"{self}: a stream is read from the start of its files only")


@dataclass(frozen=True, eq=False)
class StreamedFile:
    """One of the files in which the Hub keeps a split, read from its start.

    Shape: all arrays (rows,)
    """

    rows: Any  # datasets.IterableDataset, of this file alone
    column: str
    url: str
    samples: NDArray[np.int64]  # the place of each row in the whole split
    labels: NDArray[np.int64]
    remote: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def member(self, index: int) -> StreamedRow:
        """Return a row by its place in the file."""
        return StreamedRow(self.url, index)

    def read(self, requested: Sequence[int]) -> Iterator[InMemoryFile]:
        """Yield the images of these rows, which ascend, in one reading of the file."""
        places = iter(requested)
        place = next(places, None)
        try:
            for index, row in enumerate(self.rows):
                if place is None:
                    return
                if index == place:
                    where = str(self.member(index))
                    yield InMemoryFile(where, _content(row[self.column], where))
                    place = next(places, None)
        except DataError:
            raise
        except Exception as error:  # the library raises nearly anything
            raise DataError(f"{self.url}: failed to read ({first_line(error)})") from error
        if place is not None:
            raise DataError(f"{self.url}: it has changed, and ends before row {place}; start a new run")


def load(rest: str, *, stream: bool = False) -> DataSplits:
    """Return the data set `REPO[@TEST]`, trained on its split `train`, tested on `TEST`, else on its validation split.

    What is not a folder is fetched into the library's cache, or with `stream` only the labels are, and each file again
    whenever its images are needed. `REPO@TRAIN,TEST` names both splits.

    Raises: UsageError, without `datasets`; DataError, if there is no such data set or split, or it has no images.
    """
    datasets = import_extra("datasets", "datasets")
    repository, _, asked = rest.partition("@")
    path = Path(repository).expanduser()
    where = str(path) if path.is_dir() else repository
    try:
        if path.is_dir() and (path / "dataset_dict.json").exists():
            if stream:
                raise DataError(f"hf-stream:{repository} is here already, and needs no stream: hf:{repository}")
            found = datasets.load_from_disk(str(path))
        else:
            found = datasets.load_dataset(where, streaming=stream)
    except DataError:
        raise
    except Exception as error:  # the library raises nearly anything
        raise DataError(f"hf:{repository}: failed to load ({first_line(error)})") from error
    train, test = _names(repository, list(found), asked)
    column, label, classes = _columns(repository, found[train])
    splits: dict[str, ImageFiles]
    if stream:
        labelled = _labels_alone(where, label) or found
        splits = {name: _streamed(found[name], labelled[name], column, label) for name in (train, test)}
    else:
        splits = {name: _files(found[name], column, label) for name in (train, test)}
    names = classes or tuple(map(str, range(1 + max(int(part.labels.max(initial=0)) for part in splits.values()))))
    return DataSplits(
        name=path.name,
        train=splits[train],
        test=splits[test],
        classes=names,
        digest=f"{splits[train].digest()}:{splits[test].digest()}",
    )


def load_stream(rest: str) -> DataSplits:
    """Return the same, read as it is needed."""
    return load(rest, stream=True)


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
    """Return the column of the images, that of the labels, and the names of the classes if the data set has them."""
    datasets = import_extra("datasets", "datasets")
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
    _require_classes(labels, rows.split)
    encoded = rows.cast_column(column, import_extra("datasets", "datasets").Image(decode=False))
    digest = hashlib.sha256(labels.tobytes() + str(rows.info.dataset_size).encode()).hexdigest()
    return ImageFiles(tuple(Row(encoded, column, index) for index in range(len(labels))), labels, digest)


def _labels_alone(where: str, label: str) -> Any:
    """Return the streams with the labels' column alone, where the files allow to read it by itself; else None."""
    try:
        return import_extra("datasets", "datasets").load_dataset(where, streaming=True, columns=[label])
    except (TypeError, ValueError):  # not parquet
        return None


def _streamed(rows: Any, labelled: Any, column: str, label: str) -> ImageStream:
    """Return a split whose labels are read now, from all of its files, and whose images in their turn."""
    encoded = rows.select_columns([column]).cast_column(
        column, import_extra("datasets", "datasets").Image(decode=False)
    )
    files: list[StreamedFile] = []
    before, count = 0, encoded.num_shards
    for number in range(count):
        url = f"file {number + 1} of {count} of split {rows.split}"
        part = labelled.select_columns([label]).shard(num_shards=count, index=number)
        try:
            labels = np.asarray([row[label] for row in part], np.int64)
        except Exception as error:  # the library raises nearly anything
            raise DataError(f"{url}: failed to read ({first_line(error)})") from error
        _require_classes(labels, rows.split)
        places = np.arange(before, before + len(labels))
        files.append(StreamedFile(encoded.shard(num_shards=count, index=number), column, url, places, labels))
        before += len(labels)
    members = Members(files)
    labels = np.concatenate([part.labels for part in files]) if files else np.empty(0, np.int64)
    return ImageStream(members, labels, hashlib.sha256(labels.tobytes()).hexdigest())


def _require_classes(labels: NDArray[np.int64], split: Any) -> None:
    if len(labels) and labels.min() < 0:
        raise DataError(f"split {split} has rows without a class (label {labels.min()}); it cannot be tested on")
