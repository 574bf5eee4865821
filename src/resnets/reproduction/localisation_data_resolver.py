"""Data for declared localisers, what they start from, and their recipes at a scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnets.files import sha256_of
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits
from resnets.localisation.recipes import LOCALISATION_RECIPES
from resnets.localisation.sources import load_localisation_data
from resnets.records.evaluations import Scale
from resnets.report.runs import SHORT
from resnets.reproduction.data_resolver import Data, MissingData, is_localisation_data
from resnets.reproduction.detection_data_resolver import WithStart, find_start, named_weights
from resnets.reproduction.tasks import Task
from resnets.specs import LocalisationRecipe, Setting

IMAGENET_LOC = "imagenet-loc"
CLASSES, TESTED = 1_000, 50_000  # of ImageNet; how many training images have boxes differs a little by the copy
SMOKE_ITERATIONS, SMOKE_SIDE = 2, 64
SMOKE_IMAGES, SMOKE_TESTS = 16, 4  # that a smoke run trains on and is tested on, at most


class ResolvedLocalisationData(WithStart):
    """A localisation data set, and the classifier that localisers start from."""

    splits: LocalisationSplits


class LocalisationDataResolver:
    """The localisation data and the weights that were given, and the runs that an earlier call made.

    `weights` are `NETWORK=FILE`.
    """

    def __init__(self, given: Sequence[Data], weights: Sequence[str], scale: Scale, out: Path) -> None:
        self.given = [one for one in given if is_localisation_data(one)]
        self.weights = [named_weights(one) for one in weights]
        self.scale = scale
        self.out = out
        self._splits: LocalisationSplits | None = None

    def resolve(self, task: Task) -> ResolvedLocalisationData:
        """Return the data that a localiser is trained on, and what it starts from.

        Raises: MissingData, if nothing that is given will do; UsageError or DataError, if it cannot be read.
        """
        training = task.training
        if not self.given:
            raise MissingData(f"the localiser on {training.network} needs {training.data}: --data clsloc:PATH names it")
        start = find_start(self.weights, self.out, self.scale, training.network, "localiser")
        source = self.given[0] if isinstance(self.given[0], str) else None
        if self._splits is None:
            found = self.given[0]
            self._splits = load_localisation_data(found) if isinstance(found, str) else found  # type: ignore[assignment]
        whole = self._splits
        assert whole is not None
        splits = few(whole) if self.scale == "smoke" else whole
        name = IMAGENET_LOC if (len(whole.classes), len(whole.test)) == (CLASSES, TESTED) else whole.name
        if splits is not whole:
            name += f" ({len(splits.train):,} + {len(splits.test):,} images)"
        return ResolvedLocalisationData(name, source, splits, start, None if start is None else sha256_of(start))


def few(splits: LocalisationSplits) -> LocalisationSplits:
    """Return so few of the images, evenly spaced, that a smoke run takes seconds."""
    train, test = _some(splits.train, SMOKE_IMAGES), _some(splits.test, SMOKE_TESTS)
    if train is splits.train and test is splits.test:
        return splits
    digest = f"{splits.digest} ({len(train)} + {len(test)})"
    return dataclasses.replace(splits, train=train, test=test, validation=None, blacklist=frozenset(), digest=digest)


def _some(images: BoxedImages, count: int) -> BoxedImages:
    if len(images) <= count:
        return images
    return images.select(np.arange(count, dtype=np.int64) * len(images) // count)


def fit_recipe(training: Setting, scale: Scale) -> LocalisationRecipe:
    """Return the declared recipe at a scale; in a smoke run crops are small."""
    recipe = LOCALISATION_RECIPES.find(training.recipe)
    if scale == "short":
        return recipe.scaled(round(recipe.iterations / SHORT))
    if scale == "full":
        return recipe
    return recipe.scaled(SMOKE_ITERATIONS).with_crops(SMOKE_SIDE).with_changes(batch_size=8, proposals=8)
