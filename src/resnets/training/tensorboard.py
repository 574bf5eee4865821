"""The log of a run as TensorBoard events."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any


class TensorBoard:
    """An observer that writes each logged number to a folder of events.

    metrics.jsonl has the same numbers, so without the package, or where the events cannot be written, there is a
    warning and the run goes on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def started(self, description: dict[str, Any], iteration: int, notes: list[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter

            # whatever an interrupted stretch wrote after the iteration that the run continues from is hidden
            self.writer = SummaryWriter(str(self.folder), purge_step=iteration + 1)
        except ImportError:
            warnings.warn("no events for TensorBoard are written: the package tensorboard is missing", stacklevel=2)
        except OSError as error:
            self._give_up(error)

    def logged(self, line: dict[str, Any]) -> None:
        try:
            for name, value in line.items():
                if self.writer is not None and name not in ("iteration", "images"):
                    self.writer.add_scalar(name, value, line["iteration"])
        except OSError as error:
            self._give_up(error)

    def finished(self, result: dict[str, Any]) -> None:
        pass

    def closed(self) -> None:
        if self.writer is not None:
            with suppress(OSError):
                self.writer.close()

    def _give_up(self, error: OSError) -> None:
        self.writer = None
        warnings.warn(f"{self.folder}: no further events are written ({error.strerror or error})", stacklevel=3)
