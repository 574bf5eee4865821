"""Base of all declarations: frozen data that is compared, changed and written by its fields."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Annotated, Any, Self

import msgspec

from resnets.errors import as_declared, require_known

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


class _Declaration(msgspec.StructMeta):
    """Makes the name of a field that there is not a UsageError, with the nearest ones."""

    def __call__(cls, *values: Any, **fields: Any) -> Any:
        require_known(cls.__name__, fields, cls.__struct_fields__)
        return super().__call__(*values, **fields)


class Spec(msgspec.Struct, metaclass=_Declaration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen declaration, JSON-ready: equal where all its fields are."""

    def with_changes(self, **changes: Any) -> Self:
        """Return the declaration with some fields changed.

        Raises: UsageError, with the nearest fields, if there is no such one; for a value of another kind, or as the
            declaration.
        """
        require_known(f"{type(self).__name__}.with_changes", changes, self.__struct_fields__)
        declared = _declared(type(self))
        given = {name: as_declared(name, value, declared[name]) for name, value in changes.items()}
        return msgspec.structs.replace(self, **given)

    def fields(self) -> dict[str, Any]:
        """Return the values of all fields by name."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def differences(self, other: Spec) -> dict[str, tuple[Any, Any]]:
        """Return the fields in which two declarations differ, with both values; None where one has no such field."""
        ours, theirs = self.fields(), other.fields()
        pairs = {name: (ours.get(name), theirs.get(name)) for name in {**ours, **theirs}}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
