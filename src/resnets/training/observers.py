"""Observers of a run: what they are called with, their failures, and the one that writes TensorBoard events."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import msgspec

from resnets.errors import warn
from resnets.records.runs import LogLine, Result, RunRecord


class Observer(Protocol):
    """Is called as a run proceeds, for example to show it; what it raises ends the run, which can be continued.

    An OSError, as when the reader of the output has ended, only ends the calls of this observer.
    """

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        return None

    def logged(self, line: LogLine) -> None:
        return None

    def finished(self, result: Result) -> None:
        return None

    def closed(self) -> None:
        return None


class Observers(Observer):
    """All observers of a run, as one; those that fail to write are called no more, except to be closed."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self.all = list(observers)
        self.lost: list[Observer] = []
        self.notes: list[str] = []

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        for observer in self.all:
            self._call(observer, "started", run, iteration, notes)

    def logged(self, line: LogLine) -> None:
        for observer in self.all:
            self._call(observer, "logged", line)

    def finished(self, result: Result) -> None:
        for observer in self.all:
            self._call(observer, "finished", result)

    def closed(self) -> None:
        with ExitStack() as closing:
            for observer in self.all:
                closing.callback(self._call, observer, "closed")

    def take_notes(self) -> str | None:
        """Return what is to be noted in the log of observers that were lost, once; None where there is nothing."""
        notes, self.notes = self.notes, []
        return "; ".join(notes) or None

    def _call(self, observer: Observer, what: str, *arguments: Any) -> None:
        if observer in self.lost and what != "closed":
            return
        try:
            getattr(observer, what)(*arguments)
        except OSError as error:
            if observer not in self.lost:
                self.lost.append(observer)
                self.notes.append(
                    f"the run goes on without its observer {type(observer).__name__} ({error.strerror or error})"
                )
                warn(self.notes[-1])


class TensorBoard(Observer):
    """An observer that writes each logged number to a folder of events.

    metrics.jsonl has the same numbers, so without the package there is a warning and the run goes on.

    Raises: OSError, if the events cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        try:  # its parts, for its own writer has a thread, which prints a traceback where the folder vanishes
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            warn("no events for TensorBoard are written: the package tensorboard is missing")
            return
        self.folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self.event, self.summary = Event, Summary
        self.writer = RecordWriter(open(self.folder / name, "ab"))  # noqa: SIM115  # until `closed`
        self._write(file_version="brain.Event:2")
        # what an interrupted session wrote after the iteration that the run continues from is hidden
        self._write(step=iteration + 1, session_log=SessionLog(status=SessionLog.START))
        self.writer.flush()

    def logged(self, line: LogLine) -> None:
        if self.writer is None:
            return
        numbers = msgspec.to_builtins(line)
        numbers |= numbers.pop("losses", {})
        values = [
            self.summary.Value(tag=name, simple_value=value)
            for name, value in numbers.items()
            if name not in ("iteration", "images", "note")
        ]
        self._write(step=line.iteration, summary=self.summary(value=values))
        self.writer.flush()

    def closed(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _write(self, **content: Any) -> None:
        self.writer.write(self.event(wall_time=time.time(), **content).SerializeToString())
