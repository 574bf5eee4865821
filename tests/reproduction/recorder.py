"""An observer of a run that remembers what it hears."""

from __future__ import annotations

from collections.abc import Callable

from resnets.records.runs import LogLine, Result, RunRecord


class Recorder:
    """Remembers a run's start, iterations and result, and may do something after an iteration."""

    def __init__(self, after: int | None = None, do: Callable[[], None] = lambda: None) -> None:
        self.after, self.do = after, do
        self.began_at: int | None = None
        self.iterations: list[int] = []
        self.result: Result | None = None
        self.closes = 0

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        self.began_at = iteration

    def logged(self, line: LogLine) -> None:
        self.iterations.append(line.iteration)
        if line.iteration == self.after:
            self.do()

    def finished(self, result: Result) -> None:
        self.result = result

    def closed(self) -> None:
        self.closes += 1
