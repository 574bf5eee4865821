"""A folder of images: train/CLASS/* and val/CLASS/*, of any size."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from resnets.data.class_names import look_alike
from resnets.data.decoding import SUFFIXES
from resnets.data.image_files import ImageFiles
from resnets.data.passed_over import PassedOver, in_words
from resnets.data.splits import DataSplits
from resnets.errors import DataError

UNREAD = (".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif", ".jp2", ".jxl")
"""Photos that are not read. One of them is an error: a data set without them is another one."""

SYSTEM = ("@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found")
"""Folders, in lower case, in which a NAS or a system keeps thumbnails, deleted files and the like."""

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
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()

    def splits(self) -> DataSplits:
        """Return it as a data set."""
        return DataSplits(
            name=self.name,
            train=self.train,
            test=self.test,
            classes=self.classes,
            digest=f"{self.train.digest()}:{self.test.digest()}",
            passed_over=self.passed_over,
        )


def load(path: Path) -> DataSplits:
    """Return the image files of a folder; the classes are the sorted names of train's subfolders.

    Images are files with the suffixes of JPEG, PNG and WebP, in subfolders of a class too; links are followed. Passed
    over, and counted, are hidden and system folders, hidden files, files with other suffixes, and what is in no folder
    of a class.

    Raises: DataError, if a split is missing, a class has no images, an image is empty, a link broken or a photo of a
        kind that is not read, or val has a class that train lacks.
    """
    return list_files(path, refuse).splits()


def list_files(path: Path, complain: Complain) -> Listing:
    """Return what `load` does; what it would refuse is complained of, and left out.

    Raises: DataError, if a split is missing or nothing can be listed.
    """
    train_root, test_root = roots(path, "folder")
    passed: list[PassedOver] = []
    try:
        classes = class_folders(train_root, passed)
        if not classes:
            raise DataError(f"{train_root}: no classes; each is a subfolder of images, train/CLASS/*")
        for unknown in sorted(set(class_folders(test_root, passed)) - set(classes)):
            complain(f"{test_root}: class {unknown!r} is not in {train_root}{look_alike(unknown, classes)}")
        train, test = (files_of(root, classes, complain, passed) for root in (train_root, test_root))
    except OSError as error:
        raise DataError(f"{error.filename}: failed to read ({error.strerror})") from None
    return Listing(path.resolve().name, classes, train, test, tuple(passed))


def roots(path: Path, source: str) -> tuple[Path, Path]:
    """Return the folders train and val of a data set. Raises: DataError, if one is missing."""
    if not path.is_dir():
        raise DataError(f"{source}: no folder {path}")
    for name in ("train", "val"):
        if not (path / name).is_dir():
            raise DataError(f"{path}: no folder {name}/; images go to train/CLASS/* and val/CLASS/*")
    return path / "train", path / "val"


def class_folders(root: Path, passed: list[PassedOver]) -> tuple[str, ...]:
    """Return the sorted names of the classes' folders; where there are any, what else is there is passed over."""
    folders, others = [], []
    for entry in sorted(root.iterdir()):
        kind = _not_a_class(entry)
        if kind is None:
            folders.append(entry.name)
        else:
            others.append(PassedOver(kind, str(entry)))
    if folders:
        passed += others
    return tuple(folders)


def _not_a_class(entry: Path) -> str | None:
    if entry.is_dir():
        return HIDDEN_FOLDERS if _is_hidden(entry.name) else None
    return _not_an_image(entry.name) or "images in no folder of a class"


def files_of(root: Path, classes: tuple[str, ...], complain: Complain, passed: list[PassedOver]) -> ImageFiles:
    """Return the images of a split, class by class. Raises: OSError, for what cannot be read."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        before = len(passed)
        here = images_in(root / name, complain, passed)
        if not here:
            others = f"; passed over: {in_words(passed[before:])}" if passed[before:] else ""
            complain(f"{root / name}: class {name!r} has no images ({', '.join(SUFFIXES)}){others}")
        paths += here
        labels += [label] * len(here)
    return ImageFiles(tuple(paths), np.asarray(labels, np.int64))


def images_in(folder: Path, complain: Complain, passed: list[PassedOver]) -> list[Path]:
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
        passed += [PassedOver(HIDDEN_FOLDERS, str(Path(parent, name))) for name in sorted(folders) if _is_hidden(name)]
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(files):
            path = Path(parent, name)
            if (kind := _not_an_image(name)) is not None:
                passed.append(PassedOver(kind, str(path)))
                continue
            try:
                if (suffix := path.suffix.lower()) in UNREAD:
                    complain(f"{path}: {suffix} images are not read; convert it to one of {', '.join(SUFFIXES)}")
                elif path.stat().st_size == 0:
                    complain(f"{path}: an empty file, not an image")
                else:
                    found.append(path)
            except OSError as error:
                complain(f"{path}: failed to read ({error.strerror})")
    return sorted(found)


HIDDEN_FOLDERS = "hidden and system folders"


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in SYSTEM


def _not_an_image(name: str) -> str | None:
    """Return why a file is passed over by its name, None for an image."""
    suffix = Path(name).suffix.lower()
    if name.startswith("."):
        return "hidden files"
    if suffix in SUFFIXES + UNREAD:
        return None
    return f"{suffix} files" if suffix else "files without a suffix"
