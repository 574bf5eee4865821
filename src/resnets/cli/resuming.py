"""What is said of a command that was stopped: how it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnets.errors import Interrupted


@contextmanager
def resumable(how: str = "the same command with --resume continues") -> Iterator[None]:
    """Add to the line of an interruption how to go on. Raises: Interrupted, as what is done within."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(f"{stop}; {how}", stop.exit_code - 128) from None
