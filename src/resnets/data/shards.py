"""Tar shards in the layout of webdataset: an index of their members makes local ones as good as single files.

`resnets data shard` writes the index as manifest.json; of other shards it is made by reading their headers.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, overload
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray

from resnets.data.datasets import DataSplits, ImageFiles
from resnets.data.decoding import SUFFIXES
from resnets.errors import DataError, UsageError

FORMAT = "resnets-shards-1"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Member:
    """An image in a shard."""

    shard: str  # a path or a URL
    offset: int
    size: int
    crc: int | None  # of its bytes, where a manifest tells it

    @property
    def name(self) -> str:
        return str(self.offset)

    def __str__(self) -> str:
        return f"{self.shard}, byte {self.offset:,}"

    def read(self) -> bytes:
        if is_remote(self.shard):
            raise DataError(f"{self}: remote shards are read from their beginning only")
        try:
            with open(self.shard, "rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.shard}: cannot be read ({error.strerror})") from None
        self.verify(content)
        return content

    def verify(self, content: bytes) -> None:
        """Raise DataError unless these are the bytes that were written."""
        if len(content) != self.size or (self.crc is not None and zlib.crc32(content) != self.crc):
            raise DataError(f"{self}: not what was written there; fetch or write this shard again")


@dataclass(frozen=True, eq=False)
class Shard:
    """One tar file and where its images lie, in the order of their bytes.

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
        return Member(self.url, int(self.offsets[index]), int(self.sizes[index]), crc)


