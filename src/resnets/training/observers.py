"""Observers of a run: what they are called with, and the one that writes TensorBoard events."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from resnets.records.runs import LogLine, Result, RunRecord


class Observer(Protocol):
    """Is called as a run proceeds, for example to show it; what it raises ends the run, which can be continued."""

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None: ...

    def logged(self, line: LogLine) -> None: ...

    def finished(self, result: Result) -> None: ...

    def closed(self) -> None: ...


class TensorBoard:
    """An observer that writes each logged number to a folder of events.

    metrics.jsonl has the same numbers, so without the package, or where the events cannot be written, there is a
    warning and the run goes on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter

            # what an interrupted session wrote after the iteration that the run continues from is hidden
            self.writer = SummaryWriter(str(self.folder), purge_step=iteration + 1)
        except ImportError:
            warnings.warn("no events for TensorBoard are written: the package tensorboard is missing", stacklevel=2)
        except OSError as error:
            self._give_up(error)

    def logged(self, line: LogLine) -> None:
        numbers = msgspec.to_builtins(line)
        numbers |= numbers.pop("losses", {})
        try:
            for name, value in numbers.items():
                if self.writer is not None and name not in ("iteration", "images"):
                    self.writer.add_scalar(name, value, line.iteration)
        except OSError as error:
            self._give_up(error)

    def finished(self, result: Result) -> None:
        pass

    def closed(self) -> None:
        if self.writer is not None:
            with suppress(OSError):
                self.writer.close()

    def _give_up(self, error: OSError) -> None:
        self.writer = None
        warnings.warn(f"{self.folder}: no further events are written ({error.strerror or error})", stacklevel=3)
