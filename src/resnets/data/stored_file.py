"""An image file wherever it lies: on its own, in a tar shard or in a row of a table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, overload

import numpy as np

from resnets.files import read_bytes, size_on_disk

MOST_BYTES = 400_000_000
"""Of an image file: more than 100 megapixels of RGB take without any compression."""


class StoredFile(Protocol):
    """An image file that is part of something larger. `str` of it says where it lies."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """Return its content. Raises: DataError, if it is gone or not what was written."""


@dataclass(frozen=True, slots=True)
class InMemoryFile:
    """An image file in memory."""

    where: str
    content: bytes

    @property
    def name(self) -> str:
        return self.where.rpartition("/")[2]

    @property
    def size(self) -> int:
        return len(self.content)

    def __str__(self) -> str:
        return self.where

    def read(self) -> bytes:
        return self.content


ImageFile = Path | StoredFile


class Paths(Sequence[Path]):
    """Paths as consecutive bytes; each is created when it is accessed.

    A million take the memory of their names. As objects of Python they would take half a gigabyte, and that again in
    each process that reads images, since to look at an object is to write to it.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self._names = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> Paths: ...

    def __getitem__(self, index: int | slice) -> Path | Paths:
        if isinstance(index, slice):
            return Paths(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]  # which counts from the end too, or raises IndexError
        return Path(os.fsdecode(self._names[self._ends[number] : self._ends[number + 1]]))


@contextlib.contextmanager
def opened(file: ImageFile) -> Iterator[Path | BytesIO]:
    """Give what Pillow opens. Raises: OSError, DataError, if it cannot be read."""
    if isinstance(file, Path):
        size_on_disk(file)  # a pipe that data names would be waited for without end
        yield file
    else:
        yield BytesIO(file.read())


def content_of(file: ImageFile) -> bytes:
    """Return a file's bytes. Raises: OSError, DataError, if it cannot be read."""
    return read_bytes(file, MOST_BYTES) if isinstance(file, Path) else file.read()


def size_of(file: ImageFile) -> int:
    """Return a file's size in bytes. Raises: OSError, DataError, if it cannot be read."""
    if isinstance(file, Path):
        return file.stat().st_size
    known: int | None = getattr(file, "size", None)
    return len(file.read()) if known is None else known