class Members(Sequence[Member]):
    """The images of all shards of a split, in the order of the split; each is made when it is asked for."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        total = sum(len(shard) for shard in shards)
        samples = np.concatenate([shard.samples for shard in shards]) if shards else np.empty(0, np.int64)
        if not np.array_equal(np.sort(samples), np.arange(total)):
            raise DataError(f"{shards[0].url} and those after it: samples are missing or there twice")
        self.shard_of, self.place_of = np.empty(total, np.int32), np.empty(total, np.int64)
        for number, shard in enumerate(shards):
            self.shard_of[shard.samples] = number
            self.place_of[shard.samples] = np.arange(len(shard))

    @property
    def remote(self) -> bool:
        """Whether they can only be read from the beginning of their shards."""
        return any(is_remote(shard.url) for shard in self.shards)

    def __len__(self) -> int:
        return len(self.shard_of)

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Member]: ...

    def __getitem__(self, index: int | slice) -> Member | Sequence[Member]:
        if isinstance(index, slice):
            return MembersSlice(self, range(len(self))[index])
        return self.shards[self.shard_of[index]].member(int(self.place_of[index]))


class MembersSlice(Sequence[Member]):
    """Some of the images of a split, in its order: those numbered `own`."""

    def __init__(self, whole: Members, own: range) -> None:
        self.whole, self.own, self.remote = whole, own, whole.remote

    def __len__(self) -> int:
        return len(self.own)

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Member]: ...

    def __getitem__(self, index: int | slice) -> Member | Sequence[Member]:
        if isinstance(index, slice):
            return MembersSlice(self.whole, self.own[index])
        return self.whole[self.own[index]]


def is_remote(url: str) -> bool:
    """Tell a URL from a path."""
    return url.startswith("pipe:") or len(urlparse(url).scheme) > 1  # one letter is a drive


def open_url(url: str) -> IO[bytes]:
    """Open a shard to be read from its beginning; URLs by webdataset, which knows http(s), gs, pipe and more.

    Raises: DataError, if it cannot be opened; UsageError, without webdataset.
    """
    try:
        if not is_remote(url):
            return open(url, "rb")
        return _library("gopen").gopen(url, "rb")
    except (OSError, ValueError) as error:
        raise DataError(f"{url}: cannot be opened ({error})") from None


def _library(module: str) -> Any:
    try:
        return importlib.import_module(f"webdataset.{module}")
    except ImportError:
        raise UsageError("remote shards and brace patterns need `pip install 'resnets[shards]'`") from None


def load(rest: str) -> DataSplits:
    """Return the images of shards: `FOLDER` or `URL/manifest.json` as `resnets data shard` wrote, or `TRAIN,VAL`.

    TRAIN and VAL are names of tar files, with brace patterns such as train-{000000..000146}.tar. Of those each image
    has a label in a .cls or .json file beside it. Without a manifest the headers of all shards are read first.

    Raises: DataError, if there are none, or they are damaged; UsageError.
    """
    train, *others = _patterns(rest)
    if not others:
        remote = is_remote(train)
        where = train if train.endswith(".json") else f"{train.rstrip('/')}/{MANIFEST}"
        if not remote and not Path(where).is_file():
            raise DataError(
                f"webdataset: no {where}; name a folder that `resnets data shard` wrote, or TRAIN,VAL: tar files to "
                f"train and to test on"
            )
        return from_manifest(where)
    if len(others) > 1:
        raise UsageError(f"webdataset takes one or two names, not {len(others) + 1}: {rest}")
    splits = {name: indexed(pattern) for name, pattern in (("train", train), ("val", others[0]))}
    labels = {name: Members(shards) for name, shards in splits.items()}
    files = {name: _files(members) for name, members in labels.items()}
    count = 1 + max(int(part.labels.max(initial=-1)) for part in files.values())
    return DataSplits(
        name=Path(urlparse(train).path).stem.partition("-")[0] or "shards",
        train=files["train"],
        test=files["val"],
        classes=tuple(map(str, range(count))),
        digest=f"{files['train'].digest()}:{files['val'].digest()}",
    )


def _files(members: Members, digest: str | None = None) -> ImageFiles:
    labels = np.empty(len(members), np.int64)
    for shard in members.shards:
        labels[shard.samples] = shard.labels
    return ImageFiles(members, labels, digest)


def _patterns(rest: str) -> list[str]:
    """Return the parts between commas that are in no braces."""
    parts, depth = [""], 0
    for character in rest:
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if not all(parts):
        raise UsageError(f"webdataset:{rest}: a name is empty; TRAIN,VAL are tar files to train and to test on")
    return parts


# ---------------------------------------------------------------- by a manifest


def read_manifest(where: str) -> dict[str, Any]:
    """Return what a manifest says. Raises: DataError, if it cannot be read or is of another format."""
    try:
        with open_url(where) as file:
            manifest = json.loads(file.read())
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}, not {FORMAT!r}")
        return manifest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not a manifest of shards ({error})") from None


def from_manifest(where: str) -> DataSplits:
    """Return the data set of a manifest; its shards lie beside it, each of the size that it tells.

    Raises: DataError, if one is missing or of another size.
    """
    manifest = read_manifest(where)
    beside = where.rpartition("/")[0] if is_remote(where) else str(Path(where).parent)
    try:
        splits = {
            split: _files(Members([_shard(beside, told) for told in about["shards"]]), about["digest"])
            for split, about in manifest["splits"].items()
        }
        return DataSplits(
            name=manifest["name"],
            train=splits["train"],
            test=splits["val"],
            classes=tuple(manifest["classes"]),
            digest=f"{splits['train'].digest()}:{splits['val'].digest()}",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: not a whole manifest ({type(error).__name__}: {error})") from None


def _shard(beside: str, told: dict[str, Any]) -> Shard:
    if not re.fullmatch(r"[\w.-]+", told["file"]):  # a manifest names files beside it, and runs no commands
        raise DataError(f"{beside}: the manifest names {told['file']!r}, which is no file beside it")
    url = f"{beside}/{told['file']}"
    if not is_remote(url):
        size = os.stat(url).st_size if os.path.exists(url) else None
        if size != told["bytes"]:
            found = "is missing" if size is None else f"has {size:,} bytes instead of {told['bytes']:,}"
            raise DataError(f"{url}: {found}; fetch or write it again")
    names = ("samples", "labels", "offsets", "sizes", "crcs")
    samples, labels, offsets, sizes, crcs = (np.asarray(told[name], np.int64) for name in names)
    return Shard(url, samples, labels, offsets, sizes, crcs)


# ---------------------------------------------------------------- by their headers


def indexed(pattern: str) -> list[Shard]:
    """Return the shards of a pattern, their headers read. Raises: DataError, if one is no tar file of images."""
    urls = list(_library("shardlists").expand_urls(pattern)) if "{" in pattern else [pattern]
    shards, before = [], 0
    for url in urls:
        with open_url(url) as file:
            found = list(samples_in(file, url))
        if not found:
            raise DataError(f"{url}: no images with labels; each has its class in a .cls or .json file beside it")
        labels, offsets, sizes = np.asarray(found, np.int64).T
        shards.append(Shard(url, np.arange(before, before + len(found)), labels, offsets, sizes, None))
        before += len(found)
    return shards


def samples_in(file: IO[bytes], url: str) -> Iterator[tuple[int, int, int]]:
    """Yield (label, offset, size) of each image of a tar file, which is read once, from its beginning."""
    key, label, image = "", None, None
    try:
        with tarfile.open(fileobj=file, mode="r|") as content:
            for entry in content:
                if not entry.isfile():
                    continue
                folder, _, name = entry.name.rpartition("/")
                stem, _, suffix = name.partition(".")  # as webdataset divides a name
                if (folder + "/" + stem) != key:
                    yield from _sample(key, label, image, url)
                    key, label, image = folder + "/" + stem, None, None
                suffix = suffix.lower()
                if f".{suffix}" in SUFFIXES:
                    image = entry.offset_data, entry.size
                elif suffix in ("cls", "json"):
                    stored = content.extractfile(entry)
                    assert stored is not None
                    told = json.loads(stored.read())
                    label = told if suffix == "cls" else told.get("label", told.get("cls", label))
        yield from _sample(key, label, image, url)
    except (tarfile.TarError, EOFError, ValueError, AttributeError) as error:
        raise DataError(f"{url}: not a whole tar file of samples ({error})") from None


def _sample(key: str, label: Any, image: tuple[int, int] | None, url: str) -> Iterable[tuple[int, int, int]]:
    if image is None:
        return ()
    if not isinstance(label, int) or label < 0:
        raise DataError(f"{url}: image {key.lstrip('/')} has no label of its class in a .cls or .json file beside it")
    return ((label, *image),)
