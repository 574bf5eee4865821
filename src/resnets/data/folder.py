"""A folder of one's own images: train/CLASS/* and val/CLASS/*, of any size."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from resnets.data.datasets import DataSplits, ImageArrays, ImageFiles, Images
from resnets.data.decoding import SUFFIXES, single_views
from resnets.errors import DataError
from resnets.specs import InputConvention

UNREAD = (".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif", ".jp2", ".jxl")
"""Images that are not read. One of them is an error: leaving it out unsaid would change the data set."""


def load(path: Path) -> DataSplits:
    """Return the image files of a folder; the classes are the sorted names of train's subfolders.

    Images are files ending in .jpg, .jpeg, .png or .webp, in subfolders of a class too; links are followed. Hidden
    files and folders, and files that are no images by their names, are passed over.

    Raises: DataError, if a split is missing, a class has no images, an image is empty, a link broken or an image of
        a kind that is not read, or val has a class that train lacks.
    """
    if not path.is_dir():
        raise DataError(f"folder: no folder {path}")
    train_root, test_root = path / "train", path / "val"
    for root in (train_root, test_root):
        if not root.is_dir():
            raise DataError(f"{path}: no folder {root.name}/; images go to train/CLASS/* and val/CLASS/*")
    try:
        classes = _classes(train_root)
        if not classes:
            raise DataError(f"{train_root}: no classes; each is a subfolder of images, train/CLASS/*")
        strange = sorted(set(_classes(test_root)) - set(classes))
        if strange:
            raise DataError(f"{test_root}: class {strange[0]!r} is not in {train_root}")
        train, test = _files(train_root, classes), _files(test_root, classes)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
    return DataSplits(
        name=path.resolve().name,
        train=train,
        test=test,
        classes=classes,
        digest=f"{train.digest()}:{test.digest()}",
    )


def in_memory(splits: DataSplits, size: int, channels: int = 3) -> DataSplits:
    """Return the same images decoded, their shorter side resized to `size`, the centre cropped, and kept in memory.

    The digest is then of the pixels themselves.

    Raises: DataError, for the first file that cannot be decoded.
    """
    convention = InputConvention(size=size, resize=size, channels=channels)

    def read(files: Images) -> ImageArrays:
        assert isinstance(files, ImageFiles)
        return ImageArrays(single_views(files.paths, convention), files.labels)

    train = read(splits.train)
    test = train if splits.test is splits.train else read(splits.test)
    return dataclasses.replace(
        splits,
        train=train,
        test=test,
        validation=None if splits.validation is None else read(splits.validation),
        digest=f"{train.digest()}:{test.digest()}",
    )


def _classes(root: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def _files(root: Path, classes: tuple[str, ...]) -> ImageFiles:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        here = _images(root / name)
        if not here:
            raise DataError(f"{root / name}: class {name!r} has no images ({', '.join(SUFFIXES)})")
        paths += here
        labels += [label] * len(here)
    return ImageFiles(tuple(paths), np.asarray(labels, np.int64))


def _images(folder: Path) -> list[Path]:
    """Return the image files of one class, sorted; [] if it has no folder. Raises OSError for what cannot be read."""

    def refuse(error: OSError) -> None:  # os.walk would pass over a folder without permission
        raise error

    found: list[Path] = []
    walked: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True) if folder.is_dir() else ():
        real = os.path.realpath(parent)
        if real in walked:  # a link into its own parent would otherwise bring each image forty times
            raise DataError(f"{parent}: a link to {real}, whose images are in this class already")
        walked.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if name.startswith(".") or suffix not in SUFFIXES + UNREAD:
                continue
            if suffix in UNREAD:
                raise DataError(f"{path}: {suffix} images are not read; convert it to one of {', '.join(SUFFIXES)}")
            if path.stat().st_size == 0:
                raise DataError(f"{path}: an empty file, not an image")
            found.append(path)
    return sorted(found)
