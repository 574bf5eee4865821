"""A folder of images of any size: train/CLASS/* with val, valid, validation or test, or CLASS/* alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np

from resnets.data.class_names import look_alike
from resnets.data.formats import SUFFIXES, UNREAD, why_unread
from resnets.data.image_files import ImageFiles
from resnets.data.layouts import FORMS, Layout, find_layout, unlabelled, unused
from resnets.data.passed_over import PassedOver, in_words
from resnets.data.splits import DataSplits, drawn_of_each_class
from resnets.errors import DataError, UsageError
from resnets.files import expanded
from resnets.quantities import plural

DRAWN = 10.0
"""Percent of the images that are drawn to test on, and as many to validate on, where no folder is for that."""

NAMED = 6  # folders or classes, in a sentence

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
    validation: ImageFiles | None = None
    validation_share: float | None = None  # percent of the training images, as in DataSplits
    roles: str = ""
    test_is_drawn: bool = False

    def parts(self) -> dict[str, ImageFiles]:
        """Return the splits that there are by their names: train, test, validation."""
        named = {"train": self.train, "test": self.test, "validation": self.validation}
        return {name: part for name, part in named.items() if part is not None}

    def splits(self) -> DataSplits:
        """Return it as a data set."""
        return DataSplits(**vars(self), digest=":".join(part.digest() for part in self.parts().values()))


def load(path: Path) -> DataSplits:
    """Return the image files of a folder; the classes are the sorted names of train's subfolders.

    A folder `test` is tested on, and `val`, `valid` or `validation` validated on, or tested on where it is the only
    one. Without any of them, or of PATH/CLASS/*, 10 % of each class are tested on, always the same, and as many are
    held out for validation by the seed of a run.

    Images are files with a suffix of `formats`, in subfolders of a class too; links are followed. Passed over, and
    counted, are hidden and system folders, hidden files, files with other suffixes, and what is in no class's folder.

    Raises: DataError, if train is missing, a class of it has no images, an image is empty, a link broken or a photo of
        a kind that is not read, or another split has a class that train lacks.
    """
    return list_files(path, refuse).splits()


def list_files(path: Path, complain: Complain) -> Listing:
    """Return what `load` does; what it would refuse is complained of, and left out.

    Raises: DataError, if train is missing or nothing can be listed.
    """
    passed: list[PassedOver] = []
    name = path.resolve().name
    try:
        layout = find_layout(path)
        notes = [
            f"{name}: {root.name}/ has no folders of classes, and is not used" for root in unlabelled(path, layout)
        ]
        classes = class_folders(layout.train, passed)
        not_used = _unused(path, layout)
        if not classes:
            raise DataError(
                f"{layout.train}: no classes; each is a subfolder of images: {FORMS}{not_used and f'; {not_used}'}"
            )
        notes += [f"{name}: {not_used}"] if not_used else []
        for root in layout.evaluated():
            for unknown in sorted(set(class_folders(root, passed)) - set(classes)):
                complain(f"{root}: class {unknown!r} is not in {layout.train}{look_alike(unknown, classes)}")
        train = files_of(layout.train, classes, complain, passed)
        evaluated = [_evaluated(root, classes, complain, passed, notes) for root in layout.evaluated()]
    except OSError as error:
        raise DataError(f"{error.filename}: failed to read ({error.strerror or error})") from None
    if not evaluated:
        return _drawn(name, layout, classes, train, tuple(passed), notes)
    test, validation = evaluated[-1], evaluated[0] if len(evaluated) > 1 else None
    roles = f"{name}: trained on {layout.train.name}/"
    if layout.validation is not None:
        roles += f", validated on {layout.validation.name}/"
    roles += f", tested on {layout.evaluated()[-1].name}/"
    return Listing(name, classes, train, test, tuple(passed), tuple(notes), validation, roles=roles)


def _unused(path: Path, layout: Layout) -> str:
    """Return a sentence on folders of images next to train/ that are no split; empty where there are none."""
    found = [f"{root.name}/" for root in unused(path, layout) if not _is_hidden(root.name) and _has_image(root)]
    if not found:
        return ""
    train = layout.train.name
    return (
        f"next to {train}/, not used: {_some(found)}; images to test on go into test/, and where all these folders are "
        f"classes, all go into {train}/"
    )


def _has_image(root: Path) -> bool:
    files = (name for _, _, names in os.walk(root, followlinks=False) for name in names)
    return any(_not_an_image(name) is None for name in files)


def require_outside(out: Path, source: object) -> None:
    """Make sure that results are not written among the classes of a `folder:` source, which would then be one of them.

    Raises: UsageError.
    """
    name, _, rest = source.partition(":") if isinstance(source, str) else ("", "", "")
    if name != "folder":
        return
    layout = find_layout(expanded(rest))
    for root in (layout.train, *layout.evaluated()):
        where, real = out.resolve(), root.resolve()
        if where.is_relative_to(real) and not any(map(_is_hidden, where.relative_to(real).parts)):
            raise UsageError(f"{out} is inside {root}, where each folder is a class; name a folder elsewhere")


def _evaluated(
    root: Path, classes: tuple[str, ...], complain: Complain, passed: list[PassedOver], notes: list[str]
) -> ImageFiles:
    """Return the images of a split that is not trained on, and note the classes that it lacks."""
    files = files_of(root, classes, complain, passed, lambda message: None)
    notes += _without_images(str(root), classes, files)
    return files


def _without_images(where: str, classes: tuple[str, ...], files: ImageFiles) -> list[str]:
    present = set(files.labels.tolist())
    absent = [name for label, name in enumerate(classes) if label not in present]
    return [f"{where}: no images of {plural(len(absent), 'class')}: {_some(absent)}"] if absent else []


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def _drawn(
    name: str,
    layout: Layout,
    classes: tuple[str, ...],
    files: ImageFiles,
    passed: tuple[PassedOver, ...],
    notes: list[str],
) -> Listing:
    """Return images in one folder, with a tenth of each class drawn to test on: the same in every run."""
    held = np.sort(drawn_of_each_class(files.labels, len(classes), DRAWN, seed=0))
    rest = np.setdiff1d(np.arange(len(files)), held)
    train, test = files.select(rest), files.select(held)
    notes += _without_images(f"{name}: drawn to test on", classes, test)
    share = 100 * DRAWN / (100 - DRAWN)  # of those that remain
    validated = len(drawn_of_each_class(train.labels, len(classes), share, seed=0)) > 0
    roles = (
        f"{name}: {layout.train.name}/ has all images: {plural(len(test), 'image')} ({DRAWN:g} % of each class) drawn "
        f"to test on, the same in every run; of the others `train` validates on {DRAWN:g} % of all by default (--split)"
    )
    if not validated:
        roles = f"{roles.partition(';')[0]}; the others are trained on"
    return Listing(
        name,
        classes,
        train,
        test,
        passed,
        tuple(notes),
        validation_share=share if validated else None,
        roles=roles,
        test_is_drawn=True,
    )


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


def files_of(
    root: Path,
    classes: tuple[str, ...],
    complain: Complain,
    passed: list[PassedOver],
    absent: Complain | None = None,
) -> ImageFiles:
    """Return the images of a split, class by class; `absent`, by default `complain`, is called of a class without any.

    Raises: OSError, for what cannot be read.
    """
    absent = absent or complain
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        before = len(passed)
        here = images_in(root / name, complain, passed)
        if not here:
            others = f"; passed over: {in_words(passed[before:])}" if passed[before:] else ""
            absent(f"{root / name}: class {name!r} has no images ({', '.join(SUFFIXES)}){others}")
        paths += here
        labels += [label] * len(here)
    return ImageFiles(tuple(paths), np.asarray(labels, np.int64))


def images_in(folder: Path, complain: Complain, passed: list[PassedOver], *, verify: bool = True) -> list[Path]:
    """Return the image files of one class, sorted; [] if it has no folder. Raises OSError for what cannot be read.

    With `verify`, those that no training could read are complained of and left out, and so is a folder that a link
    leads to a second time; without, it is passed over.
    """

    def unreadable(error: OSError) -> None:  # os.walk would pass over a folder without permission
        raise error

    found: list[Path] = []
    walked: dict[str, str] = {}
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True) if folder.is_dir() else ():
        earlier = walked.setdefault(real := os.path.realpath(parent), parent)
        if earlier != parent:  # a link into its own parent would otherwise bring each image forty times
            if verify:
                link = earlier if os.path.islink(earlier) and not os.path.islink(parent) else parent
                complain(f"{link}: a link to {real}, whose images are in this class already")
            folders.clear()
            continue
        passed += [PassedOver(HIDDEN_FOLDERS, str(Path(parent, name))) for name in sorted(folders) if _is_hidden(name)]
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(files):
            path = Path(parent, name)
            if (kind := _not_an_image(name)) is not None:
                passed.append(PassedOver(kind, str(path)))
                continue
            if not verify:
                found.append(path)
                continue
            try:
                if (why := why_unread(path.suffix.lower())) is not None:
                    complain(f"{path}: {why}")
                elif path.stat().st_size == 0:
                    complain(f"{path}: an empty file, not an image")
                else:
                    found.append(path)
            except OSError as error:
                complain(f"{path}: failed to read ({error.strerror or error})")
    return sorted(found)


def is_image_below(path: PurePosixPath) -> bool:
    """Return whether a file with such a path below a folder, wherever that is, is one of its images by its names."""
    return _not_an_image(path.name) is None and not any(map(_is_hidden, path.parts[:-1]))


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
