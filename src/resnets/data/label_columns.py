"""Columns of a table of images: which holds the images, which the classes, and a split's numbers of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import order_of
from resnets.errors import DataError, import_extra, nearest

LABELS = ("label", "labels", "fine_label")  # the first that is there is taken
IMAGES = ("image", "images", "img")


@dataclass(frozen=True)
class Columns:
    """The columns of all splits. `orders` has for a split the class of each of its numbers, where that is another."""

    images: str
    labels: str
    classes: tuple[str, ...]  # () where the table only has numbers
    orders: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...]

    def numbers(self, stored: Sequence[Any], split: str, first: int = 0) -> NDArray[np.int64]:
        """Return the classes of rows by their stored numbers; `first` is the number of the first row.

        Raises: DataError, naming the split and the row, for a row without a class.
        """
        known = len(self.classes)
        for row, label in enumerate(stored, first):
            if label is None or label < 0 or (known and label >= known):
                found = "null" if label is None else label
                limit = f"0 to {known - 1}" if known else "0 or more"
                raise DataError(f"split {split}, row {row}: there is no class (label {found}); it must be {limit}")
        labels = np.asarray(stored, np.int64)
        return self.orders[split][labels] if split in self.orders else labels


def choose(source: str, features: Mapping[str, Any], train: str, labels: str = "") -> Columns:
    """Return the columns of a data set by the features of its splits; `labels` names that of the classes.

    Without it the column is `label`, `labels` or `fine_label`, or else the only one of class labels, or of integers.

    Raises: DataError, if there is none, several are left, or another split has other columns or classes.
    """
    images = _image_column(source, features[train])
    chosen, notes = _label_column(source, features[train], labels)
    classes = _classes(features[train][chosen])
    orders = {}
    for split, its in features.items():
        where = f"{source}, split {split}"
        for column in (images, chosen):
            if column not in its:
                raise DataError(f"{where} has no column {column!r}, which split {train} has; it has {', '.join(its)}")
        names = _classes(its[chosen])
        if bool(names) != bool(classes):
            raise DataError(
                f"{where}: its column {chosen!r} has {_kind(names)}, and that of split {train} {_kind(classes)}"
            )
        if names != classes:
            orders[split] = np.asarray(order_of(names, classes, where, f"split {train}"), np.int64)
            notes.append(
                f"{where} lists its classes in another order than split {train}; they are matched by their names"
            )
    return Columns(images, chosen, classes, orders, tuple(notes))


def _image_column(source: str, features: Mapping[str, Any]) -> str:
    kind = import_extra("datasets", "datasets").Image
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if not found:
        raise DataError(f"{source}: a column of images is needed; it has {_listed(features)}")
    preferred = [name for name in IMAGES if name in found]
    if not preferred and len(found) > 1:
        raise DataError(f"{source}: columns {', '.join(found)} are all images; rename the one that is meant to image")
    return (preferred or found)[0]


def _label_column(source: str, features: Mapping[str, Any], named: str) -> tuple[str, list[str]]:
    kind = import_extra("datasets", "datasets").ClassLabel
    labels = [name for name, feature in features.items() if isinstance(feature, kind)]
    integers = [name for name, one in features.items() if str(getattr(one, "dtype", "")).startswith(("int", "uint"))]
    candidates = list(dict.fromkeys(labels + integers))
    how = f"{source}#COLUMN"
    if named:
        if named not in candidates:
            right = f"{nearest(named, candidates)}; there are {', '.join(candidates) or 'none'}"
            raise DataError(f"{source}: no column of classes {named!r}{right}")
        return named, []
    if not candidates:
        raise DataError(f"{source}: a column of class labels is needed; it has {_listed(features)}")
    if preferred := [name for name in LABELS if name in candidates]:
        others = [name for name in labels if name != preferred[0]]
        also = f"; there are labels in {', '.join(others)} too, which {how} names" if others else ""
        return preferred[0], [f"{source}: the classes are those of column {preferred[0]}{also}"] if others else []
    left = labels or integers
    if len(left) > 1:
        what = "class labels" if labels else "integers"
        raise DataError(f"{source}: columns {', '.join(left)} are all {what}; name the one that is meant: {how}")
    taken = "" if labels else ", which are integers without names"
    return left[0], [f"{source}: the classes are those of column {left[0]}{taken}"]


def _classes(feature: Any) -> tuple[str, ...]:
    return tuple(getattr(feature, "names", None) or ())


def _kind(names: tuple[str, ...]) -> str:
    return f"the {len(names)} classes {', '.join(names[:3])} ..." if names else "numbers without names"


def _listed(features: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items()) or "no columns"
