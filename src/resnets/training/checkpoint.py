"""Checkpoints: written whole or not at all, verified when read, the newest that is sound is used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.errors import CheckpointError, TrainingError, WeightsError
from resnets.storage import read_tensors, write_tensors
from resnets.training.state import TrainingState

KEEP = 2  # the newest, and one before it in case the newest is damaged


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read and verified."""

    path: Path
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    skipped: tuple[str, ...]  # why each newer one was not used


class Checkpoints:
    """The checkpoints in one folder, named by their iteration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Return all, the newest first."""
        found = [path for path in self.folder.glob("*.safetensors") if re.fullmatch(r"iteration-\d+", path.stem)]
        return sorted(found, key=lambda path: int(path.stem.split("-")[1]), reverse=True)

    def save(self, state: TrainingState) -> Path:
        """Write the state, then remove all but the newest two.

        Raises: TrainingError, if a weight is not finite: such a state is never written.
        Raises: OSError, if it cannot be written; older checkpoints stay.
        """
        for name, tensor in state.network.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise TrainingError(f"iteration {state.iteration}: {name} is not finite; no checkpoint of it was written")
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"iteration-{state.iteration:08d}.safetensors"
        write_tensors(path, state.tensors(), state.scalars())
        for old in self.paths()[KEEP:]:
            old.unlink(missing_ok=True)
        return path

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint that is sound, or None where there is none at all.

        Raises: CheckpointError, if there are some and none is sound.
        """
        skipped: list[str] = []
        for path in self.paths():
            try:
                tensors, scalars = read_tensors(path)
            except WeightsError as error:
                skipped.append(str(error))
                continue
            return Checkpoint(path, tensors, scalars, tuple(skipped))
        if skipped:
            raise CheckpointError(
                f"none of the {len(skipped)} checkpoints in {self.folder} is sound ({skipped[0]}); nothing was changed. "
                f"To train from the start, choose another folder"
            )
        return None
