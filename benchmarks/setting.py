"""Setting that all candidates of a run share: the device, the images, and a temporary folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.images import Images


@dataclass(frozen=True)
class Setting:
    """Device, images and folder, sent to each candidate's process."""

    device: str
    images: Images
    scratch: Path
    modules: tuple[str, ...] = ()  # that register what is measured

    def on(self) -> torch.device:
        """Return the device."""
        return torch.device(self.device)
