"""A folder of one's own images: train/CLASS/* and val/CLASS/*, of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnets.data.datasets import DataSplits, ImageArrays, ImageFiles
from resnets.data.decoding import SUFFIXES, single_view
from resnets.errors import DataError
from resnets.specs import InputConvention


def load(path: Path) -> DataSplits:
    """Return the image files of a folder; the classes are the sorted names of train's subfolders.

    Images are files ending in .jpg, .jpeg, .png or .webp; hidden files and folders are passed over.

    Raises: DataError, if a split is missing, a class has no images, or val has a class that train lacks.
    """
    if not path.is_dir():
        raise DataError(f"folder: no folder {path}")
    train_root, test_root = path / "train", path / "val"
    for root in (train_root, test_root):
        if not root.is_dir():
            raise DataError(f"{path}: no folder {root.name}/; images go to train/CLASS/* and val/CLASS/*")
    classes = _classes(train_root)
    if not classes:
        raise DataError(f"{train_root}: no classes; each is a subfolder of images, train/CLASS/*")
    strange = sorted(set(_classes(test_root)) - set(classes))
    if strange:
        raise DataError(f"{test_root}: class {strange[0]!r} is not in {train_root}")
    train, test = _files(train_root, classes), _files(test_root, classes)
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
    """
    convention = InputConvention(size=size, resize=size, channels=channels)

    def read(files: object) -> ImageArrays:
        assert isinstance(files, ImageFiles)
        images = np.empty((len(files), size, size, channels), np.uint8)
        for index, file in enumerate(files.paths):
            images[index] = single_view(file, convention)
        return ImageArrays(images, files.labels)

    train, test = read(splits.train), read(splits.test)
    return DataSplits(
        name=splits.name,
        train=train,
        test=test,
        classes=splits.classes,
        digest=f"{train.digest()}:{test.digest()}",
    )


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _classes(root: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and _visible(entry)))


def _files(root: Path, classes: tuple[str, ...]) -> ImageFiles:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        folder = root / name
        here = sorted(
            file
            for file in (folder.rglob("*") if folder.is_dir() else ())
            if file.suffix.lower() in SUFFIXES and _visible(file) and file.is_file()
        )
        if not here:
            raise DataError(f"{folder}: class {name!r} has no images ({', '.join(SUFFIXES)})")
        paths += here
        labels += [label] * len(here)
    return ImageFiles(tuple(paths), np.asarray(labels, np.int64))
