"""Checkpoints: written whole or not at all, verified when read; the newest valid one is used."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnets.errors import ANOTHER_FOLDER, CheckpointError, TrainingError, WeightsError
from resnets.files import make_folder, reading, writing
from resnets.records.checkpoints import CheckpointHeader, Progress
from resnets.training.state import TrainingState, named
from resnets.weights.tensor_file import parse_tensors, write_tensors
from resnets.weights.weights_file import load_into

KEEP = 2  # the newest, and one before it in case the newest is damaged


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read and verified."""

    path: Path
    tensors: dict[str, Tensor]
    progress: Progress
    skipped: tuple[str, ...] = ()  # why each newer one was not used

    def load_into(self, network: nn.Module) -> None:
        """Load the weights and the batch norm statistics alone. Raises: WeightsError, if they are another network's."""
        load_into(network, named(self.tensors, "network."))


class Checkpoints:
    """The checkpoints in one folder, named by their iteration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Return all, the newest first.

        Raises: CheckpointError, if the folder cannot be read, or is a link to one that is not there.
        """
        with reading(self.folder, CheckpointError), suppress(FileNotFoundError):  # `glob` would find it empty
            found = [path for path in self.folder.iterdir() if re.fullmatch(r"iteration-\d+\.safetensors", path.name)]
            return sorted(found, key=_iteration, reverse=True)
        if self.folder.is_symlink():
            raise CheckpointError(
                f"{self.folder} links to {self.folder.readlink()}, which is not there; mount its disk, or remove the "
                f"link to train from the start"
            )
        return []

    def save(self, state: TrainingState, run: str) -> Path:
        """Write the state and its run's fingerprint, then remove all but it and the one before.

        Raises: TrainingError, if a weight is not finite: such a state is never written.
        Raises: RunError, if it cannot be written; older checkpoints stay.
        """
        if name := _not_finite(state):
            raise TrainingError(f"iteration {state.iteration}: {name} is not finite; no checkpoint of it was written")
        path = self.folder / f"iteration-{state.iteration:08d}.safetensors"
        header = CheckpointHeader(run=run, progress=state.progress())
        with writing(path):
            make_folder(self.folder)
            write_tensors(path, state.tensors(), header)
            self._prune(state.iteration)
        return path

    def _prune(self, iteration: int) -> None:
        """Remove what is older than the newest two up to an iteration, and what is of no use any more.

        A checkpoint of a later iteration is one that was not valid when the run was continued from an earlier one; a
        partial file is what a killed process was writing.
        """
        valid = [path for path in self.paths() if _iteration(path) <= iteration]
        for path in {*self.paths(), *self.folder.glob(".*.partial")} - {*valid[:KEEP]}:
            path.unlink(missing_ok=True)

    def load(self, run: str) -> Checkpoint | None:
        """Return the newest checkpoint that is valid and of this run, or None where there is none at all.

        Raises: CheckpointError, if there are some and none is valid, or one cannot be read, which is no damage.
        """
        skipped: list[str] = []
        for path in self.paths():
            found = self._read(path, run)
            if isinstance(found, Checkpoint):
                return dataclasses.replace(found, skipped=tuple(skipped))
            skipped.append(found)
        if skipped:
            raise CheckpointError(
                f"none of the {len(skipped)} checkpoints in {self.folder} is valid ({skipped[0]}); "
                f"nothing was changed; to train from the start, {ANOTHER_FOLDER}"
            )
        return None

    def valid(self, run: str) -> Iterator[Checkpoint]:
        """Yield the valid ones of this run, the oldest first. Raises: CheckpointError, if one cannot be read."""
        for path in reversed(self.paths()):
            if isinstance(found := self._read(path, run), Checkpoint):
                yield found

    def _read(self, path: Path, run: str) -> Checkpoint | str:
        """Return a checkpoint, or why it is none of this run. Raises: CheckpointError, if it cannot be read."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{path}: failed to read ({error.strerror or error}); nothing was changed; try again, or if that "
                f"fails too, move it elsewhere to continue from the one before"
            ) from error
        try:
            tensors, header = parse_tensors(content, path)
        except WeightsError as error:
            return str(error)
        if not isinstance(header, CheckpointHeader) or header.run != run:
            return f"{path}: is not a checkpoint of this run"
        return Checkpoint(path, tensors, header.progress)


def _iteration(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _not_finite(state: TrainingState) -> str | None:
    """Return the name of a weight or batch norm statistic that is not finite, if there is one.

    Other buffers may hold what they like: the masks of a user's own module are often minus infinity.
    """
    for name, tensor in [*state.network.named_parameters(), *state.network.named_buffers()]:
        checked = isinstance(tensor, nn.Parameter) or name.endswith(("running_mean", "running_var"))
        if checked and not torch.isfinite(tensor).all():
            return name
    return None
