"""Names of a data set's classes, and their matching with those of weights: by names, WordNet ids, synonyms, numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnets.errors import DataError, is_utf8, nearest, printable

ENOUGH = 0.99  # of the classes have a name in common with the class in their place: then the order is the same

WNID = re.compile(r"n\d{8}")
"""The id of a noun in WordNet, such as n01440764: ImageNet's name of a class."""

FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")  # of Unicode; a name of ASCII alone is both


def in_words(classes: Sequence[str]) -> str:
    """Return the number of classes and the first of them: `10 (0, 1, 2, ...)`."""
    return f"{len(classes)} ({printable(', '.join(classes[:3]))}{', ...' if len(classes) > 3 else ''})"


def match(ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[int] | None, str | None] | None:
    """Return the places of the data's classes among the weights', and what is assumed; None if they are others.

    The first is None where they are in the same order, the second where nothing is: names, or ids, are the same. By
    order alone, which is said, are matched the numbers that shards without a list of names have, and names of which one
    side has more synonyms (`tench, Tinca tinca`).
    """
    if len(ours) != len(theirs):
        return None
    for spelt in (_without_ids, _ids):
        here, there = spelt(ours), spelt(theirs)
        if here is not None and here == there:
            return None, None
        if here is not None and there is not None and {*here} == {*there} and len({*there}) == len(there):
            return [there.index(name) for name in here], None
    if list(ours) == [str(number) for number in range(len(ours))]:
        return None, "the data's classes are numbers; they are taken to be the weights', in the same order"
    common = [bool(_synonyms(one) & _synonyms(other)) for one, other in zip(ours, theirs, strict=True)]
    if sum(common) >= ENOUGH * len(common):
        first = next((f": {ours[i]!r} for {theirs[i]!r}" for i, same in enumerate(common) if not same), "")
        return None, f"the classes have other synonyms; they are taken to be the same, in the same order{first}"
    return None


def order_of(names: Sequence[str], known: Sequence[str], where: str, whose: str) -> list[int]:
    """Return the place of each name among those that are known, which may be more.

    Raises: DataError, for the first name that is not, or one that is there twice.
    """
    places = {name: place for place, name in enumerate(known)}
    for name in names:
        if name not in places:
            raise DataError(
                f"{where}: class {name!r} is not in {whose}{look_alike(name, known) or nearest(name, known)}"
            )
    for wrong in wrong_names(names):
        raise DataError(f"{where}: {wrong}")
    return [places[name] for name in names]


def wrong_names(names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on each class that has the name of another, or one that looks the same, or that is no UTF-8."""
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        before = first.setdefault(unicodedata.normalize("NFC", name), place)
        if before != place:
            twice = f"class {name!r} is there twice (as classes {before} and {place})"
            yield f"{twice}{look_alike(name, [names[before]])}"
        if not is_utf8(name):
            yield f"the class name {name!r} is not UTF-8; give it another name"


def look_alike(name: str, known: Iterable[str]) -> str:
    """Return ' (...)' where a known name looks the same and differs by Unicode normalisation alone, else ''."""
    normalized = unicodedata.normalize("NFC", name)
    for other in known:
        if other != name and unicodedata.normalize("NFC", other) == normalized:
            here, there = _form(name), _form(other)
            return (
                f" ({other!r} looks the same: it is written in Unicode's {there} form, and this in {here}; rename one)"
            )
    return ""


def _form(name: str) -> str:
    return next((form for form in FORMS if unicodedata.is_normalized(form, name)), "a mixed")


def _without_ids(classes: Sequence[str]) -> tuple[str, ...] | None:
    """Return class names without the WordNet ids that may precede them (`n01440764 tench`), if they still differ."""
    names = tuple(re.sub(r"^n\d{8} ", "", name) for name in classes)
    return names if len({*names}) == len({*classes}) else tuple(classes)


def _ids(classes: Sequence[str]) -> tuple[str, ...] | None:
    """Return the WordNet ids that class names are or start with, or None where any has none."""
    found = [re.match(r"n\d{8}\b", name) for name in classes]
    return tuple(match[0] for match in found if match) if all(found) else None


def _synonyms(name: str) -> set[str]:
    return {part.strip().lower().replace("_", " ") for part in name.split(",")}


def names_of(dataset: object) -> tuple[str, ...]:
    """Return the names of a dataset object's classes, () where it has none."""
    names = getattr(dataset, "classes", None)
    return class_names(names, "dataset") if isinstance(names, list | tuple) else ()


def class_names(names: Iterable[object], where: str) -> tuple[str, ...]:
    """Return class names, one of several synonyms as torchvision has those of ImageNet: `tench, Tinca tinca`.

    Raises: DataError, if they are no list.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"{where}: classes are {names!r}; they must be a list of names")
    return tuple(", ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in names)


MOST_CLASSES = 1_000_000
"""Of data whose classes are numbers: they are named up to the largest one."""


def numbered_classes(labels: Iterable[NDArray[np.int64]]) -> tuple[str, ...]:
    """Return the names of classes that are numbers, up to the largest label. Raises: DataError, if that is no class."""
    count = 1 + max(int(part.max(initial=-1)) for part in labels)
    if count > MOST_CLASSES:
        raise DataError(f"an image has the label {count - 1:,}; classes have numbers below {MOST_CLASSES:,}")
    return tuple(map(str, range(count)))
