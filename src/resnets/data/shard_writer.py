"""Writing of tar shards with a manifest, by one call or by several at once; what was interrupted is resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data import sources
from resnets.data.folder import require_outside
from resnets.data.formats import FORMATS, SUFFIXES, recognised
from resnets.data.image_files import ImageFiles
from resnets.data.randomness import epoch_order
from resnets.data.splits import DataSplits, Split
from resnets.data.stored_file import content_of, size_of
from resnets.data.webdataset import MANIFEST, PLAN, read_manifest
from resnets.errors import DataError, RunError, UsageError, public, warn
from resnets.files import make_folder, reading, require_folder, sync_folder, write_durably, writing
from resnets.records.base import encode, read_valid
from resnets.records.shards import ShardEntry, ShardIndex, ShardManifest, ShardPlan, SplitEntry, SplitName
from resnets.runtime.locks import Held, Lock
from resnets.runtime.processes import WHOLE, Share

FORMAT = "resnets-shards-1"  # of the tar files: shards of another one are others
LOCK = ".lock"  # is held for the moments in which it is decided what is missing
BLOCK = 512  # bytes of tar
ENTRY = 3 * BLOCK  # bytes of a sample besides its image: two headers and its class

Progress = Callable[[int, int], None]
"""Is called with the number of finished images and their total."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, and how much of it had been there already.

    `train` and `val` are the images of the whole data set; `shards`, `kept` and `bytes` are of the part. `missing` are
    the parts, of as many, that are not whole yet; without any the manifest is written.
    """

    folder: Path
    train: int  # images
    val: int
    classes: int
    shards: int
    kept: int  # shards of an earlier, interrupted call
    bytes: int
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class _Planned:
    split: SplitName
    name: str
    samples: NDArray[np.int64]


@public
def shard_data(
    source: str,
    folder: str | Path,
    *,
    size: int = 1_000,
    part: str = "1/1",
    progress: Progress = lambda done, total: None,
) -> Written:
    """Write the image files of a source as tar shards of about `size` megabytes with a manifest; restartable.

    `webdataset:FOLDER` is then the same data set, with the same order and digest.

    Args:
        source: a data source of image files.
        folder: of the shards; one that holds a part of them already is continued.
        size: megabytes of a shard, approximately.
        part: I/N: every Nth shard from the Ith on, of N calls that may run at the same time; the last one to end writes
            the manifest.
        progress: is called with the images that are done and their number.

    Raises: UsageError; DataError, if an image cannot be read or the folder holds other shards; RunError.
    """
    if size < 1:
        raise UsageError(f"size is {size} MB; it must be 1 or more")
    share = _share(part)
    require_folder(folder)
    splits = sources.load(source)
    require_outside(Path(folder), source)
    for remark in splits.remarks():
        if remark != splits.roles:
            warn(remark)
    return write(splits, Path(folder), size=size * 10**6, share=share, progress=progress)


def _share(part: str) -> Share:
    """Return the share that `I/N` names. Raises: UsageError."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", part)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"part is {part!r}; it must be I/N with I from 1 to N, such as 3/8")
    return Share(number - 1, count)


def write(
    splits: DataSplits,
    folder: Path,
    *,
    size: int,
    share: Share = WHOLE,
    progress: Progress = lambda done, total: None,
) -> Written:
    """Write a share of the shards of about `size` bytes, each with its index next to it; the last call the manifest.

    The files are copied as they are. Training images are in a fixed random order, so that a shard has all classes from
    its start. The digest is the source's: a run can resume from shards of the same images. Which images a shard has
    does not depend on the share.

    Raises: DataError, if an image cannot be read or the folder holds other shards; RunError, if it cannot be written.
    """
    images: dict[SplitName, ImageFiles] = {"train": _files(splits, splits.train), "val": _files(splits, splits.test)}
    if splits.validation is not None:
        images["validation"] = _files(splits, splits.validation)
    planned = [shard for name, files in images.items() for shard in _planned(name, files, size)]
    plan = hashlib.sha256(json.dumps([FORMAT, splits.digest, size, splits.classes]).encode()).hexdigest()
    own = planned[share.rank :: share.size]
    with writing(folder):
        make_folder(folder)
        with Lock(folder / LOCK, wait=True):
            earlier = _earlier(folder, plan)
            if not (folder / MANIFEST).exists():
                write_durably(folder / PLAN, encode(ShardPlan(plan=plan, shards=len(planned))))
    total, done = sum(len(shard.samples) for shard in own), 0
    for shard in own:
        if shard.name not in earlier:
            with _alone(folder, shard.name), writing(folder):
                index = ShardIndex(plan=plan, shard=_write_shard(folder, shard, images[shard.split]))
                write_durably(_index(folder, shard.name), encode(index))
        done += len(shard.samples)
        progress(done, total)
    with writing(folder), Lock(folder / LOCK, wait=True):
        known = _earlier(folder, plan)
        missing = {place % share.size + 1 for place, shard in enumerate(planned) if shard.name not in known}
        if not missing:
            _finish(folder, plan, splits, images, [(shard.split, known[shard.name]) for shard in planned])
    return Written(
        folder=folder,
        train=len(images["train"]),
        val=len(images["val"]),
        classes=len(splits.classes),
        shards=len(own),
        kept=sum(shard.name in earlier for shard in own),
        bytes=sum(known[shard.name].bytes for shard in own if shard.name in known),
        missing=tuple(sorted(missing)),
    )


