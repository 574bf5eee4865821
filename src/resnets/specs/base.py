"""Base of all declarations: frozen data that is compared, changed and written by its fields."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

import msgspec

from resnets.errors import UsageError, alternatives, as_declared, is_plain, nearest, plain_values, require_known

Positive = Annotated[int, msgspec.Meta(ge=1)]
"""A number of 1 or more, which is verified where a declaration is read."""

Natural = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
"""A count, a place or a size, likewise."""


@lru_cache
def _declared(kind: type) -> dict[str, Any]:
    """Return the declarations of a class's fields, as they are written."""
    return {
        name: declared for base in reversed(kind.__mro__) for name, declared in inspect.get_annotations(base).items()
    }


@lru_cache
def _kinds(kind: type) -> dict[str, Any]:
    """Return what the values of a class's fields may be, as types."""
    return get_type_hints(kind, include_extras=True)


def _verified(kind: type, name: str, value: Any) -> Any:
    """Return the value of a field; a number of NumPy or torch becomes Python's, a list a tuple.

    Raises: UsageError, naming what it may be. Records are verified where they are read.
    """
    written = _declared(kind)[name]
    value = as_declared(name, value, written)
    if is_plain(written) or not kind.__module__.startswith(f"{__package__}."):
        return value
    value, declared = plain_values(value), _kinds(kind)[name]
    try:
        converted = msgspec.convert(value, declared)
    except msgspec.ValidationError:
        choices = list(_choices(declared))
        close = nearest(value, choices) if isinstance(value, str) else ""
        raise UsageError(f"{name} is {value!r}{close}; it must be {alternatives(choices)}") from None
    return converted if isinstance(value, list) else value


_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
_SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


def _choices(kind: Any) -> Iterator[str]:
    """Yield what a value may be, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        yield from map(str, parts)
    elif origin is Annotated:
        yield _bounded(parts[0], parts[1])
    elif origin is tuple:
        of = [_SEVERAL.get(part) or alternatives(list(_choices(part))) for part in parts if part is not Ellipsis]
        yield f"a tuple of {alternatives(list(dict.fromkeys(of)))}"
    elif parts:
        for part in parts:
            yield from _choices(part)
    else:
        yield _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _bounded(kind: Any, meta: msgspec.Meta) -> str:
    """Return the bounds of a number in words."""
    least = f"{meta.ge} or more" if meta.ge is not None else f"more than {meta.gt}" if meta.gt is not None else ""
    most = f"at most {meta.le}" if meta.le is not None else f"less than {meta.lt}" if meta.lt is not None else ""
    return " and ".join(filter(None, (least, most))) or _WORDS.get(kind, str(kind))


class _Declaration(msgspec.StructMeta):
    """Makes the name of a field that there is not, a missing field and a value of another kind a UsageError."""

    def __call__(cls, *values: Any, **fields: Any) -> Any:
        require_known(cls.__name__, fields, cls.__struct_fields__)
        given = {name: _verified(cls, name, value) for name, value in fields.items()}
        try:
            return super().__call__(*values, **given)
        except TypeError as error:
            if "required argument" not in str(error):
                raise
            raise UsageError(f"{cls.__name__}: {str(error)[0].lower()}{str(error)[1:]}") from None


class Spec(msgspec.Struct, metaclass=_Declaration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen declaration, JSON-ready: equal where all its fields are."""

    def with_changes(self, **changes: Any) -> Self:
        """Return the declaration with some fields changed.

        Raises: UsageError, with the nearest fields, if there is no such one; for a value of another kind, or as the
            declaration.
        """
        require_known(f"{type(self).__name__}.with_changes", changes, self.__struct_fields__)
        given = {name: _verified(type(self), name, value) for name, value in changes.items()}
        return msgspec.structs.replace(self, **given)

    def fields(self) -> dict[str, Any]:
        """Return the values of all fields by name."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def differences(self, other: Spec) -> dict[str, tuple[Any, Any]]:
        """Return the fields in which two declarations differ, with both values; None where one has no such field."""
        ours, theirs = self.fields(), other.fields()
        pairs = {name: (ours.get(name), theirs.get(name)) for name in {**ours, **theirs}}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
