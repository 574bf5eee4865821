"""Images in tar shards: an index of their members makes local shards as good as single files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Protocol, overload
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray

from resnets.data.remote import RemoteStream, is_url
from resnets.data.stored_file import InMemoryFile, StoredFile
from resnets.errors import DataError, import_extra
from resnets.files import reading


@dataclass(frozen=True, slots=True)
class Member:
    """An image in a shard."""

    shard: str  # a path or a URL
    offset: int
    size: int
    crc: int | None  # of its bytes, if a manifest has it
    sequential: bool = False  # whether the shard can only be read from its start

    @property
    def name(self) -> str:
        return str(self.offset)

    def __str__(self) -> str:
        return f"{self.shard}, byte {self.offset:,}"

    def read(self) -> bytes:
        if self.sequential:
            raise DataError(f"{self}: remote and compressed shards are read from their start only")
        with reading(self.shard, DataError), open(self.shard, "rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        self.verify(content)
        return content

    def verify(self, content: bytes) -> None:
        """Raise DataError unless these are the bytes that were written."""
        if len(content) != self.size or (self.crc is not None and zlib.crc32(content) != self.crc):
            raise DataError(f"{self}: not what was written there; fetch or write this shard again")


class Part(Protocol):
    """A part of a split that is read from its start. `samples` are the places of its images in the whole split."""

    @property
    def url(self) -> str: ...

    @property
    def samples(self) -> NDArray[np.int64]: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    @property
    def remote(self) -> bool: ...

    def __len__(self) -> int: ...

    def member(self, index: int) -> StoredFile:
        """Return an image by its place in the part; it is read by itself only where the part is not remote."""

    def read(self, requested: Sequence[int]) -> Iterator[InMemoryFile]:
        """Yield the images at these places, which ascend. Raises: DataError, if one is not there or damaged."""


@dataclass(frozen=True, eq=False)
class Shard:
    """One tar file and where its images lie, in the order of their bytes (of the uncompressed file).

    Shape: all arrays (images,)
    """

    url: str
    samples: NDArray[np.int64]  # the place of each in the whole split
    labels: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    crcs: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.samples)

    def member(self, index: int) -> Member:
        """Return an image by its place in the shard."""
        crc = None if self.crcs is None else int(self.crcs[index])
        return Member(self.url, int(self.offsets[index]), int(self.sizes[index]), crc, self.remote)

    @cached_property
    def remote(self) -> bool:
        """Whether it can only be read from its start."""
        return is_remote(self.url) or is_compressed(self.url)

    def read(self, requested: Sequence[int]) -> Iterator[InMemoryFile]:
        """Yield the images at these places, which ascend, in one reading of the file."""
        at = 0
        try:
            with open_url(self.url) as file:
                for index in requested:
                    member = self.member(index)
                    while at < member.offset:
                        at += len(_some(file.read(min(1 << 20, member.offset - at)), self.url))
                    content = bytearray()
                    while len(content) < member.size:
                        content += _some(file.read(member.size - len(content)), self.url)
                    at += member.size
                    member.verify(bytes(content))
                    yield InMemoryFile(str(member), bytes(content))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.url}: failed to read ({error})") from None


def _some(content: bytes, url: str) -> bytes:
    if not content:
        raise DataError(f"{url}: it ends too early; fetch or write this shard again")
    return content


class Members(Sequence[StoredFile]):
    """The images of all shards of a split, in the order of the split; each is created when it is accessed.

    A slice of them has the numbers `own`.
    """

    def __init__(self, shards: Sequence[Part]) -> None:
        self.shards = tuple(shards)
        total = sum(len(shard) for shard in shards)
        samples = np.concatenate([shard.samples for shard in shards]) if shards else np.empty(0, np.int64)
        if not np.array_equal(np.sort(samples), np.arange(total)):
            raise DataError(f"{shards[0].url} and those after it: samples are missing or there twice")
        self.shard_of, self.place_of = np.empty(total, np.int32), np.empty(total, np.int64)
        for number, shard in enumerate(shards):
            self.shard_of[shard.samples] = number
            self.place_of[shard.samples] = np.arange(len(shard))
        self.own = range(total)

    @property
    def remote(self) -> bool:
        """Whether they can only be read from the start of their shards."""
        return any(shard.remote for shard in self.shards)

    def __len__(self) -> int:
        return len(self.own)

    @overload
    def __getitem__(self, index: int) -> StoredFile: ...

    @overload
    def __getitem__(self, index: slice) -> Members: ...

    def __getitem__(self, index: int | slice) -> StoredFile | Members:
        if isinstance(index, slice):
            part = copy(self)
            part.own = self.own[index]
            return part
        sample = self.own[index]
        return self.shards[self.shard_of[sample]].member(int(self.place_of[sample]))


def is_remote(url: str) -> bool:
    """Return whether this is a URL and not a path."""
    return url.startswith("pipe:") or is_url(url)


def is_compressed(url: str) -> bool:
    """Return whether a shard is a gzip file: by its first bytes, or of a URL by its name.

    Raises: DataError, if it cannot be opened.
    """
    if is_remote(url):
        return urlparse(url).path.endswith((".gz", ".tgz"))
    try:
        with open(url, "rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise DataError(f"{url}: failed to open ({error.strerror or error})") from None


def open_url(url: str) -> IO[bytes]:
    """Open a shard, or what it has compressed, from its start: a URL by fsspec, and what a `pipe:` gives.

    Raises: DataError, if it cannot be opened; StorageError, as `RemoteStream`; UsageError, without fsspec's packages
        for it or, of a pipe, webdataset.
    """
    compressed = is_compressed(url)
    try:
        if is_remote(url):
            is_pipe = url.startswith("pipe:")
            stream: Any = import_extra("webdataset.gopen", "shards").gopen(url, "rb") if is_pipe else RemoteStream(url)
            return _Unpacked(stream) if compressed else stream  # type: ignore[return-value]
        return gzip.open(url, "rb") if compressed else open(url, "rb")  # type: ignore[return-value]
    except (OSError, ValueError) as error:
        raise DataError(f"{url}: failed to open ({error})") from None


class _Unpacked(gzip.GzipFile):
    """What a gzip stream holds; the stream is closed with it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(fileobj=stream)
        self.stream = stream

    def close(self) -> None:
        super().close()
        self.stream.close()
