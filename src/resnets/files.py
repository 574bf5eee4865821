"""Files that are written whole or not at all, and read within limits."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from resnets.errors import ResnetsError, RunError, UsageError


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file next to it, fsync, rename, fsync of the folder."""
    if path.exists() and not path.is_file():  # a device or a pipe, which takes the content and stays
        path.write_bytes(content)
        return
    path = path.resolve()  # what a link leads to is replaced, and not the link
    temporary = _temporary(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


LONGEST_NAME = 240
"""Bytes of a file's name that leave room, of 255, for a number, a suffix or what a temporary file has around it."""

PARTIAL = ".partial"
"""The end of a temporary file's name."""


def _temporary(path: Path) -> Path:
    name = os.fsencode(path.name)
    short = path.name if len(name) <= LONGEST_NAME else hashlib.sha256(name).hexdigest()
    return path.with_name(f".{short}{PARTIAL}")


def cache_folder() -> Path:
    """Return where downloads and compiled files are kept: $RESNETS_CACHE, else ~/.cache/resnets (XDG_CACHE_HOME).

    Raises: UsageError, if none is named and the user has no home folder, as in some containers.
    """
    if own := os.environ.get("RESNETS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):
        raise UsageError("this user has no home folder for downloads; name one by RESNETS_CACHE")
    return Path(base) / "resnets"


def expanded(path: str) -> Path:
    """Return a path whose ~ or ~user is the folder of that user; a name that is no user's stays as it is."""
    return Path(os.path.expanduser(path))


ALWAYS_READ = 500_000_000
"""Bytes that the content of a file may take in memory, however small the file is."""

EXPANSION = 20
"""How many times the bytes on the disk the content of a file may take, where that is more."""


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return a file's content.

    Raises: OSError, whose `strerror` says so, if it is no regular file (opening a pipe would wait for its writer), is
        larger than `most` bytes, or declares a size of which nearly nothing was written.
    """
    size = size_on_disk(path)[0]
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"{size:,} bytes; at most {most:,} are read")
    require_expansion(path, size)
    return path.read_bytes()


def require_expansion(path: Path, declared: int) -> None:
    """Check the bytes that the content of a file takes in memory by what it declares, before any of it is read.

    Raises: OSError, if they are more than 500 MB and more than 20 times those that the file takes on the disk.
    """
    if declared > ALWAYS_READ and declared > EXPANSION * (written := size_on_disk(path)[1]):
        raise OSError(errno.EFBIG, f"it declares {declared:,} bytes of content, and {written:,} bytes are on the disk")


def size_on_disk(path: Path) -> tuple[int, int]:
    """Return the size of a regular file, and how much of it is data and no hole. Raises: OSError, as `read_bytes`."""
    try:
        about = path.stat()
    except ValueError as error:  # a null byte in the name
        raise OSError(errno.EINVAL, str(error)) from None
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    size = about.st_size
    if size <= ALWAYS_READ or not hasattr(os, "SEEK_DATA"):
        return size, size
    written, at = 0, 0
    with open(path, "rb") as file, contextlib.suppress(OSError):  # which says that no data follows
        while at < size:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            written, at = written + hole - at, hole
    return size, written


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, so that a power cut does not undo a new or renamed file.

    Where the system or the disk knows no such thing, as Windows and some network disks, there is nothing to wait for.
    """
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(opened)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, where they are missing, so that a power cut does not undo them.

    Raises: OSError; UsageError, if it is a URL.
    """
    _require_path(folder)
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


@contextlib.contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn what the system says of a full disk or a closed folder into one clear line.

    Raises: RunError.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{where}: failed to write ({error.strerror or error})") from error


@contextlib.contextmanager
def reading(where: object, kind: type[ResnetsError]) -> Iterator[None]:
    """Turn what the system says of a file that is missing or closed into one clear line.

    Raises: `kind`.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{where}: failed to read ({error.strerror or error})") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path for a new file or folder, which takes a place, whole, when the block ends without an error.

    What a link leads to is replaced, and not the link. A folder that is there stays, for it may be a mount point or
    where a shell is; it gets the files of the new one, in the order of their names, in place of those it has.

    Raises: RunError, if that fails, or a device or a pipe is there.
    """
    with writing(path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "not a regular file")
        place = path.resolve()
        temporary = place / PARTIAL if place.is_dir() else _temporary(place)
        make_folder(temporary.parent)
        _remove(temporary)  # of a process that was killed
    try:
        yield temporary
        with writing(path):
            files = sorted(temporary.iterdir()) if temporary.is_dir() else [temporary]
            for file in files:
                with open(file, "rb+") as content:
                    os.fsync(content.fileno())
            if place.is_dir():
                for file in files:  # all, before the first new one: never some of each
                    _remove(place / file.name)
                for file in files:
                    os.replace(file, place / file.name)
            else:
                os.replace(temporary, place)
            sync_folder(temporary.parent)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def free_name(folder: Path, stem: str, suffix: str, taken: set[str], own: Container[str] = ()) -> str:
    """Return a name for a new file of a folder, STEM with a suffix, or with a number where there is such a file.

    It is added to the names that are `taken`; the case of letters makes no other name. Files of `own` may be replaced.
    A stem that is too long for that is cut.
    """
    while len(os.fsencode(stem)) > LONGEST_NAME:
        stem = stem[:-1]
    for number in itertools.count(1):
        name = f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"
        if name.lower() not in taken and (name in own or not os.path.lexists(folder / name)):
            break
    taken.add(name.lower())
    return name


RUN_FILES = ("run.json", "metrics.jsonl", "weights.safetensors", "result.json")
"""Files of a run's folder, which belong together: the result is that of the weights."""


def require_file(path: str | Path | None, *, in_place: bool = False) -> None:
    """Make sure that a file can be written, if a path is given, before the hours whose result is written there.

    Raises: UsageError, if it is a folder, a URL or, unless it is to be changed `in_place`, a file of a run; RunError,
        if nothing can be written there.
    """
    if path is not None:
        _require_path(Path(path))
        if not in_place:
            _require_not_of_run(Path(path))
        if Path(path).is_dir():
            raise UsageError(f"{path}: a folder; name a file in it")
        if not (Path(path).exists() and os.access(path, os.W_OK) and not Path(path).is_file()):  # a device or a pipe
            _require_writable(Path(path), Path(path).resolve().parent)


def _require_not_of_run(path: Path) -> None:
    """Refuse a file that a run's folder has or will have, or a link to one: it would be lost, or not be the run's."""
    for file in (path, path.resolve()):
        if file.name in RUN_FILES and any((file.parent / name).exists() for name in ("run.json", "result.json")):
            raise UsageError(f"{path}: {file.name} is the run's own in {file.parent}; name another file")


def require_folder(path: str | Path | None) -> None:
    """Make sure that a path, if there is one, can be a folder's, which is opened before the work starts.

    Raises: UsageError, if it is a file or a URL.
    """
    if path is not None:
        _require_path(Path(path))
        if Path(path).exists() and not Path(path).is_dir():
            raise UsageError(f"{path}: a file; name a folder")


def require_results_folder(path: str | Path | None) -> None:
    """Make sure that results can be written to a folder, if one is given, before the hours that they take.

    Raises: UsageError, as `require_folder`; RunError, if nothing can be written there.
    """
    require_folder(path)
    if path is not None:
        _require_writable(Path(path), Path(path))


def _require_writable(path: Path, folder: Path) -> None:
    """Try a temporary file in a folder or, where it is not there yet, in the nearest one above; none is made."""
    with writing(path):
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        tempfile.TemporaryFile(dir=there).close()


def _require_path(path: Path) -> None:
    """Refuse a URL, of which a path has lost a slash: a folder named after it would be made here."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise UsageError(f"{path}: a URL; results are written to disks of this machine, which others may share")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, in a folder that is made where there is none.

    Raises: RunError, if it cannot be written.
    """
    with writing(path):
        make_folder(path.parent)
        write_durably(path, content)


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Return plain values as JSON, which is valid whatever they are: a number that is not finite becomes null."""
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
