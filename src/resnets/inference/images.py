"""The images that a command or a call names: files, folders, patterns, shards, URLs and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from resnets.data import webdataset
from resnets.data.folder import images_in, is_image_below
from resnets.data.formats import SUFFIXES
from resnets.data.given_images import GivenImage, Picture, as_image, as_images
from resnets.data.remote import RemoteFile, files_below, is_url, require_packages
from resnets.data.stored_file import MOST_BYTES, ImageFile, InMemoryFile
from resnets.errors import DataError

STDIN = "-"
FOLDER = "folder:"
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


@dataclass(frozen=True, slots=True)
class Tar:
    """The images of a tar file, which is read from its start whenever they are iterated over."""

    url: str

    def __iter__(self) -> Iterator[AnyImage]:
        try:
            yield from webdataset.images_in(self.url)
        except DataError as error:
            yield Unreadable(self.url, str(error))


def find_images(given: GivenImage | Iterable[GivenImage]) -> Iterable[AnyImage]:
    """Return the images of one or more names, in order; a sequence, unless there are shards, read on the way.

    A name is a file, a folder (all images in it and its subfolders), a pattern (`photos/**/*.jpg`), `-` (one image on
    standard input), `webdataset:` with what `resnets data shard` wrote or tar files, labelled or not, or the URL of an
    image or of the place that images are below; `folder:` before a folder or a URL is passed over. What is there and
    cannot be read is `Unreadable`. In place of names there may be images, as `as_image` takes them.

    Raises: UsageError, for shards and URLs that need packages that are not installed, and what is no image;
        StorageError, if listing what is below a URL fails.
    """
    found = _listed(given)
    if any(isinstance(part, Tar) for part in found):
        return chain.from_iterable(found)
    return [image for part in found for image in part]


def in_parts(given: GivenImage | Iterable[GivenImage], size: int) -> list[Sequence[AnyImage] | Tar]:
    """Return the images of `find_images` in parts: a tar file, or at most `size` other images in a row.

    Raises: DataError, for a name that led to no image; UsageError, StorageError, as `find_images`.
    """
    parts: list[Sequence[AnyImage] | Tar] = []
    files: list[AnyImage] = []
    for found in [*_listed(given), None]:
        if isinstance(found, list):
            unreadable = next((image for image in found if isinstance(image, Unreadable)), None)
            if unreadable is not None:
                raise DataError(unreadable.why)
            files += found
            continue
        parts += [files[start : start + size] for start in range(0, len(files), size)]
        parts += [] if found is None else [found]
        files = []
    return parts


def _listed(given: GivenImage | Iterable[GivenImage]) -> list[list[AnyImage] | Tar]:
    several = not isinstance(given, str | os.PathLike) and as_images(given) is not None
    items: Iterable[GivenImage] = given if several else [given]  # type: ignore[assignment, list-item]
    found: list[list[AnyImage] | Tar] = []
    for number, item in enumerate(items):
        if not isinstance(item, str | os.PathLike):
            found.append([as_image(item, f"images[{number}]" if several else "image")])
        elif (name := os.fspath(item)).startswith(SHARDS):
            found += _in_shards(name)
        else:
            name = os.path.expanduser(name.removeprefix(FOLDER)) if name.startswith(FOLDER) else name
            found.append(_remote(name) if is_url(name) else _files(name))
    return found


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
        found += images_in(folder, problems.append, [], verify=False)
    except OSError as error:
        problems.append(f"{error.filename}: failed to read ({error.strerror or error})")
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


def _in_shards(name: str) -> list[list[AnyImage] | Tar]:
    try:
        return [Tar(url) for url in webdataset.shard_urls(name.removeprefix(SHARDS))]
    except DataError as error:
        return [[Unreadable(name, str(error))]]


def _remote(url: str) -> list[AnyImage]:
    require_packages(url)
    path = urlparse(url).path
    if path.lower().endswith(SUFFIXES):
        return [RemoteFile(url)]
    try:
        below = files_below(url)
    except DataError as error:
        return [Unreadable(url, str(error))]
    start = len(url.rstrip("/")) + 1
    found: list[AnyImage] = [file for file in below if is_image_below(PurePosixPath(file.url[start:]))]
    return found or [Unreadable(url, f"{url}: no images below this address ({', '.join(SUFFIXES)})")]
