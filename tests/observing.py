"""Observers of runs: one that remembers its calls, and one that ends the run."""

from __future__ import annotations

from collections.abc import Callable

from resnets.records.runs import LogLine, Result, RunRecord
from resnets.training.observers import Observer


class Crash(Exception):
    """Stands for a process that dies: nothing is saved when it is raised."""


class Recorder(Observer):
    """Remembers a run's start, lines and result, and may do something when an iteration is logged."""

    def __init__(self, after: int | None = None, do: Callable[[], object] | None = None) -> None:
        self.after, self.do = after, do
        self.began_at: int | None = None
        self.notes: list[str] = []
        self.lines: list[LogLine] = []
        self.result: Result | None = None
        self.closings = 0

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        self.began_at, self.notes = iteration, notes

    def logged(self, line: LogLine) -> None:
        self.lines.append(line)
        if self.do is not None and line.iteration == self.after:
            self.do()

    def finished(self, result: Result) -> None:
        self.result = result

    def closed(self) -> None:
        self.closings += 1


class CrashAt(Recorder):
    """Raises an error when a line is logged; a crash ends the run."""

    def __init__(self, iteration: int, error: type[Exception] = Crash) -> None:
        super().__init__(iteration, self.fail)
        self.error = error

    def fail(self) -> None:
        raise self.error
