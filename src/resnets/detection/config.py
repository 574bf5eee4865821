"""Detector settings, resolved into a training. Section 4.3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, Unpack

import torch

from resnets.detection.annotations import DetectionSplits
from resnets.detection.detector import (
    Detector,
    classifier,
    detector_input,
    is_detector,
    load_detector,
    recalibrate,
)
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.fine_tuning import fine_tuned
from resnets.detection.recipes import DETECTION_RECIPES, default_recipe
from resnets.detection.score import Score, require_objects, score_for
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError, warn
from resnets.networks import registry
from resnets.records.runs import RunRecord, StartRecord
from resnets.runtime.device import choose_device, choose_precision
from resnets.runtime.processes import ALONE, World
from resnets.runtime.provenance import provenance
from resnets.specs import DetectionRecipe, InputSpec, NetworkSpec, RoIPooling
from resnets.training.config import network_record
from resnets.training.resolved import ResolvedTraining, data_record
from resnets.training.settings import RunSettings, SharedSettings, separated
from resnets.training.start import find_in_turn, resumed_from, start_record
from resnets.weights.sources import is_published
from resnets.weights.weights_file import Weights

RECIPE_SETTINGS = {"anchors": "anchor_sizes", "regions": "regions_per_image", "context": "global_context"}
"""Settings whose names are shorter than those of the recipe's fields."""


class DetectorSettings(SharedSettings, total=False):
    """All settings of a detector's training by name, but for its weights; None keeps what the recipe has."""

    recipe: str | DetectionRecipe | None
    classes: Sequence[str] | None
    batch_size: int | None
    lr: float | None
    momentum: float | None
    weight_decay: float | None
    anchors: Sequence[int] | None
    regions: int | None
    frozen_stages: int | None
    roi_pooling: RoIPooling | None
    roi_size: int | None
    context: bool | None
    evaluate_every: int | None


@dataclass(frozen=True, kw_only=True)
class DetectionConfig(RunSettings):
    """Settings of a detector's training. `weights` are of a classifier, or of a detector to fine-tune."""

    recipe: str | DetectionRecipe | None = None  # None: the one for the data
    classes: Sequence[str] | None = None  # to use; None: all that are found

    @classmethod
    def from_settings(cls, weights: str | Path | None, **settings: Unpack[DetectorSettings]) -> Self:
        """Return the configuration of settings by name, those of the recipe among them; None leaves a default."""
        return cls(weights=weights, **separated(cls, DetectionRecipe, RECIPE_SETTINGS, settings))

    @property
    def masks(self) -> bool:
        """Whether the recipe has masks, which the data must then have."""
        base = DETECTION_RECIPES.find(self.recipe) if isinstance(self.recipe, str) else self.recipe
        return bool(self.recipe_changes.get("masks", base is not None and base.masks))

    def resolve_recipe(self, protocol: str) -> DetectionRecipe:
        """Return the recipe with its changes, by default the one for data that is scored by a protocol.

        Raises: UsageError, if there is no such recipe, or a change is impossible.
        """
        base = (
            DETECTION_RECIPES.find(self.recipe)
            if isinstance(self.recipe, str)
            else self.recipe or default_recipe(protocol)
        )
        sides = {}
        if self.size is not None:
            sides = {"shorter_side": self.size, "longest_side": round(self.size * 5 / 3)}  # as 1000 to 600
        changed = base.with_changes(**sides, **self.recipe_changes)
        return changed if self.iterations is None else changed.scaled(self.iterations)


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectorTraining(ResolvedTraining):
    """A detector's training, resolved."""

    network: FasterRCNN
    data: DetectionSplits
    recipe: DetectionRecipe
    score: Score


