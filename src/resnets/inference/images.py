"""The images that a command or a call names: files, folders, patterns, shards and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from resnets.data import webdataset
from resnets.data.folder import images_in
from resnets.data.formats import SUFFIXES
from resnets.data.given_images import GivenImage, Picture, as_image, as_images
from resnets.data.stored_file import MOST_BYTES, ImageFile, InMemoryFile
from resnets.errors import DataError

STDIN = "-"
SHARDS = "webdataset:"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A name that led to no image. `read` raises why, so that it fails in its place and the others are read."""

    where: str
    why: str

    @property
    def name(self) -> str:
        return self.where

    def __str__(self) -> str:
        return self.where

    def read(self) -> bytes:
        raise DataError(self.why)


AnyImage = ImageFile | Picture


def find_images(given: GivenImage | Iterable[GivenImage]) -> Iterable[AnyImage]:
    """Return the images of one or more names, in order; a sequence, unless there are shards, read on the way.

    A name is a file, a folder (all images in it and its subfolders), a pattern (`photos/**/*.jpg`), `-` (one image on
    standard input) or `webdataset:` with what `resnets data shard` wrote or tar files, labelled or not. What is
    there and cannot be read is `Unreadable`. In place of names there may be images, as `as_image` takes them.

    Raises: UsageError, for shards that need webdataset, where it is not installed, and what is no image.
    """
    several = not isinstance(given, str | os.PathLike) and as_images(given) is not None
    items: Iterable[GivenImage] = given if several else [given]  # type: ignore[assignment, list-item]
    found: list[Sequence[AnyImage] | Iterator[AnyImage]] = []
    for number, item in enumerate(items):
        if not isinstance(item, str | os.PathLike):
            found.append([as_image(item, f"images[{number}]" if several else "image")])
        elif (name := os.fspath(item)).startswith(SHARDS):
            found.append(_in_shards(name))
        else:
            found.append(_files(name))
    if any(isinstance(part, Iterator) for part in found):
        return chain.from_iterable(found)
    return [image for part in found for image in part]


def _files(name: str) -> list[AnyImage]:
    if name == STDIN:
        return [_standard_input()]
    if os.path.isdir(name):
        return _in_folder(Path(name))
    if os.path.lexists(name) or not glob.has_magic(name):
        return [Path(name)]
    matches = sorted(glob.glob(name, recursive=True))
    files = chain.from_iterable(_in_folder(Path(one)) if os.path.isdir(one) else [Path(one)] for one in matches)
    return list(dict.fromkeys(files)) or [Unreadable(name, f"{name}: no file matches this pattern")]


def _in_folder(folder: Path) -> list[AnyImage]:
    found: list[AnyImage] = []
    problems: list[str] = []
    try:
        found += images_in(folder, problems.append, [])
    except OSError as error:
        problems.append(f"{error.filename}: failed to read ({error.strerror})")
    if not found and not problems:
        problems.append(f"{folder}: no images in this folder ({', '.join(SUFFIXES)})")
    return [*found, *(Unreadable(str(folder), problem) for problem in problems)]


def _standard_input() -> ImageFile:
    try:
        content = sys.stdin.buffer.read(MOST_BYTES + 1)
    except (AttributeError, OSError) as error:  # it is None where it was closed before the start
        return Unreadable(STDIN, f"standard input: failed to read ({error})")
    if len(content) > MOST_BYTES:
        return Unreadable(STDIN, f"standard input: larger than an image; at most {MOST_BYTES:,} bytes are read")
    return InMemoryFile(STDIN, content)


def _in_shards(name: str) -> Iterator[AnyImage]:
    try:
        urls = webdataset.shard_urls(name.removeprefix(SHARDS))
    except DataError as error:
        yield Unreadable(name, str(error))
        return
    for url in urls:
        try:
            yield from webdataset.images_in(url)
        except DataError as error:
            yield Unreadable(url, str(error))
