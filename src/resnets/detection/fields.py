"""Values of annotation and detection files, each read by one rule in VOC's and COCO's: flags, numbers, ids, names."""

from __future__ import annotations

import json
import reprlib
import sys
import unicodedata
from collections.abc import Container
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from resnets.errors import DataError
from resnets.files import read_bytes, reading

Id = int | str

CONTROLS = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of what no name has: controls such as line ends, halves of surrogate pairs, separators."""

FARTHEST = 1e9
"""Pixels from 0 to which a box may reach."""

_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlevel = 120, 60, 3


def content_of(path: Path) -> bytes:
    """Return a file's content. Raises: DataError, if it is missing, or a folder, pipe or device."""
    with reading(path, DataError):
        return read_bytes(path)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file in UTF-8. Raises: DataError, as `content_of`, or if it is in another encoding."""
    try:
        return content_of(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: failed to read ({error})") from None


def json_of(path: Path) -> Any:
    """Return the content of a JSON file. Raises: DataError, as `content_of`, or if it is no JSON."""
    content = content_of(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None


def shown(value: Any) -> str:
    """Return a value in short, for an error message: from a file it may be long, nested, or of several lines."""
    return _SHORT.repr(value)


def flag(value: Any) -> bool | None:
    """Return whether a flag is set that is written as 0 or 1, as a truth value or as a text of either; else None."""
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            value = {"false": 0, "true": 1}[text] if text in ("false", "true") else float(text)
        except ValueError:
            return None
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def is_id(value: Any, known: Container[Any]) -> bool:
    """Return whether this is one of the known ids; from a file it can be anything, and a list has no hash."""
    return isinstance(value, Id) and not isinstance(value, bool) and value in known


def is_box(box: Any) -> TypeGuard[list[float]]:
    """Return whether this is a list of four numbers of pixels."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_place, box))


def is_place(value: Any) -> TypeGuard[float]:
    """Return whether this is a number of pixels, near enough for its products to be finite."""
    return is_number(value) and abs(value) <= FARTHEST


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether this is a finite number, and no truth value."""
    # not math.isfinite, which fails on whole numbers that no float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_name(value: Any) -> TypeGuard[str]:
    """Return whether this is the name of a class: a text without control characters, and not only of spaces."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any(unicodedata.category(character) in CONTROLS for character in value)
    )


def unit_note(where: Path, numbers: NDArray[np.floating]) -> list[str]:
    """Return a note, if all numbers of a file's boxes lie within 0 and 1: they are hardly pixels. Shape: (N, 4)"""
    if not len(numbers) or numbers.min() < 0 or numbers.max() > 1:
        return []
    return [
        f"{where}: all numbers of its {len(numbers):,} boxes lie within 0 and 1; if they are shares of the images' "
        "width and height, multiply them: boxes are in pixels"
    ]
