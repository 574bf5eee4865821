"""Commands whose work is on the disk: interrupted, they say how to continue; without their output, they go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnets.cli.output import outlive
from resnets.errors import Interrupted


@contextmanager
def resumable(how: str = "the same command with --resume continues") -> Iterator[None]:
    """Go on without output where that is lost, and add to the message of an interruption how to continue.

    Raises: Interrupted.
    """
    outlive()
    try:
        yield
    except Interrupted as stop:
        if not stop.saved:
            raise
        raise Interrupted(f"{stop}; {how}", stop.exit_code - 128) from None
