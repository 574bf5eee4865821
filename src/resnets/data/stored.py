"""An image file wherever it lies: on its own, in a tar shard or in a row of a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol


class Stored(Protocol):
    """An image file that is part of something larger. `str` of it says where it lies."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """Return its content. Raises: DataError, if it is gone or not what was written."""


@dataclass(frozen=True, slots=True)
class Held:
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


ImageFile = Path | Stored


@contextlib.contextmanager
def opened(file: ImageFile) -> Iterator[Path | BytesIO]:
    """Give what Pillow opens."""
    yield file if isinstance(file, Path) else BytesIO(file.read())


def content_of(file: ImageFile) -> bytes:
    """Return a file's bytes. Raises: OSError, DataError, if it cannot be read."""
    return file.read_bytes() if isinstance(file, Path) else file.read()


def size_of(file: ImageFile) -> int:
    """Return a file's size in bytes. Raises: OSError, DataError, if it cannot be read."""
    if isinstance(file, Path):
        return file.stat().st_size
    known: int | None = getattr(file, "size", None)
    return len(file.read()) if known is None else known
