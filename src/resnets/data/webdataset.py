"""Shards as a data set: by the manifest that `resnets data shard` wrote next to them, or by their own headers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np

from resnets.data.image_files import ImageFiles
from resnets.data.passed_over import PassedOver
from resnets.data.shards import Members, Shard, is_remote, open_url
from resnets.data.splits import DataSplits
from resnets.data.streams import ImageStream
from resnets.data.tar_index import samples_in
from resnets.errors import DataError, UsageError, import_extra

FORMAT = "resnets-shards-1"
MANIFEST = "manifest.json"


def load(rest: str) -> DataSplits:
    """Return the images of shards: `FOLDER` or `URL/manifest.json` as `resnets data shard` wrote, or `TRAIN,VAL`.

    TRAIN and VAL are names of tar files, with brace patterns such as train-{000000..000146}.tar, gzipped or not. Of
    those each image has a label in a .cls or .json file next to it. Without a manifest all headers are read first.

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
    passed: list[PassedOver] = []
    patterns = {"train": train, "val": others[0]}
    files = {name: _files(Members(indexed(pattern, passed))) for name, pattern in patterns.items()}
    count = 1 + max(int(part.labels.max(initial=-1)) for part in files.values())
    return DataSplits(
        name=re.split(r"[-.]", Path(urlparse(train).path).name)[0] or "shards",
        train=files["train"],
        test=files["val"],
        classes=tuple(map(str, range(count))),
        digest=f"{files['train'].digest()}:{files['val'].digest()}",
        passed_over=tuple(passed),
    )


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
    """Return the data set of a manifest; its shards are next to it, with the sizes that it has.

    Raises: DataError, if one is missing or of another size.
    """
    manifest = read_manifest(where)
    folder = where.rpartition("/")[0] if is_remote(where) else str(Path(where).parent)
    try:
        splits = {
            split: _files(Members([_shard(folder, entry) for entry in about["shards"]]), about["digest"])
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


def _shard(folder: str, entry: dict[str, Any]) -> Shard:
    if not re.fullmatch(r"[\w.-]+", entry["file"]):  # a manifest names files next to it, and runs no commands
        raise DataError(f"{folder}: the manifest names {entry['file']!r}, which is not a file next to it")
    url = f"{folder}/{entry['file']}"
    if not is_remote(url):
        size = os.stat(url).st_size if os.path.exists(url) else None
        if size != entry["bytes"]:
            found = "is missing" if size is None else f"has {size:,} bytes instead of {entry['bytes']:,}"
            raise DataError(f"{url}: {found}; fetch or write it again")
    names = ("samples", "labels", "offsets", "sizes", "crcs")
    samples, labels, offsets, sizes, crcs = (np.asarray(entry[name], np.int64) for name in names)
    return Shard(url, samples, labels, offsets, sizes, crcs)


# ---------------------------------------------------------------- by their headers


def indexed(pattern: str, passed: list[PassedOver]) -> list[Shard]:
    """Return the shards of a pattern, their headers read; members that are passed over are added to `passed`.

    Raises: DataError, if one is no tar file of images.
    """
    urls = list(import_extra("webdataset.shardlists", "shards").expand_urls(pattern)) if "{" in pattern else [pattern]
    shards, before = [], 0
    for url in urls:
        with open_url(url) as file:
            found = list(samples_in(file, url, passed))
        if not found:
            raise DataError(f"{url}: no images with labels; each has its class in a .cls or .json file next to it")
        labels, offsets, sizes = np.asarray(found, np.int64).T
        shards.append(Shard(url, np.arange(before, before + len(found)), labels, offsets, sizes, None))
        before += len(found)
    return shards
