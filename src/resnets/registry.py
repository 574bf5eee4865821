"""Named entries, with help texts and suggestions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from resnets.errors import UsageError, nearest


class Entry(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Entry)


class Registry(Generic[T]):
    """Entries of one kind by their names, in the order in which they were added.

    An entry names a function as "module:function" where importing it would load torch: help texts and suggestions need
    only names.
    """

    def __init__(self, kind: str, *entries: T) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._owners: dict[str, str | None] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: T, owner: str | None = None) -> None:
        """Add an entry. A module that is its `owner` may replace it, as a cell of a notebook does that is run again.

        Raises: UsageError, if the name is taken.
        """
        if owner is None or self._owners.get(entry.name) != owner:
            self.require_free(entry.name)
        self._entries[entry.name], self._owners[entry.name] = entry, owner

    def require_free(self, name: str) -> None:
        """Raise UsageError if the name is taken."""
        if name in self:
            raise UsageError(f"there is another {self.kind} {name!r} already; give yours another name")

    def find(self, name: str) -> T:
        """Return the entry of a name. Raises: UsageError, with the nearest names and all, if there is none."""
        if name not in self._entries:
            known = ", ".join(self._entries)
            raise UsageError(f"unknown {self.kind} {name!r}{nearest(name, self._entries)}; known: {known}")
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Return all names."""
        return tuple(self._entries)

    def owners(self) -> tuple[str, ...]:
        """Return the modules whose entries were added at run time, in their order."""
        return tuple(dict.fromkeys(owner for owner in self._owners.values() if owner is not None))

    def forms(self, *, without: str = "") -> str:
        """Return the names, or the forms of entries that have one, in a text: `cifar, fast or digits`."""
        *others, last = (getattr(entry, "form", entry.name) for entry in self if entry.name != without)
        return f"{', '.join(others)} or {last}" if others else str(last)

    def help(self, *, without: str = "") -> str:
        """Return the forms for an option's help, without what Rich would take for markup: `cifar, fast or digits.`"""
        return self.forms(without=without).replace("[@", r"\[@") + "."

    @contextmanager
    def scoped(self) -> Iterator[None]:
        """Forget at the end what was added within."""
        before = self._entries.copy(), self._owners.copy()
        try:
            yield
        finally:
            self._entries, self._owners = before

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def function_of(function: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that an entry names: itself, or what "module:function" says, imported now."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
