"""Layouts of a folder of images: which of its folders is trained on, validated on and tested on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from resnets.data.formats import SUFFIXES
from resnets.errors import DataError

NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of the folders, in lower case; any capitalisation will do."""

EVALUATED = {*NAMES["validation"], *NAMES["test"], "dev", "eval"}
"""Words that in a folder's name, such as seg_test, say a split that is not trained on."""

FORMS = "PATH/train/CLASS/* with val/, valid/, validation/ or test/, or PATH/CLASS/*"


@dataclass(frozen=True)
class Layout:
    """Where the splits of a data set are. Without `test` it is drawn from the training images."""

    train: Path
    validation: Path | None = None
    test: Path | None = None

    def evaluated(self) -> list[Path]:
        """Return the folders of images that are not trained on."""
        return [root for root in (self.validation, self.test) if root is not None]


def find_layout(path: Path) -> Layout:
    """Return the layout of a folder; a validation split is the test split where there is no other.

    Raises: DataError, if there is no such folder, two folders have one role, only train is missing, or data sets are in
        subfolders; OSError.
    """
    if not path.is_dir():
        raise DataError(f"folder: no folder {path}")
    named = {role: _folder(path, role) for role in NAMES}
    train, validation, test = (named[role] for role in NAMES)
    if train is None:
        if (there := validation or test) is not None:
            raise DataError(
                f"{path}: no folder train/ next to {there.name}/; there are {FORMS}; where {there.name} is a class, "
                f"move all classes into {path / 'train'}; to test on it alone: "
                f"`resnets evaluate --data folder:{there} --split all`"
            )
        for inner in sorted(path.iterdir()):
            if inner.is_dir() and not inner.name.startswith(".") and _folder(inner, "train"):
                raise DataError(f"{path}: has no classes, but data sets, such as {inner.name}; name it: folder:{inner}")
        _require_classes(path)
        return Layout(path)
    validation, test = (root if root and _has_folders(root) else None for root in (validation, test))
    return Layout(train, validation, test) if test else Layout(train, None, validation)


def unlabelled(path: Path, layout: Layout) -> list[Path]:
    """Return the folders for validation and test that have no folders of classes, and so are not used."""
    named = [] if layout.train == path else [_folder(path, role) for role in ("validation", "test")]
    return [root for root in named if root and root not in layout.evaluated()]


def unused(path: Path, layout: Layout) -> list[Path]:
    """Return the folders next to train/ that are no split by their names."""
    if layout.train == path:
        return []
    roles = [name for names in NAMES.values() for name in names]
    return [entry for entry in sorted(path.iterdir()) if entry.is_dir() and entry.name.lower() not in roles]


def _require_classes(path: Path) -> None:
    """Refuse two folders of folders that a word of their names, as in seg_train and seg_test, calls splits."""
    named = {
        entry.name: set(re.split(r"[\W_]+", entry.name.lower()))
        for entry in sorted(path.iterdir())
        if entry.is_dir() and _has_folders(entry) and not _has_images(entry)
    }
    trained = [name for name, words in named.items() if words & set(NAMES["train"])]
    others = [name for name, words in named.items() if words & EVALUATED and name not in trained]
    if trained and others:
        raise DataError(
            f"{path}: {trained[0]}/ and {others[0]}/ would be classes, and look like splits; there are {FORMS}"
        )


def role_of(where: str) -> str:
    """Return the role, `train`, `validation` or `test`, of a file by the folder that it is in."""
    for part in reversed(Path(where).parts):
        for role, names in NAMES.items():
            if part.lower() in names:
                return role
    return "train"


def _folder(path: Path, role: str) -> Path | None:
    found = sorted(entry for entry in path.iterdir() if entry.name.lower() in NAMES[role] and entry.is_dir())
    if len(found) > 1:
        both = " and ".join(f"{entry.name}/" for entry in found)
        raise DataError(f"{path}: {both} are both {role} folders; rename all but one")
    return found[0] if found else None


def _has_folders(root: Path) -> bool:
    return any(entry.is_dir() and not entry.name.startswith((".", "@", "_", "#")) for entry in root.iterdir())


def _has_images(root: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES for entry in root.iterdir())
