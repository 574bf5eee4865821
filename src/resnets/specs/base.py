"""Base of all declarations: frozen data that is compared, changed and written by its fields."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Annotated, Any, Self

import msgspec

from resnets.errors import as_declared

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


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen declaration, JSON-ready: equal where all its fields are."""

    def with_changes(self, **changes: Any) -> Self:
        """Return the declaration with some fields changed.

        Raises: TypeError, if there is no such field; UsageError, for a value of another kind, or as the declaration.
        """
        declared = _declared(type(self))
        given = {name: as_declared(name, value, declared.get(name)) for name, value in changes.items()}
        return msgspec.structs.replace(self, **given)

    def fields(self) -> dict[str, Any]:
        """Return the values of all fields by name."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def differences(self, other: Spec) -> dict[str, tuple[Any, Any]]:
        """Return the fields in which two declarations differ, with both values; None where one has no such field."""
        ours, theirs = self.fields(), other.fields()
        pairs = {name: (ours.get(name), theirs.get(name)) for name in {**ours, **theirs}}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
