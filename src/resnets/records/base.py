"""Reading and writing of records: each is one JSON object with its `kind` and `version`, verified field by field."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from resnets.errors import RecordError, RunError
from resnets.files import read_bytes, reading, write_bytes
from resnets.specs import Spec

T = TypeVar("T")

MOST_BYTES = 500_000_000
"""Of a file of a record."""


_SHORT = reprlib.Repr()
_SHORT.maxdict, _SHORT.maxtuple, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlevel = 10, 3, 80, 80, 2


def in_short(record: Spec) -> str:
    """Return a record's fields, the long ones cut: a confusion of 1,000 classes has a million numbers."""
    fields = (f"{name}={_SHORT.repr(value)}" for name, value in record.fields().items())
    return f"{type(record).__name__}({', '.join(fields)})"


class Record(Spec, frozen=True, kw_only=True, tag_field="kind"):
    """A record on disk. A subclass names its kind as its `tag`."""

    version: Literal[1] = 1

    __repr__ = in_short


def as_json(value: Any) -> Any:
    """Return a record, or a part of one, as plain JSON values."""
    return msgspec.json.decode(encode(value))


def encode(value: Any) -> bytes:
    """Return a record, or a part of one, as JSON on one line; a number that is not finite becomes null."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError:  # of a path that is not UTF-8
        return msgspec.json.encode(_writable(msgspec.to_builtins(value, enc_hook=_plain)))


def _writable(value: Any) -> Any:
    """Return JSON values with escapes for what is not UTF-8 in their texts."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_writable(key): _writable(one) for key, one in value.items()}
    return [_writable(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Return a number of NumPy or torch as Python's, and a path as its text."""
    return value.item() if hasattr(value, "item") else str(value)


def write(path: Path, record: Any) -> None:
    """Write a record whole or not at all, in a folder that is made where there is none.

    Raises: RunError, if it cannot be written.
    """
    write_bytes(path, msgspec.json.format(encode(record), indent=2) + b"\n")


def read(path: Path, kind: type[T]) -> T | None:
    """Return the record that a file holds; None where there is no file.

    Raises: RecordError, naming the field that is wrong; RunError, if the file cannot be read.
    """
    with reading(path, RunError):
        try:
            content = read_bytes(path, MOST_BYTES)
        except FileNotFoundError:
            return None
    return decode(content, kind, path)


def read_valid(path: Path, kind: type[T]) -> T | None:
    """Return the record that a file holds; None where there is no file, or it is damaged.

    Raises: RunError, if it cannot be read, which is no damage.
    """
    try:
        return read(path, kind)
    except RecordError:
        return None


def decode(content: bytes | str, kind: type[T], where: Path | str) -> T:
    """Return the record that JSON holds. Raises: RecordError, naming where it is and the field that is wrong."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise RecordError(f"{where}: {_in_a_line(error)}") from None


def _in_a_line(error: Exception) -> str:
    """Return a message, which may quote what the record holds, in one line."""
    return " ".join(str(error).split())


def difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """Return where two JSON values first differ, and both values there."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            if found := difference(old.get(key), new.get(key), f"{where}.{key}".lstrip(".")):
                return found
        return None
    return None if old == new else (where, old, new)
