"""Data sources by name: `--data NAME[:PATH]` -> a data set.

This table imports no torch; what reads a data set is imported when it is read.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.errors import DataError, UsageError, calling_module, nearest, public
from resnets.files import expanded
from resnets.registry import Registry, function_of

if TYPE_CHECKING:
    from resnets.data.splits import DataSplits


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where data sets come from.

    `form` is how it is written, `NAME`, `NAME:PATH` or `NAME[:PATH]`. `load` is given what is after the colon, as a
    path where the form has PATH, and no argument where nothing is. `needs` is what an error says if something has to be
    there and is not.
    """

    name: str
    form: str
    summary: str
    load: str | Callable[..., Any]
    needs: str = ""


def _hugging_face(name: str, load: str, how: str) -> Source:
    return Source(
        name=name,
        form=f"{name}:REPO[@SPLIT][#LABELS]",
        summary=f"An image data set of the Hugging Face Hub, {how}",
        load=f"resnets.data.hugging_face:{load}",
        needs=f"a name: {name}:REPO[@SPLIT][#LABELS], a data set of the Hugging Face Hub"
        + (" or a folder that `datasets` wrote" if name == "hf" else ", read as it is needed"),
    )


SOURCES: Registry[Source] = Registry(
    "data source",
    Source(
        name="digits",
        form="digits",
        summary="scikit-learn's 1,797 handwritten digits of 8 x 8 pixels",
        load="resnets.data.digits:load",
    ),
    Source(
        name="cifar10",
        form="cifar10[:PATH]",
        summary="CIFAR-10, read from the folder, or fetched (section 4.2)",
        load="resnets.data.cifar:load_cifar10",
    ),
    Source(
        name="cifar100",
        form="cifar100[:PATH]",
        summary="CIFAR-100, read from the folder, or fetched",
        load="resnets.data.cifar:load_cifar100",
    ),
    Source(
        name="folder",
        form="folder:PATH",
        summary="Your own images, a folder for each class",
        load="resnets.data.folder:load",
        needs="a path: folder:PATH, with PATH/train/CLASS/* and PATH/val/CLASS/*, or PATH/CLASS/*",
    ),
    Source(
        name="imagenet",
        form="imagenet:PATH",
        summary="ImageNet's 1,000 classes (section 4.1)",
        load="resnets.data.imagenet:load",
        needs="a path: imagenet:PATH, with PATH/train/WNID/* and PATH/val, or PATH/ILSVRC/Data/CLS-LOC",
    ),
    Source(
        name="webdataset",
        form="webdataset:FOLDER, webdataset:TRAIN,VAL",
        summary="Tar shards, here or streamed",
        load="resnets.data.webdataset:load",
        needs="a name: webdataset:FOLDER, as `resnets data shard` wrote it, or webdataset:TRAIN,VAL, tar files",
    ),
    _hugging_face("hf", "load", "copied here first"),
    _hugging_face("hf-stream", "load_stream", "read as it is needed"),
)


def load(source: str) -> DataSplits:
    """Return the data set that a source names, such as `digits`, `cifar10[:PATH]` or `folder:PATH` (see `SOURCES`).

    CIFAR without a path is read from the cache folder, and fetched there when absent.

    Raises: UsageError, if there is no such source; DataError, if the data is missing or damaged.
    """
    name, colon, rest = source.partition(":")
    if name not in SOURCES:
        hint = f" (did you mean folder:{source}?)" if Path(source).is_dir() else nearest(name, SOURCES.names())
        raise UsageError(f"unknown data source {source!r}{hint}; known: {', '.join(SOURCES.names())}, as NAME[:PATH]")
    found = SOURCES.find(name)
    if colon and not rest:  # as of an unset variable: fetching the data instead would surprise
        raise UsageError(f"data source {source!r}: there is no path after the colon")
    if rest and ":" not in found.form:
        raise UsageError(f"data source {source!r}: {name} takes no path")
    if not rest and found.needs:
        raise UsageError(f"data source {name!r} needs {found.needs}")
    if "PATH" in found.form and "://" in rest:
        raise UsageError(
            f"data source {source!r}: {name} trains and tests on files of this machine; write shards of them "
            f"(`resnets data shard`) and name those, webdataset:URL, or copy them here"
        )
    read = function_of(found.load)
    where = expanded(rest) if "PATH" in found.form else rest
    splits: DataSplits = read(where) if rest else read()
    if not hasattr(splits, "train"):
        raise UsageError(
            f"the function of data source {name} returned a {type(splits).__name__}, not resnets.DataSplits; "
            f"resnets.load_data makes one of a pair of datasets"
        )
    return splits


def find_with_sets(source: str, known: Registry[Source]) -> tuple[Source, Path, str | None]:
    """Return the entry of a source NAME:PATH[@SETS], the path, and SETS, or None where there are none.

    Raises: UsageError, if there is no such entry, or the source is incomplete; DataError, if there is no such folder.
    """
    name, colon, rest = source.partition(":")
    if name not in known:
        hint = nearest(name, known.names()) if colon else ""
        raise UsageError(f"unknown {known.kind} {source!r}{hint}; known: {known.forms()}")
    path, at, sets = rest, "", ""
    if not expanded(rest).exists():  # a path may have an @ of its own
        before, at, sets = rest.rpartition("@")
        path = before if at else rest
    if not path or (at and not sets):
        raise UsageError(f"{known.kind} {source!r} needs {known.find(name).needs}")
    folder = expanded(path)
    if not folder.is_dir():
        raise DataError(f"{name}: no folder {folder}")
    return known.find(name), folder, sets or None


@public
def list_data() -> list[Source]:
    """Return all data sources."""
    return list(SOURCES)


@public
def register_data(name: str, load: Callable[..., DataSplits], *, summary: str = "") -> None:
    """Register a data source: `--data NAME`, or `NAME:...` where `load` has an argument, is then known everywhere.

    `load` returns `resnets.DataSplits`. Its argument, if it has one, is the text after the colon, a `Path` if it is
    called `path`; with a default value it may be left out.

    Raises: UsageError, if the name is taken or is not a name.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise UsageError(f"data source {name!r}: a name is of letters, digits, '_', '-' and '.', from a letter on")
    first = next(iter(inspect.signature(load).parameters.values()), None)
    form = name if first is None else f"{name}:{first.name.upper()}"
    if first is not None and first.default is not inspect.Parameter.empty:
        form = f"{name}[:{first.name.upper()}]"
    source = Source(
        name=name,
        form=form,
        summary=summary or (inspect.getdoc(load) or "").partition("\n")[0],
        load=load,
        needs=f"a name: {form}" if form.startswith(f"{name}:") else "",
    )
    SOURCES.add(source, calling_module())