def resolve(
    network: str,
    data: str | DetectionSplits,
    config: DetectionConfig,
    world: World = ALONE,
    earlier: Callable[[str], RunRecord | None] = lambda _: None,
) -> DetectorTraining:
    """Return the training of a detector on a network by name; torch's random state is set from the seed.

    `earlier` returns, for the name of the data, the record of the run that is to be resumed, where there is one.

    Raises: UsageError, DataError, WeightsError.
    """
    registry.declare(network)  # a wrong name is reported before the data is read
    device = choose_device(config.device if world.size == 1 else world.device)
    if config.classes is not None and not isinstance(data, str):
        raise UsageError("classes are chosen of data that is given by its source")
    splits = load_detection_data(data, config.classes, masks=config.masks) if isinstance(data, str) else data
    start = _find_start(network, config.weights, world, lambda: earlier(splits.name))
    recipe = config.resolve_recipe(splits.protocol)
    if recipe.masks and any(image.masks is None for image in (*splits.train, *(splits.validation or ()))):
        raise DataError(f"{splits.name}: its objects have no masks; `load_detection_data(..., masks=True)` reads them")
    _require_trainable(splits, named=config.classes is not None)
    torch.manual_seed(config.seed)
    detector = _build(network, start, splits, recipe)
    if "roi_size" in config.recipe_changes and detector.roi_size != recipe.roi_size:
        raise UsageError(f"roi_size is {recipe.roi_size}; {network} has {detector.roi_size}, which its fc6 takes")
    precision = choose_precision(config.precision, device)
    return DetectorTraining(
        network=detector,
        data=splits,
        recipe=recipe,
        score=score_for(splits),
        device=device,
        precision=precision,
        record=RunRecord(
            network=network_record(detector, detector="faster_rcnn"),
            recipe=recipe,
            data=data_record(splits, data, repairs=len(splits.repairs)),
            seed=config.seed,
            precision=precision,
            start=None if start is None else start.record,
            workers=config.workers,
            provenance=(provenance(device, world.size),),
        ),
        keep_precision=config.precision == "auto",
        save_every=config.save_every,
        notes=tuple(splits.remarks()),
        world=world,
    )


@dataclass(frozen=True)
class _Start:
    """Where a detector starts: another one, a classifier's weights, or those in the checkpoint of a resumed run."""

    record: StartRecord
    input: InputSpec | None
    weights: Detector | Weights | NetworkSpec


def _find_start(
    network: str, source: str | Path | None, world: World, earlier: Callable[[], RunRecord | None]
) -> _Start | None:
    """Return the start from a detector, or from weights of any source of a classifier. Raises: WeightsError."""
    if source is None:
        warn("a detector that starts from random weights learns little: batch norm is frozen")
        return None
    if (run := resumed_from(source, network, earlier, world)) is not None and run.start is not None:
        assert run.network.spec is not None
        return _Start(run.start, run.start.input, run.network.spec)
    if not is_published(source) and is_detector(Path(source)):
        detector = load_detector(source, device="cpu")
        its_input = detector.network.input
        record = start_record(source, detector.path, classes=len(detector.classes), input_spec=its_input, detector=True)
        return _Start(record, its_input, detector)
    found = find_in_turn(source, network, world).weights
    record = start_record(source, found.path, classes=_classes_of(found), input_spec=found.input_spec)
    return _Start(record, found.input_spec, found)


def _classes_of(weights: Weights) -> int | None:
    """Return the number of classes of a classifier's weights, where it is known."""
    if weights.classes is not None:
        return len(weights.classes)
    last = [weights.tensors[name] for name in ("fc.weight", "classifier.6.weight") if name in weights.tensors]
    return len(last[0]) if last else None


def _build(network: str, start: _Start | None, splits: DetectionSplits, recipe: DetectionRecipe) -> FasterRCNN:
    weights = None if start is None else start.weights
    if isinstance(weights, Detector):
        return fine_tuned(weights, network, splits.classes, recipe)
    input = detector_input(None if start is None else start.input, splits.train)
    backbone = registry.build(weights) if isinstance(weights, NetworkSpec) else classifier(network, weights)
    if start is None:
        recalibrate(backbone, splits.train)
    return FasterRCNN(backbone, len(splits.classes), recipe, input)


def _require_trainable(splits: DetectionSplits, *, named: bool) -> None:
    """Verify that there are objects to learn, of each class where they were `named`, and objects to score.

    Raises: DataError; UsageError, for a class that was named.
    """
    absent = splits.untrained()
    if len(absent) == len(splits.classes):
        raise DataError(f"{splits.name}: no object to learn is in any of the {len(splits.train):,} training images")
    if named and absent:
        raise UsageError(f"class {absent[0]!r} was requested, and no training image has an object of it")
    for name, split in splits.splits().items():
        if name != "train" and (name != "test" or splits.test_annotated):
            require_objects(split, splits.protocol, f"{splits.name}, {name} images")
