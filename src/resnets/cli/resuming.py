"""Interruption of a command: the message says how to continue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnets.errors import Interrupted


@contextmanager
def resumable(how: str = "the same command with --resume continues") -> Iterator[None]:
    """Add to the message of an interruption how to continue. Raises: Interrupted."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(f"{stop}; {how}", stop.exit_code - 128) from None
