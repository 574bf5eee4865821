"""What all contenders of a run share: the device, the images, and a folder that goes away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.images import Images


@dataclass(frozen=True)
class Setting:
    """Travels to each contender's process."""

    device: str
    images: Images
    scratch: Path
    modules: tuple[str, ...] = ()  # that register what is measured

    def on(self) -> torch.device:
        """Return the device."""
        return torch.device(self.device)
