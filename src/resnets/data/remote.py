"""Remote storage by fsspec: `s3://`, `https://` and other protocols; a read that breaks is repeated."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from resnets.data.stored_file import MOST_BYTES
from resnets.errors import DataError, StorageError, UsageError, first_line, import_extra

WAITS = (0.2, 1.0, 5.0)
"""Seconds before a read is repeated, for the first time and the next ones."""

TRY_AGAIN = (408, 425, 429)
"""Statuses by which a web server asks for patience, where others from 400 to 499 are a refusal."""

PACKAGES = {"s3": "s3fs", "http": "aiohttp", "https": "aiohttp"}
BLOCK = 16 << 20  # bytes of a request, where a file is read from its start

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in remote storage. Units: `size` in bytes, where a listing has it."""

    url: str
    size: int | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        return self.url

    def read(self) -> bytes:
        """Return its content. Raises: DataError, if it is gone or too large; StorageError, if reading it fails."""
        if (self.size or 0) <= MOST_BYTES and len(content := self._content()) <= MOST_BYTES:
            return content
        raise DataError(f"{self.url}: larger than an image; at most {MOST_BYTES:,} bytes are read")

    def _content(self) -> bytes:
        """Return its content or, where its size is not known, so much of it as shows that it is too large."""
        if self.size is None:
            with io.BufferedReader(RemoteStream(self.url)) as stream:
                return stream.read(MOST_BYTES + 1)
        files, path = _located(self.url)
        content: bytes = _repeated(self.url, lambda: files.cat_file(path))
        return content


def is_url(name: str) -> bool:
    """Return whether a name is an address of remote storage and no path."""
    return "://" in name


def require_packages(url: str) -> None:
    """Make sure that a URL can be read. Raises: UsageError, if its protocol or the packages for it are not here."""
    _located(url)


def files_below(url: str) -> list[RemoteFile]:
    """Return all files below an address, sorted by their names.

    Raises: DataError, if there is no such place; StorageError, if listing it fails; UsageError, without the packages
        of the protocol.
    """
    files, path = _located(url)
    found: dict[str, Any] = _repeated(url, lambda: files.find(path, detail=True))
    return [
        RemoteFile(files.unstrip_protocol(name), about.get("size"))
        for name, about in sorted(found.items())
        if about.get("type") == "file"
    ]


class RemoteStream(io.RawIOBase):
    """A remote file that is read from its start; where a read breaks, it is opened again at that place.

    Raises: as `RemoteFile.read`, when it is made and when it is read.
    """

    def __init__(self, url: str) -> None:
        self.url, self.at = url, 0
        self.file: Any = None
        _repeated(url, self._open)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = _repeated(self.url, lambda: self._read(len(buffer)))
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self.file is not None:
            with contextlib.suppress(Exception):  # of a connection that broke
                self.file.close()
            self.file = None

    def _read(self, size: int) -> bytes:
        try:
            if self.file is None:
                self._open()
            content: bytes = self.file.read(size)
            return content
        except Exception:
            self._drop()
            raise

    def _open(self) -> None:
        files, path = _located(self.url)
        in_one = self.url.startswith("http")  # some servers know no parts of files
        self.file = files.open(path, "rb", **({"block_size": 0} if in_one else {"block_size": BLOCK}))
        left = self.at if in_one else 0
        if not in_one:
            self.file.seek(self.at)
        while left and (passed := len(self.file.read(min(left, BLOCK)))):
            left -= passed


def _located(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and its path there; the environment has endpoints and credentials."""
    protocol = url.partition("://")[0]
    if (package := PACKAGES.get(protocol)) is not None:
        import_extra(package, "remote")
    options = {}
    if protocol in ("http", "https"):
        idle = import_extra("aiohttp", "remote").ClientTimeout(total=None, sock_connect=30, sock_read=60)
        options["client_kwargs"] = {"trust_env": True, "timeout": idle}  # proxies, and files that take hours to read
    try:
        located: tuple[Any, str] = import_extra("fsspec", "remote").core.url_to_fs(url, **options)
        return located
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url}: {first_line(error)}") from None


def _repeated(url: str, read: Callable[[], T]) -> T:
    """Return what a read gives, which is tried again if it breaks, but for a file that is not there or not allowed.

    Raises: DataError, if it is not there; StorageError.
    """
    for wait in (*WAITS, None):
        try:
            return read()
        except FileNotFoundError:
            raise DataError(f"{url}: no such file") from None
        except Exception as error:  # each protocol has its own
            status = getattr(error, "status", None)
            refused = isinstance(error, PermissionError) or (status in range(400, 500) and status not in TRY_AGAIN)
            if refused or wait is None:
                raise StorageError(f"{url}: failed to read ({first_line(error)})") from error
        time.sleep(wait)
    raise AssertionError("the last read returns or raises")
