"""Samples of a tar file by its headers, as webdataset groups them: members in a row whose names share a key.

A sample is one image with its class: the number in a .cls file, or else in the field `label` or `cls` of a .json file.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, Self

from resnets.data.formats import SUFFIXES
from resnets.data.passed_over import PassedOver
from resnets.data.stored_file import MOST_BYTES, InMemoryFile
from resnets.errors import DataError, StorageError, first_line

LABEL_BYTES = 1 << 20  # of a .cls or .json file that is read for a label
END = "it ends too early: a truncated tar file, or one that was not closed"


class _Entry(tarfile.TarInfo):
    """A header that is refused where the file ends without the mark of its end, which tarfile takes for an end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(END if archive.offset else str(error)) from None


@dataclass
class _Sample:
    """Members of one key: the image's place, and what may hold its label."""

    key: str
    image: tuple[str, int, int] | None = None  # suffix, offset, size
    labels: dict[str, bytes] = field(default_factory=dict)  # by cls and json


def samples_in(file: IO[bytes], url: str, passed: list[PassedOver]) -> Iterator[tuple[int, int, int]]:
    """Yield (label, offset, size) of each image of a tar file, which is read once, from its start.

    What is no part of a sample is added to `passed`.

    Raises: DataError, if the file is truncated or no tar file, two images have one key, or an image has no class.
    """
    sample, keys = _Sample(""), set[str]()
    with _opened(file, url, "samples") as content:
        for entry in content:
            folder, _, name = entry.name.rpartition("/")
            stem, _, suffix = name.partition(".")  # as webdataset divides a name
            if entry.isdir():
                continue
            if not stem or not entry.isfile():
                passed.append(PassedOver("links" if stem else "hidden members", f"{url}: {entry.name}"))
                continue
            key, suffix = f"{folder}/{stem}", suffix.lower()
            if key != sample.key:
                yield from _whole(sample, url, passed)
                sample = _Sample(key)
            _require_plain(entry, url)
            if f".{suffix}" in SUFFIXES:
                if sample.image is not None or key in keys:
                    _refuse_second(sample, suffix, url)
                keys.add(key)
                sample.image = suffix, entry.offset_data, entry.size
            elif suffix in ("cls", "json"):
                if suffix in sample.labels:
                    _refuse_second(sample, suffix, url)
                sample.labels[suffix] = _read(content, entry, url)
    yield from _whole(sample, url, passed)


def images_in(file: IO[bytes], url: str) -> Iterator[InMemoryFile]:
    """Yield each image of a tar file, which is read once, from its start; images need no class, and may repeat a name.

    Raises: DataError, if the file is truncated or no tar file, after the images before that.
    """
    with _opened(file, url, "images") as content:
        for entry in content:
            name = PurePosixPath(entry.name)
            if entry.isfile() and name.suffix.lower() in SUFFIXES and not name.name.startswith("."):
                _require_plain(entry, url)
                stored = content.extractfile(entry)
                assert stored is not None
                yield InMemoryFile(f"{url}/{entry.name}", stored.read())


@contextmanager
def _opened(file: IO[bytes], url: str, what: str) -> Iterator[tarfile.TarFile]:
    """Read a tar file from its start. Raises: DataError, for what a damaged file raises, which is nearly anything."""
    stream: Any = _Ending(file)
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as content:
            yield content
    except (DataError, StorageError):
        raise
    except Exception as error:
        raise DataError(f"{url}: not a whole tar file of {what} ({first_line(error)})") from None


class _Ending:
    """A file whose end is an error: for tarfile, which reads on to where a header says that a member ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.ends = file, 0

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        self.ends += not content
        if self.ends > 2:
            raise EOFError(END)
        return content


def _require_plain(entry: tarfile.TarInfo, url: str) -> None:
    """Refuse what is larger than any image, or than it is in the file."""
    if entry.issparse():
        raise DataError(f"{url}: {entry.name} is a sparse member; write the shard without --sparse")
    if entry.size > MOST_BYTES:
        raise DataError(f"{url}: {entry.name} declares {entry.size:,} bytes; at most {MOST_BYTES:,} are read")


def _refuse_second(sample: _Sample, suffix: str, url: str) -> None:
    where = f"{url}: {sample.key.lstrip('/')}"
    if sample.image is not None and sample.image[0] != suffix and suffix not in sample.labels:
        raise DataError(f"{where} has two images, .{sample.image[0]} and .{suffix}; each needs a key of its own")
    raise DataError(f"{where} is there twice (its .{suffix}); each sample needs a key of its own")


def _read(content: tarfile.TarFile, entry: tarfile.TarInfo, url: str) -> bytes:
    if entry.size > LABEL_BYTES:
        raise DataError(f"{url}: {entry.name} has {entry.size:,} bytes, and at most {LABEL_BYTES:,} are read")
    stored = content.extractfile(entry)
    assert stored is not None
    return stored.read()


def _whole(sample: _Sample, url: str, passed: list[PassedOver]) -> Iterator[tuple[int, int, int]]:
    """Yield a sample whose members have all been seen, if it has an image."""
    where = f"{url}: {sample.key.lstrip('/')}"
    if sample.image is not None:
        _, offset, size = sample.image
        yield _label(sample, where), offset, size
    elif sample.key:
        passed.append(PassedOver("samples without an image", where))


def _label(sample: _Sample, where: str) -> int:
    """Return the number of the class: of the .cls file, where there is one; then the .json file is metadata."""
    if (text := sample.labels.get("cls")) is not None:
        if re.fullmatch(rb"\s*[0-9]{1,9}\s*", text) is None:
            shown = text[:40].decode(errors="replace").strip()
            raise DataError(f"{where} has the label {shown!r} in its .cls file; it must be the number of a class")
        return int(text)
    if (text := sample.labels.get("json")) is None:
        raise DataError(f"{where} has no label of its class in a .cls or .json file next to it")
    try:
        about: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} has a .json file that is not JSON ({error})") from None
    fields = about if isinstance(about, dict) else {}
    label = fields.get("label", fields.get("cls"))
    if not isinstance(label, int) or isinstance(label, bool) or label < 0:
        found = "no label" if label is None else f"the label {str(label)[:40]!r}"
        raise DataError(f"{where} has {found} in its .json file; its field label or cls must be the number of a class")
    return label
