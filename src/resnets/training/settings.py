"""Settings of trainings by name: those of a public call, with their types, and those that every training has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from resnets.errors import UsageError, as_declared, require_at_least
from resnets.specs import NetworkSettings, Recipe
from resnets.training.loss import ClassWeights


class RecipeSettings(TypedDict, total=False):
    """Fields of a recipe that a training may change; None keeps the recipe's."""

    batch_size: int | None
    lr: float | None
    momentum: float | None
    weight_decay: float | None
    label_smoothing: float | None
    bn_images: int | None
    ema: float | None
    evaluate_every: int | None


class SharedSettings(TypedDict, total=False):
    """Settings of any training by name; `RunSettings` has their meanings and defaults."""

    seed: int
    iterations: int | None
    size: int | None
    device: str
    precision: str
    workers: int
    save_every: int | None


class TrainSettings(RecipeSettings, NetworkSettings, SharedSettings, total=False):
    """All settings of a classifier's training by name; `TrainingConfig` has their meanings and defaults."""

    recipe: str | Recipe | None
    weights: str | Path | None
    teacher: str | Path | None
    temperature: float | None
    teacher_weight: float | None
    split: str
    class_weights: ClassWeights
    epochs: float | None
    decode: str | None
    accumulate: int


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of any training, of a classifier or a detector. Raises: UsageError, naming one that is impossible."""

    weights: str | Path | None = None  # to start from, by `find_weights`; None: random ones
    seed: int = 0  # of initialisation, data order and augmentation
    iterations: int | None = None  # length; the recipe's milestones move in proportion
    size: int | None = None  # training crop size, or a detector's shorter side, in pixels
    device: str = "auto"
    precision: str = "auto"
    workers: int = 2  # data-loading processes
    save_every: int | None = None  # iterations between checkpoints; None: every 30 seconds or more
    recipe_changes: Mapping[str, Any] = field(default_factory=dict)  # by field of the recipe

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            object.__setattr__(self, one.name, as_declared(one.name, getattr(self, one.name), one.type))
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed is {self.seed}; it must be 0 or more and below 2**63")
        require_at_least(0, workers=self.workers)
        if self.save_every is not None and self.save_every < 1:
            raise UsageError(f"save_every is {self.save_every} iterations; it must be 1 or more")


def separated(
    config: type[RunSettings],
    recipe: type[Recipe],
    shorter: Mapping[str, str],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return settings by name as fields of a configuration, those of its recipe as its changes; None changes nothing.

    `shorter` are names of settings for fields of the recipe.
    """
    own = {one.name for one in dataclasses.fields(config)} - {"recipe_changes"}
    of_recipe = {name: name for name in recipe.__struct_fields__} | dict(shorter)
    changes = {of_recipe[name]: value for name, value in settings.items() if name not in own and value is not None}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    return {name: settings[name] for name in own & settings.keys()} | {"recipe_changes": changes}
