"""`--data NAME[:PATH]` -> a data set."""

from __future__ import annotations

import os
from pathlib import Path

from resnets.data import cifar, digits, folder, hugging_face, imagenet, webdataset
from resnets.data.splits import DataSplits
from resnets.errors import UsageError, nearest

NAMES = ("digits", "cifar10", "cifar100", "folder", "imagenet", "webdataset", "hf", "hf-stream")

NEEDS = {
    "folder": "a path: folder:PATH, with PATH/train/CLASS/* and PATH/val/CLASS/*",
    "imagenet": "a path: imagenet:PATH, with PATH/train/WNID/* and PATH/val, or PATH/ILSVRC/Data/CLS-LOC",
    "webdataset": "a name: webdataset:FOLDER, as `resnets data shard` wrote it, or webdataset:TRAIN,VAL, tar files",
    "hf": "a name: hf:REPO[@SPLIT], a data set of the Hugging Face Hub or a folder that `datasets` wrote",
    "hf-stream": "a name: hf-stream:REPO[@SPLIT], a data set of the Hugging Face Hub, read as it is needed",
}


def cache_folder() -> Path:
    """Return where fetched data sets are kept: $RESNETS_CACHE, else ~/.cache/resnets (by $XDG_CACHE_HOME)."""
    if own := os.environ.get("RESNETS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnets"


def load(source: str) -> DataSplits:
    """Return the data set that a source names: `digits`, `cifar10[:PATH]`, `cifar100[:PATH]`, or one of the others.

    Those are `folder:PATH`, `imagenet:PATH`, `webdataset:FOLDER` or `webdataset:TRAIN,VAL`, and `hf:REPO[@SPLIT]`
    or `hf-stream:REPO[@SPLIT]`.

    CIFAR without a path is read from the cache folder, and fetched there when absent.

    Raises: UsageError, if there is no such source; DataError, if the data is missing or damaged.
    """
    name, colon, rest = source.partition(":")
    if name in NAMES and colon and not rest:  # as of an unset variable: fetching the data instead would surprise
        raise UsageError(f"data source {source!r}: there is no path after the colon")
    path = Path(rest).expanduser() if rest else None
    if name == "digits":
        if path is not None:
            raise UsageError(f"data source {source!r}: digits come with scikit-learn and take no path")
        return digits.load()
    if name in ("cifar10", "cifar100"):
        data_set = cifar.CIFAR10 if name == "cifar10" else cifar.CIFAR100
        if path is None:
            path = cache_folder()
            if not cifar.present(data_set, path):
                cifar.download(data_set, path)
        return cifar.load(data_set, path)
    if name in NEEDS:
        if path is None:
            raise UsageError(f"data source {name!r} needs {NEEDS[name]}")
        if name == "webdataset":
            return webdataset.load(rest)
        if name in ("hf", "hf-stream"):
            return hugging_face.load(rest, stream=name == "hf-stream")
        return folder.load(path) if name == "folder" else imagenet.load(path)
    hint = f" (did you mean folder:{source}?)" if Path(source).is_dir() else nearest(name, NAMES)
    raise UsageError(f"unknown data source {source!r}{hint}; known: {', '.join(NAMES)}, as NAME[:PATH]")
