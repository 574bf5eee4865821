"""What the tests run in processes of their own: runs that die at a chosen moment, and a held folder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import small_runs
import torch
from observing import Recorder

import resnets
from resnets import files
from resnets.errors import ResnetsError
from resnets.runtime.locks import Lock
from resnets.training.run_folder import RunFolder

ITERATIONS = 40


def train(path: Path, *observers: Any) -> resnets.TrainResult:
    """Train Tiny by the public call, saving after every iteration; begin or go on as the folder stands."""
    torch.manual_seed(len(list(path.glob("checkpoints/*"))))  # a process that resumes begins with other weights
    return resnets.train(
        small_runs.Tiny(),
        small_runs.splits(),
        recipe=small_runs.RECIPE.scaled(ITERATIONS),
        out=path,
        resume=True,
        seed=5,
        device="cpu",
        precision="fp32",
        workers=0,
        save_every=1,
        observers=observers,
    )


def train_as_a_command(path: Path, *observers: Any) -> None:
    """Train, and end as the command does: one line, and an exit code."""
    torch.set_num_threads(1)
    try:
        train(path, *observers)
    except ResnetsError as error:
        (path / "error").write_text(str(error))
        sys.exit(error.exit_code)


class Slow(Recorder):
    """An observer that takes a minute over one line of the log."""

    def __init__(self, iteration: int) -> None:
        super().__init__()
        self.iteration = iteration

    def logged(self, line: dict[str, Any]) -> None:
        if line.iteration == self.iteration:
            time.sleep(60)


def train_slowly(path: Path) -> None:
    """Train, but stand still for a minute while iteration 5 is logged."""
    train_as_a_command(path, Slow(5))


def hold(path: Path) -> None:
    """Hold a run's folder until killed, with a child process such as those that read data."""
    with RunFolder(path):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (path / "child").write_text(str(child))
        time.sleep(60)


def without_locks(set_attribute: Callable[..., None] = setattr) -> None:
    """Let the system answer as on a disk that has no locks."""

    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    set_attribute(fcntl, "flock", missing)


def hold_lock(file: Path) -> None:
    """Hold a lock on a disk that has none of its own until killed."""
    without_locks()
    with Lock(file, renew_seconds=0.5):
        (file.parent / "held").touch()
        time.sleep(60)


# ---------------------------------------------------------------- dying while checkpoint 7 is written

VICTIM = "iteration-00000007"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _HalfFile:
    """A file that takes half of what is written to it; then the process dies."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> _HalfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        _die()


def _half_written() -> None:
    def opened(path: Any, mode: str) -> Any:
        file = open(path, mode)
        return _HalfFile(file) if VICTIM in str(path) else file

    files.open = opened


def _not_yet_synced() -> None:
    fsync = os.fsync

    def synced(file: int) -> None:
        if VICTIM in str(Path(f"/proc/self/fd/{file}").readlink()):
            _die()
        fsync(file)

    os.fsync = synced


def _not_yet_renamed() -> None:
    _before_or_after_rename(die_before=True)


def _just_renamed() -> None:
    _before_or_after_rename(die_before=False)


def _before_or_after_rename(*, die_before: bool) -> None:
    replace = os.replace

    def replaced(source: Any, target: Any) -> None:
        if VICTIM in str(target) and die_before:
            _die()
        replace(source, target)
        if VICTIM in str(target):
            _die()

    os.replace = replaced


def _older_not_yet_removed() -> None:
    unlink = os.unlink

    def unlinked(path: Any, **options: Any) -> None:
        if list(Path(path).parent.glob(f"{VICTIM}.*")):
            _die()
        unlink(path, **options)

    os.unlink = unlinked


MOMENTS: dict[str, Callable[[], None]] = {
    "half written": _half_written,
    "not yet synced": _not_yet_synced,
    "not yet renamed": _not_yet_renamed,
    "just renamed": _just_renamed,
    "older not yet removed": _older_not_yet_removed,
}


def train_until(path: Path, moment: str) -> None:
    """Train, and die by SIGKILL at a moment of writing the seventh checkpoint."""
    MOMENTS[moment]()
    train_as_a_command(path)


# ---------------------------------------------------------------- dying anywhere


def train_and_say(path: Path, begun: Path) -> None:
    """Train, once a file says that this has begun."""
    torch.set_num_threads(1)
    begun.touch()
    train(path)


def _around_durable_calls(do: Callable[[str, int, bool], None]) -> None:
    """Call `do` before and after each call that changes the disk for good: its name, its number, and whether before."""
    number = 0

    def watched(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal number
            number += 1
            own = number
            do(name, own, True)
            result = original(*arguments, **options)
            do(name, own, False)
            return result

        return call

    for name in ("fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, watched(name))


def train_counting(path: Path, file: Path) -> None:
    """Train, and write the names of all durable calls to a file."""
    calls: list[str] = []
    _around_durable_calls(lambda name, _, before: calls.append(name) if before else None)
    torch.set_num_threads(1)
    train(path)
    file.write_text(" ".join(calls))


def train_until_call(path: Path, number: int, before: bool) -> None:
    """Train, and die by SIGKILL before or after a durable call."""
    _around_durable_calls(lambda _, at, early: _die() if (at, early) == (number, before) else None)
    torch.set_num_threads(1)
    train(path)
