"""Several trainings in one process, which take turns: alone, a network for small images leaves most of a GPU idle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import torch

from resnets.data.shared_batches import BatchPool
from resnets.errors import TrainingError
from resnets.runtime.signals import StopRequest
from resnets.runtime.turns import Session, take_turns

TRAINING_FAILURES = (TrainingError, MemoryError, torch.OutOfMemoryError)
"""Failures that end one training and leave others possible: a loss that is not finite, too little memory."""

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
    """What the trainings of a process have in common: the request to stop them, and mini-batches that they share."""

    stop: StopRequest
    trainings: int = 1
    pool: BatchPool | None = None


def train_together(
    starts: Sequence[Callable[[Process], Session[T]]], device: torch.device, depths: Sequence[int]
) -> list[T | Exception]:
    """Train several networks in one process, and return the result of each, of one that fails its error.

    Each gets the weights that it would get alone. Where their images, seed and augmentation are the same, each
    mini-batch is made once; on a GPU they run at the same time.

    Args:
        starts: make the sessions.
        device: of all.
        depths: of their networks.

    Raises: an error that is no failure of a training, once all others have saved; Interrupted after a signal.
    """
    with StopRequest() as stop, closing(BatchPool()) as pool:
        process = Process(stop, len(starts), pool if len(starts) > 1 else None)
        sessions = [start(process) for start in starts]
        return take_turns(sessions, device, stop, depths=depths, failures=TRAINING_FAILURES)
