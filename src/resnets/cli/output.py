"""Standard output and error of a command, either of which may be lost: its reader ends, or its disk is full."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TextIO

from resnets.errors import Interrupted, ResnetsError, printable

DEBUG = ContextVar("DEBUG", default=False)
"""Whether the command was given --debug, which shows the traceback of each error."""


def note(text: object, program: str = "resnets") -> None:
    """Print a line on standard error that is no error."""
    print(printable(f"{program}: note: {text}"), file=sys.stderr)


class OutputError(ResnetsError):
    """What a command prints cannot be written, and it has no other result."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"standard output: failed to write ({cause.strerror or cause})")
        self.reader_ended = cause.errno == errno.EPIPE  # as with `| head`: no failure to speak of


class Output:
    """A stream that goes nowhere once it is lost.

    Where what is written is `needed`, losing it is an OutputError; else only `check` reports it.
    """

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self.stream, self.needed = stream, needed
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self._pass(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._pass(self.stream.flush)

    def check(self) -> None:
        """Raise the OSError by which the stream was lost; the reader of a pipe that has ended counts already."""
        if self.lost is None and self._reader_ended():
            self._lose(OSError(errno.EPIPE, os.strerror(errno.EPIPE)))
        if self.lost is not None:
            raise self.lost

    def _pass(self, call: Callable[..., Any], *arguments: str) -> None:
        if self.lost is None:
            try:
                call(*arguments)
            except OSError as error:
                self._lose(error)
                if self.needed:
                    raise OutputError(error) from error

    def _lose(self, error: OSError) -> None:
        self.lost = error
        with suppress(OSError):  # a stream without a descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())  # else what the stream still holds would fail again at exit
            os.close(nowhere)

    def _reader_ended(self) -> bool:
        try:
            poll = select.poll()
            poll.register(self.stream.fileno(), 0)
            return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
        except (OSError, AttributeError):  # no descriptor, or a system without poll
            return False


@contextmanager
def standard_streams() -> Iterator[None]:
    """Within the block, losing standard error is no failure, and losing standard output an OutputError.

    What was closed before the start goes nowhere.
    """
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        for name, needed in (("stdout", True), ("stderr", False)):
            stream = getattr(sys, name) or nowhere
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a class name that a terminal cannot show is no failure
            setattr(sys, name, Output(stream, needed=needed))
        try:
            yield
        finally:
            outlive()
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


def require_output(stream: TextIO) -> None:
    """Raise the OSError by which a standard stream was lost, if it was."""
    if isinstance(stream, Output):
        stream.check()


def outlive() -> None:
    """From here on, let the command go on without its output: its results are on the disk."""
    if isinstance(sys.stdout, Output):
        sys.stdout.needed = False


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
