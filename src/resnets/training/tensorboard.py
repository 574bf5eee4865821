"""The log of a run as TensorBoard events."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class TensorBoard:
    """An observer that writes each logged number to a folder of events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def started(self, description: dict[str, Any], iteration: int, notes: list[str]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # events after a resumed iteration are those of an interrupted stretch: purge_step hides them
        self.writer = SummaryWriter(str(self.folder), purge_step=iteration + 1 if iteration else None)

    def logged(self, line: dict[str, Any]) -> None:
        for name, value in line.items():
            if name not in ("iteration", "images"):
                self.writer.add_scalar(name, value, line["iteration"])

    def finished(self, result: dict[str, Any]) -> None:
        pass

    def closed(self) -> None:
        if hasattr(self, "writer"):
            self.writer.close()
