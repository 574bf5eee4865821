"""Data sets of the Hugging Face Hub, or of a folder that `datasets` wrote: rows of an image and a class label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import numbered_classes
from resnets.data.image_files import ImageFiles
from resnets.data.label_columns import Columns, choose
from resnets.data.shards import Members
from resnets.data.splits import DataSplits
from resnets.data.stored_file import InMemoryFile
from resnets.data.streams import ImageStream
from resnets.errors import DataError, first_line, import_extra, nearest
from resnets.files import expanded, reading

VALIDATION = ("validation", "valid", "val")  # the first that is there


@dataclass(frozen=True, slots=True)
class Row:
    """The image of a row."""

    rows: Any  # datasets.Dataset
    column: str
    index: int
    split: str

    @property
    def name(self) -> str:
        return str(self.index)

    def __str__(self) -> str:
        return f"split {self.split}, row {self.index}"

    def read(self) -> bytes:
        return _content(self.rows[self.index][self.column], str(self))


def _content(stored: dict[str, Any] | None, where: str) -> bytes:
    """Return the bytes of an image that is not decoded; `datasets` has them, or the path of a file."""
    found = stored or {}
    if found.get("bytes") is None and found.get("path") is None:
        raise DataError(f"{where}: there is no image (null)")
    with reading(where, DataError):
        return bytes(found["bytes"]) if found["bytes"] is not None else Path(found["path"]).read_bytes()


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
    """Return the data set `REPO[@TEST][#LABELS]`, trained on its split `train`, tested on `TEST`, else on `test`.

    With `validation`, `valid` or `val` next to `test` that split is validated on. It is tested on where there is no
    `test`, or the first row of `test` has no class, as in a competition's. A `TEST` that is named is used alone.

    What is not a folder is fetched into the library's cache, or with `stream` only the labels are, and each file again
    whenever its images are needed. `REPO@TRAIN,TEST` names both splits; `LABELS` is the column of the classes. Classes
    are matched by their names, where the splits list them in another order.

    Raises: UsageError, without `datasets`; DataError, if there is no such data set or split, it has no images, a row
        has no image or no class, the columns leave open which is meant, or the splits have other classes.
    """
    datasets = import_extra("datasets", "datasets")
    where, _, column = rest.partition("#")
    repository, _, asked = where.partition("@")
    path = expanded(repository)
    path = path.resolve() if path.is_dir() else path
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
    names, notes = _names(repository, found, asked, column)
    columns = choose(
        f"hf:{repository}", {name: found[name].features for name in names.values()}, names["train"], column
    )
    splits: dict[str, ImageFiles]
    if stream:
        labelled = _labels_alone(where, columns.labels) or found
        splits = {role: _streamed(found[name], labelled[name], columns, name) for role, name in names.items()}
    else:
        splits = {role: _files(found[name], columns, name) for role, name in names.items()}
    validated = f", validated on split {names['validation']}" if "validation" in names else ""
    return DataSplits(
        name=path.name,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        classes=columns.classes or numbered_classes(part.labels for part in splits.values()),
        digest=":".join(part.digest() for part in splits.values()),
        notes=(*columns.notes, *notes),
        roles=f"{path.name}: trained on split {names['train']}{validated}, tested on split {names['test']}",
    )


def load_stream(rest: str) -> DataSplits:
    """Return the same, read as it is needed."""
    return load(rest, stream=True)


def _names(repository: str, found: Any, asked: str, column: str) -> tuple[dict[str, str], list[str]]:
    """Return the splits to train and test on and, where there is one, to validate on, and notes on what is not used.

    Raises: DataError, if one is not there.
    """
    train, _, test = asked.partition(",") if "," in asked else ("train", ",", asked)
    validation = next((name for name in VALIDATION if name in found), None)
    names, notes = {"train": train, "test": test or ("test" if "test" in found else validation or "")}, []
    if not names["test"]:
        raise DataError(f"hf:{repository}: no split to test on among {', '.join(found)}; name one as @SPLIT")
    for name in names.values():
        if name not in found:
            raise DataError(f"hf:{repository}: no split {name!r}{nearest(name, found)}; there are {', '.join(found)}")
    if not test and validation not in (None, train, names["test"]):
        if _has_classes(repository, found, names, column):
            names["validation"] = str(validation)
        else:
            names["test"] = str(validation)
            notes = [f"hf:{repository}: the first row of split test has no class, and the split is not used"]
    return names, notes


def _has_classes(repository: str, found: Any, names: dict[str, str], column: str) -> bool:
    """Return whether the first row of the split to test on has a class. Raises: DataError, if it cannot be read."""
    label = choose(f"hf:{repository}", {"train": found[names["train"]].features}, "train", column).labels
    rows = found[names["test"]]
    if label not in rows.features:
        return False
    try:
        first = next(iter(rows.select_columns([label])), {label: None})[label]
    except Exception as error:  # the library raises nearly anything
        raise DataError(f"hf:{repository}: split {names['test']}: failed to read ({first_line(error)})") from error
    return first is not None and first != -1


def _files(rows: Any, columns: Columns, split: str) -> ImageFiles:
    labels = columns.numbers(rows[columns.labels][:], split)
    encoded = rows.cast_column(columns.images, import_extra("datasets", "datasets").Image(decode=False))
    _require_images(encoded, columns.images, split)
    digest = hashlib.sha256(labels.tobytes() + str(rows.info.dataset_size).encode()).hexdigest()
    files = tuple(Row(encoded, columns.images, index, split) for index in range(len(labels)))
    return ImageFiles(files, labels, digest)


def _require_images(rows: Any, column: str, split: str) -> None:
    """Raise DataError for the first row without an image, where the table has its nulls in the order of the rows."""
    stored = rows.data.column(column)
    if len(stored) == len(rows) and stored.null_count:
        row = stored.is_null().to_pylist().index(True)
        raise DataError(f"split {split}, row {row}: there is no image (null)")


def _labels_alone(where: str, label: str) -> Any:
    """Return the streams with the labels' column alone, where the files allow to read it by itself; else None."""
    try:
        return import_extra("datasets", "datasets").load_dataset(where, streaming=True, columns=[label])
    except (TypeError, ValueError):  # not parquet
        return None


def _streamed(rows: Any, labelled: Any, columns: Columns, split: str) -> ImageStream:
    """Return a split whose labels are read now, from all of its files, and whose images in their turn."""
    encoded = rows.select_columns([columns.images]).cast_column(
        columns.images, import_extra("datasets", "datasets").Image(decode=False)
    )
    files: list[StreamedFile] = []
    before, count = 0, encoded.num_shards
    for number in range(count):
        url = f"file {number + 1} of {count} of split {split}"
        part = labelled.select_columns([columns.labels]).shard(num_shards=count, index=number)
        try:
            stored = [row[columns.labels] for row in part]
        except Exception as error:  # the library raises nearly anything
            raise DataError(f"{url}: failed to read ({first_line(error)})") from error
        labels = columns.numbers(stored, split, before)
        places = np.arange(before, before + len(labels))
        shard = encoded.shard(num_shards=count, index=number)
        files.append(StreamedFile(shard, columns.images, url, places, labels))
        before += len(labels)
    members = Members(files)
    labels = np.concatenate([part.labels for part in files]) if files else np.empty(0, np.int64)
    return ImageStream(members, labels, hashlib.sha256(labels.tobytes()).hexdigest())