def _finish(
    folder: Path,
    plan: str,
    splits: DataSplits,
    images: dict[SplitName, ImageFiles],
    shards: list[tuple[SplitName, ShardEntry]],
) -> None:
    """Write the manifest of all shards, each with its split, and remove what was there in its place."""
    manifest = ShardManifest(
        plan=plan,
        name=splits.name,
        classes=tuple(splits.classes),
        validation_share=splits.validation_share,
        roles=splits.roles,
        published=splits.published,
        splits={
            name: SplitEntry(
                digest=files.digest(),
                samples=len(files),
                shards=tuple(entry for split, entry in shards if split == name),
            )
            for name, files in images.items()
        },
    )
    write_durably(folder / MANIFEST, encode(manifest))
    (folder / PLAN).unlink(missing_ok=True)
    for _, entry in shards:
        _index(folder, entry.file).unlink(missing_ok=True)
        _lock(folder, entry.file).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Hold a shard. Raises: RunError, if another process does."""
    try:
        with Lock(_lock(folder, name)):
            yield
    except Held:
        raise RunError(f"{folder / name}: another process is writing this shard; wait for it") from None


def _files(splits: DataSplits, split: Split) -> ImageFiles:
    if not isinstance(split, ImageFiles):
        raise UsageError(f"shards are for image files, such as folder:PATH; {splits.name} is kept in memory")
    return split


def _planned(split: SplitName, files: ImageFiles, size: int) -> Iterator[_Planned]:
    """Yield the shards of a split: as many images in a row as fill one."""
    order = epoch_order(0, 0, len(files)) if split == "train" else np.arange(len(files))
    sizes = np.asarray([size_of(path) for path in files.paths], np.int64)
    taken = ENTRY + (sizes[order] + BLOCK - 1) // BLOCK * BLOCK
    number = np.cumsum(taken) // max(size, 1)
    _, starts = np.unique(number, return_index=True)
    for index, samples in enumerate(np.split(order, starts[1:])):
        yield _Planned(split, f"{split}-{index:06}.tar", samples)


def _index(folder: Path, name: str) -> Path:
    return folder / f".{name}.json"


def _lock(folder: Path, name: str) -> Path:
    return folder / f".{name}.lock"


def _earlier(folder: Path, plan: str) -> dict[str, ShardEntry]:
    """Return what is known of the shards that are whole, by their name.

    Raises: DataError, if the folder holds shards of something else.
    """
    found: list[ShardIndex] = []
    if (folder / MANIFEST).exists():
        manifest = read_manifest(str(folder / MANIFEST))
        shards = (shard for split in manifest.splits.values() for shard in split.shards)
        found = [ShardIndex(plan=manifest.plan, shard=shard) for shard in shards]
    indices = (read_valid(path, ShardIndex) for path in folder.glob(".*.tar.json"))
    found += [index for index in indices if index is not None]
    started = read_valid(folder / PLAN, ShardPlan)
    plans = {index.plan for index in found} | ({started.plan} if started else set())
    if plans - {plan}:
        raise DataError(f"{folder} holds shards of other images, or of another size; name another folder as DEST")
    whole = {}
    for index in found:
        path = folder / index.shard.file
        if path.is_file() and path.stat().st_size == index.shard.bytes:
            whole[index.shard.file] = index.shard
    return whole


def _write_shard(folder: Path, shard: _Planned, files: ImageFiles) -> ShardEntry:
    """Write a tar file, whole or not at all, and return what the manifest says of it."""
    path, temporary = folder / shard.name, folder / f".{shard.name}.partial"
    offsets, sizes, crcs, labels = [], [], [], []
    try:
        with open(temporary, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for sample in shard.samples.tolist():
                    name, content = files.paths[sample].name, _read(files, sample)
                    label = int(files.labels[sample])
                    key = f"{sample:08}-{re.sub(r'[^A-Za-z0-9_-]', '_', Path(name).stem)[:60]}"
                    offsets.append(file.tell() + BLOCK)
                    sizes.append(len(content))
                    crcs.append(zlib.crc32(content))
                    labels.append(label)
                    for suffix, part in (_suffix(name, content), content), ("cls", str(label).encode()):
                        entry = tarfile.TarInfo(f"{key}.{suffix}")  # no owner and no time: the same images, same bytes
                        entry.size = len(part)
                        tar.addfile(entry, BytesIO(part))
            file.flush()
            os.fsync(file.fileno())
        with open(temporary, "rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = temporary.stat().st_size
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    return ShardEntry(
        file=shard.name,
        bytes=size,
        sha256=digest,
        samples=tuple(shard.samples.tolist()),
        labels=tuple(labels),
        offsets=tuple(offsets),
        sizes=tuple(sizes),
        crcs=tuple(crcs),
    )


def _read(files: ImageFiles, sample: int) -> bytes:
    with reading(files.paths[sample], DataError):
        return content_of(files.paths[sample])


def _suffix(name: str, content: bytes) -> str:
    """Return the suffix of an image in a shard; that of a JPEG is one that other readers of shards know."""
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES:
        return "jpg" if suffix in FORMATS[0].suffixes and suffix != ".jpeg" else suffix[1:]
    found = recognised(content)
    return "jpg" if found is None else found.suffixes[0][1:]
