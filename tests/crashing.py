"""Runs that die."""

from __future__ import annotations

from resnets.records.runs import LogLine


class Crash(Exception):
    """Stands for a process that dies: nothing is saved when it is raised."""


class CrashAt:
    """An observer that ends the run at a line of the log."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def started(self, *_: object) -> None: ...

    def logged(self, line: LogLine) -> None:
        if line.iteration == self.iteration:
            raise Crash

    def finished(self, *_: object) -> None: ...

    def closed(self) -> None: ...
