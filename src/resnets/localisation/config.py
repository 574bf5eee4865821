"""Localiser settings, resolved into a training. Appendix C."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, Unpack

import torch

from resnets.detection.detector import classifier
from resnets.errors import DataError, UsageError, warn
from resnets.localisation.boxed_images import LocalisationSplits
from resnets.localisation.localiser import PARTS, Localiser, load_localiser
from resnets.localisation.networks import PerClass
from resnets.localisation.recipes import LOCALISATION_RECIPES, default_recipe
from resnets.localisation.sources import load_localisation_data
from resnets.networks import registry
from resnets.records.runs import RunRecord
from resnets.runtime.device import choose_device, choose_precision
from resnets.runtime.processes import ALONE
from resnets.runtime.provenance import provenance
from resnets.specs import InputSpec, LocalisationRecipe, Preprocessing
from resnets.specs.localisation import OF_STAGES
from resnets.training.config import network_record
from resnets.training.resolved import ResolvedTraining, data_record
from resnets.training.settings import RunSettings, SharedSettings, separated
from resnets.training.start import Start, find_start, start_record

RECIPE_SETTINGS = {"anchors": "anchor_sizes"}
"""Settings whose names are shorter than those of the recipe's fields."""

STAGES = {"rpn": "a per-class RPN", "rcnn": "a per-class R-CNN"}


class LocaliserSettings(SharedSettings, total=False):
    """All settings of a localiser's training by name, but for its weights and RPN; None keeps what the recipe has."""

    recipe: str | LocalisationRecipe | None
    split: str
    batch_size: int | None
    lr: float | None
    momentum: float | None
    weight_decay: float | None
    box_weight: float | None
    anchors: Sequence[int] | None
    anchors_per_image: int | None
    proposals: int | None
    regions_per_image: int | None
    evaluate_every: int | None


@dataclass(frozen=True, kw_only=True)
class LocalisationConfig(RunSettings):
    """Settings of a localiser's training. `weights` are of a classifier, `rpn` those of a trained per-class RPN."""

    recipe: str | LocalisationRecipe | None = None  # None: the paper's, for an R-CNN where there is an RPN
    rpn: str | Path | None = None
    split: str = "all"  # or a share of the training images to validate on: 10%

    @classmethod
    def from_settings(
        cls, weights: str | Path | None, rpn: str | Path | None, **settings: Unpack[LocaliserSettings]
    ) -> Self:
        """Return the configuration of settings by name, those of the recipe among them; None leaves a default."""
        divided = separated(cls, LocalisationRecipe, RECIPE_SETTINGS, settings)
        return cls(weights=weights, rpn=rpn, **divided)

    def resolve_recipe(self) -> LocalisationRecipe:
        """Return the recipe with its changes. Raises: UsageError, if there is none, or a change is impossible."""
        chosen = self.recipe or default_recipe("rpn" if self.rpn is None else "rcnn")
        base = LOCALISATION_RECIPES.find(chosen) if isinstance(chosen, str) else chosen
        if (base.stage == "rcnn") != (self.rpn is not None):
            needs = "needs a trained RPN, as rpn" if base.stage == "rcnn" else "is of an RPN, which needs no other"
            raise UsageError(f"recipe {base.name!r} {needs}")
        names = {field: name for name, field in RECIPE_SETTINGS.items()}
        for stage, fields in OF_STAGES.items():
            if stage != base.stage and (others := [name for name in fields if name in self.recipe_changes]):
                raise UsageError(
                    f"{names.get(others[0], others[0])} is a setting of {STAGES[stage]}; recipe {base.name!r} trains "
                    f"{STAGES[base.stage]}"
                )
        sized = base if self.size is None else base.with_crops(self.size)
        changed = sized.with_changes(**self.recipe_changes)
        return changed if self.iterations is None else changed.scaled(self.iterations)


@dataclass(frozen=True, eq=False, kw_only=True)
class LocaliserTraining(ResolvedTraining):
    """A localiser's training, resolved; `rpn` is the one whose proposals a per-class R-CNN is trained on."""

    network: PerClass
    data: LocalisationSplits
    recipe: LocalisationRecipe
    rpn: Localiser | None


def resolve(
    network: str,
    data: str | LocalisationSplits,
    config: LocalisationConfig,
    earlier: Callable[[str], RunRecord | None] = lambda _: None,
) -> LocaliserTraining:
    """Return the training of a localiser on a network by name; torch's random state is set from the seed.

    `earlier` returns, for the name of the data, the record of the run that is to be resumed, where there is one.

    Raises: UsageError, DataError, WeightsError.
    """
    registry.declare(network)  # a wrong name is reported before the data is read
    device = choose_device(config.device)
    recipe = config.resolve_recipe()
    whole = load_localisation_data(data) if isinstance(data, str) else data
    splits = whole.divided(config.split, config.seed)
    start = None
    if config.weights is None:
        warn("a localiser that starts from random weights learns little: start from a classifier")
    else:
        start = find_start(config.weights, network, ALONE, lambda: earlier(splits.name))
    rpn = None if config.rpn is None else _first_stage(config.rpn, splits, str(device))
    input_spec = _input(start, splits, recipe)
    colours = splits.train.files.fit_augmentation(recipe.augmentation)
    recipe = recipe.with_changes(augmentation=colours)
    torch.manual_seed(config.seed)
    made = PARTS[recipe.stage](_backbone(network, start), len(splits.classes), recipe, input_spec)  # type: ignore[call-arg]
    precision = choose_precision(config.precision, device)
    return LocaliserTraining(
        network=made,
        data=splits,
        recipe=recipe,
        rpn=rpn,
        device=device,
        precision=precision,
        record=RunRecord(
            network=network_record(made, detector=recipe.stage),
            recipe=recipe,
            data=data_record(splits, data, split=config.split),
            seed=config.seed,
            precision=precision,
            start=None if start is None else start.record,
            rpn=None if rpn is None else _rpn_record(config.rpn, rpn),
            workers=config.workers,
            provenance=(provenance(device),),
        ),
        keep_precision=config.precision == "auto",
        save_every=config.save_every,
        notes=splits.notes,
    )


def _first_stage(path: str | Path, splits: LocalisationSplits, device: str) -> Localiser:
    rpn = load_localiser(path, device=device)
    if rpn.classes != splits.classes:
        raise DataError(f"{splits.name} has other classes than the RPN {rpn.path} was trained on")
    return dataclasses.replace(rpn, rcnn=None)


def _rpn_record(source: str | Path | None, rpn: Localiser) -> Any:
    record = start_record(source or "", rpn.path, classes=len(rpn.classes))
    return record.with_changes(of="localiser")


def _input(start: Start | None, splits: LocalisationSplits, recipe: LocalisationRecipe) -> InputSpec:
    """Return the input of the weights for the recipe's crops, or one that is fitted to the training images."""
    preprocessing = recipe.preprocessing or Preprocessing()
    return splits.train.files.fit_input(preprocessing, recipe.augmentation, None if start is None else start.input_spec)


def _backbone(network: str, start: Start | None) -> torch.nn.Module:
    """Return the network with the weights to start from; a resumed run has its own."""
    if start is None or start.weights is not None:
        return classifier(network, None if start is None else start.weights)
    assert start.spec is not None
    return registry.build(start.spec)
