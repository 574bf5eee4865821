"""Locks of folders: one process at a time holds one, and none does when that has ended, however it ended."""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import filelock

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # what a disk without locks answers
RENEW_SECONDS = 5.0
ABANDONED = 4  # times as long without a renewal, for a holder to have ended


class Held(Exception):
    """Another process holds a lock."""


class Lock:
    """A lock that is held within its `with` block: the system's own lock of a file, which ends with its process.

    On a disk without such locks, as some of clusters are, it is a marker next to the file, which its holder renews
    every few seconds; one that is no longer renewed is taken over.

    Raises: Held, at once or within seconds, unless it is to wait; OSError, if the file cannot be made.
    """

    def __init__(self, file: Path, *, wait: bool = False, renew_seconds: float = RENEW_SECONDS) -> None:
        self.wait, self.renew_seconds = wait, renew_seconds
        self.of_system = filelock.FileLock(file, timeout=-1 if wait else 0, fallback_to_soft=False)
        self.marker = file.with_name(f"{file.name}.held")
        self.token = secrets.token_hex(8)  # what the marker says while this process holds it
        self.released = threading.Event()

    def __enter__(self) -> Self:
        try:
            self.of_system.acquire()
        except filelock.Timeout:
            raise Held from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            while not self._mark():
                if not self.wait:
                    raise Held from None
            self.released.clear()
            threading.Thread(target=self._renew, name="resnets-lock", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.of_system.release()
        if not self.released.is_set() and self._holder() == self.token:
            self.marker.unlink(missing_ok=True)
        self.released.set()

    def _mark(self) -> bool:
        """Make the marker, or take it over once nobody renews it; return False where somebody does."""
        try:
            with open(self.marker, "x") as file:
                file.write(self.token)
            return True
        except FileExistsError:
            pass
        found, since = self._renewed(), time.monotonic()
        while time.monotonic() - since < ABANDONED * self.renew_seconds:
            time.sleep(self.renew_seconds / 10)
            if self._renewed() != found:
                return False
        own = self.marker.with_name(f"{self.marker.name}.{self.token}")
        own.write_text(self.token)
        os.replace(own, self.marker)
        time.sleep(self.renew_seconds / 5)  # of several that take it over now, the last one has it
        return self._holder() == self.token

    def _renew(self) -> None:
        while not self.released.wait(self.renew_seconds):
            with suppress(OSError):
                if self._holder() == self.token:
                    os.utime(self.marker)

    def _renewed(self) -> tuple[str, int]:
        """Return whose the marker is and when it was renewed, by the clock of the disk."""
        try:
            return self._holder(), self.marker.stat().st_mtime_ns
        except FileNotFoundError:
            return "", 0

    def _holder(self) -> str:
        with suppress(OSError):
            return self.marker.read_text()
        return ""
