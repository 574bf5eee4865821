"""Data for declared trainings, and their recipes at a scale, fitted to that data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from resnets.data.cifar import CIFAR10
from resnets.data.load import load_data
from resnets.data.splits import DataSplits
from resnets.detection.annotations import DetectionSplits
from resnets.detection.sources import DETECTION_SOURCES
from resnets.errors import DataError, UsageError
from resnets.localisation.boxed_images import LocalisationSplits
from resnets.localisation.sources import LOCALISATION_SOURCES
from resnets.networks import registry
from resnets.paper.declarations import Protocol
from resnets.planning.dataset_stats import KNOWN, DatasetStats, unread
from resnets.records.evaluations import Scale
from resnets.report.runs import SHORT
from resnets.specs import (
    PUBLISHED_IMAGES,
    Departure,
    DetectionRecipe,
    LocalisationRecipe,
    PhotoAugmentation,
    Recipe,
    Setting,
    identify,
)
from resnets.training.default_recipe import recipe_of_kind
from resnets.training.recipes import DIGITS, RECIPES

SMOKE_ITERATIONS = 5
SMOKE_IMAGES, SMOKE_TESTS = 2_000, 400  # that a smoke run trains on and is tested on, at most
SMOKE_PHOTOS = 32  # in a mini-batch: as many as share batch-norm statistics

TRAINING_TESTS: tuple[Protocol, ...] = ("single-view", "center-crop")  # by which training itself tests at its end

Data = str | DataSplits | DetectionSplits | LocalisationSplits

D = TypeVar("D", DataSplits, DetectionSplits, LocalisationSplits)
R = TypeVar("R", Recipe, DetectionRecipe, LocalisationRecipe)


def given_as(kind: type[D], given: Sequence[Data]) -> list[str | D]:
    """Return what was given of one kind of data set, by a source or as an object."""
    return [one for one in given if isinstance(one, kind) or (isinstance(one, str) and _kind(one) is kind)]


def _kind(source: str) -> type[Any]:
    name = source.partition(":")[0]
    if name in DETECTION_SOURCES:
        return DetectionSplits
    return LocalisationSplits if name in LOCALISATION_SOURCES else DataSplits


class MissingData(UsageError):
    """A training cannot be run on what is given; says what would be right."""


@dataclass(frozen=True, eq=False)
class ResolvedData:
    """A data set as a network takes it; `name` is its name in a result, `source` the source that was given.

    One that was not read is `identified` where the digest of its content is declared: its runs are then known by it.
    """

    name: str
    source: str | None
    splits: DataSplits
    identified: bool = True


class DataResolver:
    """The data that was given, or else the declared data; each is read once.

    What is named as a declared data set (`cifar10:PATH`) stands for that one; anything else for whatever has none of
    its own. Where only a plan is made and nothing `reads` images, known data sets named without a path are as declared,
    and need not be there.
    """

    def __init__(self, given: Sequence[Data], scale: Scale, *, reads: bool = True) -> None:
        self.given = given_as(DataSplits, given)
        self.scale = scale
        self._declared = {} if reads else KNOWN
        self._load = cache(load_data)
        self._resolved: dict[object, ResolvedData] = {}

    def resolve(self, training: Setting, protocols: Sequence[Protocol] = ()) -> ResolvedData:
        """Return the data of a training that is to be tested by these protocols.

        Raises: MissingData, if nothing that is given will do; UsageError or DataError, if it cannot be read.
        """
        data = self._choose(training)
        small = registry.declare(training.network).type == "cifar"
        key = (data if isinstance(data, str) else id(data), training.data, small)
        if key not in self._resolved:
            self._resolved[key] = self._read(data, training)
        found = self._resolved[key]
        photos = isinstance(RECIPES.find(training.recipe).augmentation, PhotoAugmentation)
        trial = self.scale == "smoke" and (not protocols or any(one in TRAINING_TESTS for one in protocols))
        if photos and found.splits.train.kind == "arrays" and not trial:
            raise MissingData(f"{training.network} is made for photos, which {found.name} are not: --data folder:PATH")
        return found

    def _choose(self, training: Setting) -> str | DataSplits:
        kinds = [one.partition(":")[0] if isinstance(one, str) else one.name for one in self.given]
        for one, kind in zip(self.given, kinds, strict=True):
            if kind == training.data:
                return one
        for one, kind in zip(self.given, kinds, strict=True):
            if kind not in PUBLISHED_IMAGES:
                return one
        fetched = training.data == CIFAR10.name or training.data not in PUBLISHED_IMAGES  # or is a source
        if fetched or training.data in self._declared:
            return training.data
        raise MissingData(
            f"{training.network} needs {training.data}: --data {training.data}:PATH names its folder, or --data "
            f"folder:PATH other photos"
        )

    def _read(self, data: str | DataSplits, training: Setting) -> ResolvedData:
        if isinstance(data, str) and data in self._declared:
            return self._unread(self._declared[data], registry.decoded_side(training.network))
        try:
            whole = self._load(data)
        except DataError as error:
            if any(data is one for one in self.given):
                raise
            raise MissingData(str(error)) from error  # not fetched; what needs other data may still be run
        splits = few(whole) if self.scale == "smoke" else whole
        name = training.data
        if data != training.data or name in PUBLISHED_IMAGES:  # else the source is the one that a row declares
            name = identify(
                whole.name,
                digest=whole.digest,
                train=len(whole.train),
                test=len(whole.test),
                classes=len(whole.classes),
            )
        decoded = load_data(splits, registry.decoded_side(training.network))
        return ResolvedData(in_part(name, splits, whole), data if isinstance(data, str) else None, decoded)

    def _unread(self, kind: DatasetStats, decoded_side: int | None) -> ResolvedData:
        splits = whole = unread(kind, decoded_side)
        if self.scale == "smoke" and (fewer := kind.at_most(train=SMOKE_IMAGES, test=SMOKE_TESTS)) is not kind:
            splits = unread(fewer, decoded_side)
        return ResolvedData(in_part(kind.name, splits, whole), kind.name, splits, splits.digest is not None)


def is_declared(training: Setting, data: ResolvedData) -> bool:
    """Return whether data is what a training declares, by its source or its name."""
    source = data.source or ""
    return training.data in (source, source.partition(":")[0], data.splits.name)


def in_part(name: str, splits: D, whole: D) -> str:
    """Return the name of a data set, and where only some of its images are used how many."""
    return name if splits is whole else f"{name} ({len(splits.train):,} + {len(splits.test):,} images)"


def few(splits: DataSplits) -> DataSplits:
    """Return so few of the images, evenly spaced, that a smoke run takes seconds; a dataset object stays as it is."""
    if splits.train.kind == "tensors":
        return splits
    train, test = splits.train.subsample(SMOKE_IMAGES), splits.test.subsample(SMOKE_TESTS)
    if train is splits.train and test is splits.test:
        return splits
    digest = f"{train.digest() or ''}:{test.digest() or ''}"
    return dataclasses.replace(splits, train=train, test=test, digest=digest, source_digest=None)


def further_tests(protocols: Sequence[Protocol], data: ResolvedData) -> tuple[Protocol, ...]:
    """Return the protocols of further tests, after training's own: of photos alone."""
    if data.splits.test.kind != "photos":
        return ()
    return tuple(protocol for protocol in protocols if protocol not in TRAINING_TESTS)


