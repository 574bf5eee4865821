"""Trained networks, one or several, each loaded unless it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from resnets.errors import UsageError

M = TypeVar("M")


def as_list(given: str | Path | M | Iterable[str | Path | M], kind: type[M]) -> list[str | Path | M]:
    """Return what is given, one or several, as a list. Raises: UsageError, if there are none."""
    if isinstance(given, (str, Path, kind)):
        return [given]
    several = list(given) if isinstance(given, Iterable) else []
    if not several:
        raise UsageError(
            f"weights are {given!r}; they must be a run's folder, a weights file, a loaded {kind.__name__} or several"
        )
    return several


def load_each(
    given: str | Path | M | Iterable[str | Path | M], kind: type[M], load: Callable[[str | Path], M]
) -> list[M]:
    """Return one or several, each loaded unless it is. Raises: UsageError, if there are none; as `load`."""
    return [one if isinstance(one, kind) else load(one) for one in as_list(given, kind)]  # type: ignore[arg-type]
