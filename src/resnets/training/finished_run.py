"""Result of a finished run, as the calls that train return it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from resnets.records.runs import Result


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A finished run: where it is, what was trained, and how long it took.

    Fields of a subclass are those of the result with the same name.
    """

    folder: Path
    network: str
    iterations: int
    seed: int
    seconds: float
    images_per_second: float
    already_finished: bool = False

    @classmethod
    def of(cls, folder: Path, result: Result, *, already_finished: bool = False) -> Self:
        """Return what result.json holds."""
        run = result.run
        own: dict[str, Any] = {
            "folder": folder,
            "network": run.network.name,
            "iterations": run.recipe.iterations,
            "seed": run.seed,
            "already_finished": already_finished,
        }
        others = {one.name: getattr(result, one.name) for one in dataclasses.fields(cls) if one.name not in own}
        return cls(**own, **others)
