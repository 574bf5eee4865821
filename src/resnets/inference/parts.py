"""Results of many images by any number of processes: numbered Parquet files in a folder, each whole or not there.

The images are cut into parts in their order, whatever the number of processes. A process takes the next part that
nobody has taken; after an interruption those that are not written remain.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

from resnets.data.given_images import GivenImage
from resnets.data.streams import read_ahead
from resnets.errors import ANOTHER_FOLDER, DataError, RunError, first_line, import_extra, require_at_least
from resnets.files import make_folder, require_folder, sha256_of, write_bytes
from resnets.inference.batches import name_of_image
from resnets.inference.images import AnyImage, Tar, in_parts
from resnets.inference.predictions import parquet_bytes
from resnets.records import base
from resnets.records.image_parts import PartsManifest
from resnets.runtime.counters import SharedCounters
from resnets.runtime.locks import Held, Lock
from resnets.runtime.processes import World
from resnets.runtime.provenance import provenance

MANIFEST = "_manifest.json"  # what starts with _ or . is no part of a data set for pyarrow, pandas and Spark
IMAGES = 1_000  # of a part, unless it is a tar file
AHEAD = 64  # images of a tar file that are read while others are computed
REPORT_SECONDS = 0.5

Result = TypeVar("Result")
Answer = tuple[Path | str, Result | DataError]


@dataclass(frozen=True)
class ImageParts:
    """What a folder of parts holds: the results of `images`, of which `unreadable` have an error in place of one."""

    folder: Path
    parts: int
    images: int
    unreadable: int


@dataclass(frozen=True)
class PartsProgress:
    """How much is done by all processes together; `all_images` is None where tar files hold nobody knows how many."""

    images: int
    all_images: int | None
    parts: int
    all_parts: int


Observe = Callable[[PartsProgress], None]


@dataclass(frozen=True, kw_only=True)
class Work(Generic[Result]):
    """What is computed of each image.

    `answers` yields for each image, in order, its name and the result, or the error of one that cannot be read; `table`
    makes a pyarrow table of some of them, with these `columns`. `settings` are those that the results depend on.
    """

    content: Literal["predictions", "features"]
    weights: Path
    settings: dict[str, str | float]
    columns: Sequence[str]
    answers: Callable[[Iterable[AnyImage]], Iterator[Answer[Result]]]
    table: Callable[[Sequence[Answer[Result]]], Any]


def require_parts_folder(folder: Path, part_images: int) -> None:
    """Make sure that parts can be written, before the hours that they take.

    Raises: UsageError, if it is a file, a part is of less than one image, or pyarrow is not installed.
    """
    require_at_least(1, part_images=part_images)
    require_folder(folder)
    import_extra("pyarrow.parquet", "datasets")


def write_parts(
    folder: Path,
    given: GivenImage | Iterable[GivenImage],
    work: Work[Result],
    world: World,
    *,
    part_images: int,
    observe: Observe,
) -> ImageParts:
    """Write the results of all images that no file in the folder holds yet, and return what it then holds.

    `observe` is called in the first process, at most twice a second.

    Raises: DataError, for a name that led to no image, or no images at all; UsageError, StorageError, as `in_parts`;
        RunError, if the folder is in use, holds other results, or cannot be written.
    """
    if not (parts := in_parts(given, part_images)):
        raise DataError(f"no images are given, so nothing is written to {folder}")
    manifest = _manifest(work, parts, world)
    with ExitStack() as held:
        same, missing = world.broadcast_object(lambda: (manifest.identity(), _open(folder, manifest, held)))
        if (other := base.difference(same, manifest.identity())) is not None:
            where, there, here = other
            raise DataError(f"{where} is {here} here and {there} for the first process; all need the same files")
        shared = _Shared(world, parts, missing, observe)
        _write_missing(folder, parts, missing, work, shared)
        shared.wait()
    files = [folder / name_of_part(number) for number in range(len(parts))]
    counts = [_count(file) for file in files[world.rank :: world.size]]
    images, unreadable = world.sum(torch.tensor([(0, 0), *counts]).sum(0)).tolist()
    return ImageParts(folder, len(parts), images, unreadable)


def name_of_part(number: int) -> str:
    return f"part-{number:06}.parquet"


def is_parts_folder(folder: Path) -> bool:
    """Return whether a folder holds parts, finished or not."""
    return (folder / MANIFEST).is_file()


def read_parts(folder: Path) -> tuple[PartsManifest, Any]:
    """Return what the parts of a folder hold, as a pyarrow table. Raises: DataError, if parts are missing."""
    manifest = base.read(folder / MANIFEST, PartsManifest)
    if manifest is None:
        raise DataError(f"{folder}: no {MANIFEST}")
    files = [folder / name_of_part(number) for number in range(manifest.parts)]
    if missing := [file for file in files if not file.is_file()]:
        raise DataError(f"{folder}: {len(missing)} of {len(files)} parts are missing; the same command writes them")
    return manifest, import_extra("pyarrow.parquet", "datasets").read_table([str(file) for file in files])


def _manifest(work: Work[Result], parts: Sequence[Sequence[AnyImage] | Tar], world: World) -> PartsManifest:
    listing = hashlib.sha256()
    for part in parts:
        for name in [part.url] if isinstance(part, Tar) else map(str, map(name_of_image, part)):
            listing.update(os.fsencode(name) + b"\n")
        listing.update(b"\n")
    return PartsManifest(
        content=work.content,
        weights=sha256_of(work.weights),
        columns=tuple(work.columns),
        settings=work.settings,
        parts=len(parts),
        listing=listing.hexdigest(),
        provenance=provenance(torch.device(world.device.replace("auto", "cpu")), world.size),
    )


def _open(folder: Path, manifest: PartsManifest, held: ExitStack) -> list[int]:
    """Hold a folder, write or compare its manifest, and return the numbers of the parts that are not there yet."""
    try:
        make_folder(folder)
        held.enter_context(Lock(folder / ".lock"))
        names = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    except Held:
        raise RunError(
            f"{folder}: another process is writing in this folder; wait for it or {ANOTHER_FOLDER}"
        ) from None
    except OSError as error:
        raise RunError(f"{folder}: failed to create or write ({error.strerror or error})") from None
    found = base.read(folder / MANIFEST, PartsManifest)
    if found is None:
        if names:
            raise RunError(f"{folder}: holds {min(names)} and no {MANIFEST}; {ANOTHER_FOLDER}")
        base.write(folder / MANIFEST, manifest)
    elif (other := base.difference(found.identity(), manifest.identity())) is not None:
        where, there, here = other
        raise RunError(f"{folder}: holds other results: {where} is {there} there and {here} here; {ANOTHER_FOLDER}")
    return [number for number in range(manifest.parts) if name_of_part(number) not in names]


def _write_missing(
    folder: Path, parts: Sequence[Sequence[AnyImage] | Tar], missing: Sequence[int], work: Work[Result], shared: _Shared
) -> None:
    """Write one part after the other that no other process has taken.

    Their images are one stream, so that those of the next part are read while the last ones of a part are computed.
    """
    ended: deque[tuple[int, int]] = deque()  # parts and their images, once all of these have been read

    def images() -> Iterator[AnyImage]:
        while (turn := shared.next_turn()) < len(missing):
            part, count = parts[missing[turn]], 0
            for image in read_ahead(iter(part), AHEAD) if isinstance(part, Tar) else part:
                yield image
                count += 1
            ended.append((missing[turn], count))

    results: list[Answer[Result]] = []

    def write_ended() -> None:
        while ended and ended[0][1] == len(results):
            write_bytes(folder / name_of_part(ended.popleft()[0]), parquet_bytes(work.table(results)))
            results.clear()
            shared.wrote()

    for answer in work.answers(images()):
        write_ended()
        results.append(answer)
        shared.computed()
    write_ended()


class _Shared:
    """What the processes know of each other: who takes which part, and how much is done."""

    def __init__(
        self, world: World, parts: Sequence[Sequence[AnyImage] | Tar], missing: Sequence[int], observe: Observe
    ) -> None:
        self.counters, self.first, self.observe = SharedCounters(world), world.first, observe
        self.missing, self.all_parts = len(missing), len(parts)
        lengths = [None if isinstance(part, Tar) else len(part) for part in parts]
        known = [length for length in lengths if length is not None]
        self.all_images = sum(known) if len(known) == len(parts) else None
        self.before = sum(known) - sum(lengths[number] or 0 for number in missing)
        self.uncounted, self.reported_at = 0, 0.0

    def next_turn(self) -> int:
        """Return a number that no other process gets, from 0 on."""
        return self.counters.add("taken", 1) - 1

    def computed(self) -> None:
        """Count an image."""
        self.uncounted += 1
        if time.monotonic() - self.reported_at > REPORT_SECONDS:
            self.report()

    def wrote(self) -> None:
        """Count a part."""
        self.counters.add("written", 1)

    def wait(self) -> None:
        """Wait until all parts are written, by whichever process."""
        self.report()
        while self.counters.value("written") < self.missing:
            time.sleep(REPORT_SECONDS)
            self.report()

    def report(self) -> None:
        images = self.counters.add("images", self.uncounted)
        self.uncounted, self.reported_at = 0, time.monotonic()
        if self.first:
            parts = self.all_parts - self.missing + self.counters.value("written")
            self.observe(PartsProgress(self.before + images, self.all_images, parts, self.all_parts))


def _count(file: Path) -> tuple[int, int]:
    """Return how many results a part holds, and how many of them are errors. Raises: RunError, if it is damaged."""
    try:
        errors = import_extra("pyarrow.parquet", "datasets").ParquetFile(file).read(["error"])["error"]
    except Exception as error:  # a damaged file raises nearly anything
        raise RunError(f"{file}: not a whole part ({first_line(error)}); delete it and run the command again") from None
    return len(errors), len(errors) - errors.null_count