def shortened(recipe: R) -> R:
    """Return a recipe at the scale `short`."""
    return recipe.scaled(round(recipe.iterations / SHORT))


def fit_recipe(training: Setting, scale: Scale, splits: DataSplits) -> Recipe:
    """Return the declared recipe at a scale, with the augmentation that images of another kind need.

    Images in memory are padded and cropped, those of fewer than 16 pixels a side as the digits are.
    """
    recipe = RECIPES.find(training.recipe)
    own = recipe_of_kind(splits.train)
    photos = isinstance(recipe.augmentation, PhotoAugmentation)
    if splits.train.kind == "arrays" and (photos or own is DIGITS):
        side = splits.train.side
        fitted = Departure(f"augmentation as in the recipe {own.name}", f"the images are of {side}x{side} pixels")
        recipe = recipe.with_changes(augmentation=own.augmentation, departures=(*recipe.departures, fitted))
    if scale == "short":
        return shortened(recipe)
    if scale == "smoke":
        recipe = recipe.scaled(SMOKE_ITERATIONS).with_changes(evaluate_every=math.ceil(SMOKE_ITERATIONS / 2))
        if splits.train.kind == "photos":
            recipe = recipe.with_changes(batch_size=min(recipe.batch_size, SMOKE_PHOTOS))
    return recipe
