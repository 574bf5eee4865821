"""Shards as a data set: by the manifest that `resnets data shard` wrote next to them, or by their own headers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np

from resnets.data import tar_index
from resnets.data.class_names import numbered_classes
from resnets.data.image_files import ImageFiles
from resnets.data.passed_over import PassedOver
from resnets.data.shards import Members, Shard, is_remote, open_url
from resnets.data.splits import DataSplits
from resnets.data.stored_file import MOST_BYTES, InMemoryFile
from resnets.data.streams import ImageStream
from resnets.errors import DataError, RecordError, UsageError, import_extra
from resnets.files import read_bytes, reading
from resnets.records.base import decode, read_valid
from resnets.records.shards import ShardEntry, ShardManifest, ShardPlan

MANIFEST = "manifest.json"
PLAN = ".plan.json"  # is there until the manifest is
MANIFEST_BYTES = 1_000_000_000  # that are read; ImageNet's has 50 million


def load(rest: str) -> DataSplits:
    """Return the images of shards: `FOLDER` or `URL/manifest.json` as `resnets data shard` wrote, or `TRAIN,VAL`.

    TRAIN and VAL are names of tar files, with brace patterns such as train-{000000..000146}.tar, gzipped or not. Of
    those each image has a label in a .cls or .json file next to it. Without a manifest all headers are read first.

    Raises: DataError, if there are none, or they are damaged; UsageError.
    """
    train, *others = _patterns(rest)
    if not others:
        return from_manifest(_manifest(train, "TRAIN,VAL: tar files to train and to test on"))
    if len(others) > 1:
        raise UsageError(f"webdataset takes one or two names, not {len(others) + 1}: {rest}")
    passed: list[PassedOver] = []
    patterns = {"train": train, "val": others[0]}
    files = {name: _files(Members(indexed(pattern, passed))) for name, pattern in patterns.items()}
    return DataSplits(
        name=re.split(r"[-.]", Path(urlparse(train).path).name)[0] or "shards",
        train=files["train"],
        test=files["val"],
        classes=numbered_classes(part.labels for part in files.values()),
        digest=f"{files['train'].digest()}:{files['val'].digest()}",
        passed_over=tuple(passed),
    )


def _manifest(name: str, otherwise: str) -> str:
    """Return where the manifest of shards is. Raises: DataError, if there is none here."""
    where = name if name.endswith(".json") else f"{name.rstrip('/')}/{MANIFEST}"
    if not is_remote(name) and not Path(where).is_file():
        if (plan := read_valid(Path(where).parent / PLAN, ShardPlan)) is not None:
            there = len(list(Path(where).parent.glob(".*.tar.json")))
            raise DataError(
                f"webdataset: no {where}: {there} of {plan.shards} shards are written; run `resnets data shard` again, "
                f"whole or the parts that are missing"
            )
        raise DataError(f"webdataset: no {where}; name a folder that `resnets data shard` wrote, or {otherwise}")
    return where


def shard_urls(rest: str) -> list[str]:
    """Return the tar files of all splits by `FOLDER` or `URL/manifest.json`, or by any number of patterns of tar files.

    Raises: DataError, if there is no manifest, or shards of it are missing or of another size; UsageError.
    """
    urls: list[str] = []
    for name in _patterns(rest):
        if name.startswith("pipe:") or urlparse(name).path.endswith((".tar", ".tar.gz", ".tgz")):
            urls += _expanded(name)
        else:
            urls += manifest_urls(_manifest(name, "tar files"))
    return urls


def images_in(url: str) -> Iterator[InMemoryFile]:
    """Yield each image of a shard, labelled or not, as it is read. Raises: DataError, where it is damaged."""
    with open_url(url) as file:
        yield from tar_index.images_in(file, url)


def _expanded(pattern: str) -> list[str]:
    return list(import_extra("webdataset.shardlists", "shards").expand_urls(pattern)) if "{" in pattern else [pattern]


def _files(members: Members, digest: str | None = None) -> ImageFiles:
    labels = np.empty(len(members), np.int64)
    for shard in members.shards:
        labels[shard.samples] = shard.labels
    return (ImageStream if members.remote else ImageFiles)(members, labels, digest)


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
    return [os.path.expanduser(part) for part in parts]


# ---------------------------------------------------------------- by a manifest


def read_manifest(where: str) -> ShardManifest:
    """Return what a manifest says. Raises: DataError, if it cannot be read or is none."""
    with reading(where, DataError):
        if is_remote(where):
            with open_url(where) as file:
                content = file.read()
        else:
            content = read_bytes(Path(where), MANIFEST_BYTES)
    try:
        return decode(content, ShardManifest, "not a manifest of shards")
    except RecordError as error:
        raise DataError(f"{where}: {error}") from None


def from_manifest(where: str) -> DataSplits:
    """Return the data set of a manifest; its shards are next to it, with the sizes that it has.

    Raises: DataError, if one is missing or of another size.
    """
    manifest = read_manifest(where)
    if missing := {"train", "val"} - {*manifest.splits}:
        raise DataError(f"{where}: not a whole manifest: there is no split {missing.pop()}")
    splits = {
        name: _files(Members([_shard(_folder(where), entry) for entry in about.shards]), about.digest)
        for name, about in manifest.splits.items()
    }
    digest = ":".join(str(splits[name].digest()) for name in ("train", "val", "validation") if name in splits)
    undivided = manifest.validation_share is not None and is_remote(where)  # a stream cannot be divided
    return DataSplits(
        name=manifest.name,
        train=splits["train"],
        test=splits["val"],
        validation=splits.get("validation"),
        classes=manifest.classes,
        digest=f"{digest}:undivided" if undivided else digest,
        validation_share=None if undivided else manifest.validation_share,
        published=manifest.published,
        roles=f"{manifest.name}: read as a stream, without images to validate on" if undivided else manifest.roles,
    )


def manifest_urls(where: str) -> list[str]:
    """Return the shards of all splits of a manifest. Raises: DataError, as `from_manifest`."""
    splits = read_manifest(where).splits.values()
    return [_shard(_folder(where), entry).url for about in splits for entry in about.shards]


def _folder(where: str) -> str:
    return where.rpartition("/")[0] if is_remote(where) else str(Path(where).parent)


def _shard(folder: str, entry: ShardEntry) -> Shard:
    if not re.fullmatch(r"[\w.-]+", entry.file):  # a manifest names files next to it, and runs no commands
        raise DataError(f"{folder}: the manifest names {entry.file[:100]!r}, which is not a file next to it")
    url = f"{folder}/{entry.file}"
    if not is_remote(url):
        size = os.stat(url).st_size if os.path.isfile(url) else None
        if size != entry.bytes:
            found = "is missing" if size is None else f"has {size:,} bytes instead of {entry.bytes:,}"
            raise DataError(f"{url}: {found}; fetch or write it again")
    names = ("samples", "labels", "offsets", "sizes", "crcs")
    arrays = [np.asarray(getattr(entry, name), np.int64) for name in names]
    samples, labels, offsets, sizes, crcs = arrays
    for name, array in zip(names, arrays, strict=True):
        if len(array) != len(samples):
            raise DataError(f"{url}: the manifest has {len(array):,} {name} for {len(samples):,} samples")
    if np.any(offsets[1:] < (offsets + sizes)[:-1]) or np.any(offsets + sizes > entry.bytes):
        raise DataError(f"{url}: the manifest has images that overlap, or that are beyond the end of the file")
    if np.any(sizes > MOST_BYTES):
        raise DataError(f"{url}: the manifest has an image of {sizes.max():,} bytes; at most {MOST_BYTES:,} are read")
    return Shard(url, samples, labels, offsets, sizes, crcs)


# ---------------------------------------------------------------- by their headers


def indexed(pattern: str, passed: list[PassedOver]) -> list[Shard]:
    """Return the shards of a pattern, their headers read; members that are passed over are added to `passed`.

    Raises: DataError, if one is no tar file of images.
    """
    shards, before = [], 0
    for url in _expanded(pattern):
        with open_url(url) as file:
            found = list(tar_index.samples_in(file, url, passed))
        if not found:
            raise DataError(f"{url}: no images with labels; each has its class in a .cls or .json file next to it")
        labels, offsets, sizes = np.asarray(found, np.int64).T
        shards.append(Shard(url, np.arange(before, before + len(found)), labels, offsets, sizes, None))
        before += len(found)
    return shards
