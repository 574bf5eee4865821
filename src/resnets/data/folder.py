"""A folder of images: train/CLASS/* and val/CLASS/*, of any size."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from resnets.data.decoding import SUFFIXES
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.errors import DataError

UNREAD = (".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif", ".jp2", ".jxl")
"""Images that are not read. One of them is an error: leaving it out unsaid would change the data set."""


Complain = Callable[[str], None]
"""Is called with each problem: to refuse it at once, or to make a list."""


def refuse(message: str) -> NoReturn:
    """Raise DataError."""
    raise DataError(message)


@dataclass(frozen=True, eq=False)
class Listing:
    """The image files of a data set in folders; a split may be empty where complaints only make a list."""

    name: str
    classes: tuple[str, ...]
    train: ImageFiles
    test: ImageFiles

    def splits(self) -> DataSplits:
        """Return it as a data set."""
        return DataSplits(
            name=self.name,
            train=self.train,
            test=self.test,
            classes=self.classes,
            digest=f"{self.train.digest()}:{self.test.digest()}",
        )


def load(path: Path) -> DataSplits:
    """Return the image files of a folder; the classes are the sorted names of train's subfolders.

    Images are files ending in .jpg, .jpeg, .png or .webp, in subfolders of a class too; links are followed. Hidden
    files and folders, and files that are no images by their names, are passed over.

    Raises: DataError, if a split is missing, a class has no images, an image is empty, a link broken or an image of
        a kind that is not read, or val has a class that train lacks.
    """
    return list_files(path, refuse).splits()


def list_files(path: Path, complain: Complain) -> Listing:
    """Return what `load` does; what it would refuse is complained of, and left out.

    Raises: DataError, if a split is missing or nothing can be listed.
    """
    train_root, test_root = roots(path, "folder")
    try:
        classes = class_folders(train_root)
        if not classes:
            raise DataError(f"{train_root}: no classes; each is a subfolder of images, train/CLASS/*")
        for unknown in sorted(set(class_folders(test_root)) - set(classes)):
            complain(f"{test_root}: class {unknown!r} is not in {train_root}")
        train, test = files_of(train_root, classes, complain), files_of(test_root, classes, complain)
    except OSError as error:
        raise DataError(f"{error.filename}: failed to read ({error.strerror})") from None
    return Listing(path.resolve().name, classes, train, test)


def roots(path: Path, source: str) -> tuple[Path, Path]:
    """Return the folders train and val of a data set. Raises: DataError, if one is missing."""
    if not path.is_dir():
        raise DataError(f"{source}: no folder {path}")
    for name in ("train", "val"):
        if not (path / name).is_dir():
            raise DataError(f"{path}: no folder {name}/; images go to train/CLASS/* and val/CLASS/*")
    return path / "train", path / "val"


def class_folders(root: Path) -> tuple[str, ...]:
    """Return the sorted names of the subfolders that are not hidden."""
    return tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def files_of(root: Path, classes: tuple[str, ...], complain: Complain) -> ImageFiles:
    """Return the images of a split, class by class. Raises: OSError, for what cannot be read."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        here = images_in(root / name, complain)
        if not here:
            complain(f"{root / name}: class {name!r} has no images ({', '.join(SUFFIXES)})")
        paths += here
        labels += [label] * len(here)
    return ImageFiles(tuple(paths), np.asarray(labels, np.int64))


def images_in(folder: Path, complain: Complain) -> list[Path]:
    """Return the image files of one class, sorted; [] if it has no folder. Raises OSError for what cannot be read."""

    def unreadable(error: OSError) -> None:  # os.walk would pass over a folder without permission
        raise error

    found: list[Path] = []
    walked: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True) if folder.is_dir() else ():
        real = os.path.realpath(parent)
        if real in walked:  # a link into its own parent would otherwise bring each image forty times
            complain(f"{parent}: a link to {real}, whose images are in this class already")
            folders.clear()
            continue
        walked.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if name.startswith(".") or suffix not in SUFFIXES + UNREAD:
                continue
            try:
                if suffix in UNREAD:
                    complain(f"{path}: {suffix} images are not read; convert it to one of {', '.join(SUFFIXES)}")
                elif path.stat().st_size == 0:
                    complain(f"{path}: an empty file, not an image")
                else:
                    found.append(path)
            except OSError as error:
                complain(f"{path}: failed to read ({error.strerror})")
    return sorted(found)
