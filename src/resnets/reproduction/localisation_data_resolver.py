"""Data for declared localisers, what they start from, and their recipes at a scale."""

from __future__ import annotations

from resnets.localisation.boxed_images import LocalisationSplits
from resnets.localisation.recipes import LOCALISATION_RECIPES
from resnets.localisation.sources import load_localisation_data
from resnets.records.evaluations import Scale
from resnets.reproduction.box_data_resolver import BoxDataResolver, WithStart, fewer, some
from resnets.reproduction.data_resolver import MissingData, in_part, shortened
from resnets.reproduction.tasks import Task
from resnets.specs import LocalisationRecipe, Setting

IMAGENET_LOC = "imagenet-loc"
CLASSES, TESTED = 1_000, 50_000  # of ImageNet; how many training images have boxes differs a little by the copy
SMOKE_ITERATIONS, SMOKE_SIDE = 2, 64
SMOKE_IMAGES, SMOKE_TESTS = 16, 4  # that a smoke run trains on and is tested on, at most


class ResolvedLocalisationData(WithStart):
    """A localisation data set, and the classifier that localisers start from."""

    splits: LocalisationSplits


class LocalisationDataResolver(BoxDataResolver[LocalisationSplits]):
    """The localisation data and the weights that were given, and the runs that an earlier call made."""

    kind, read = LocalisationSplits, staticmethod(load_localisation_data)

    def resolve(self, task: Task) -> ResolvedLocalisationData:
        """Return the data that a localiser is trained on, and what it starts from.

        Raises: MissingData, if nothing that is given will do; UsageError or DataError, if it cannot be read.
        """
        training = task.training
        if not self.given:
            raise MissingData(f"the localiser on {training.network} needs {training.data}: --data clsloc:PATH names it")
        start, found = self.start(training.network, "localiser"), self.given[0]
        source, whole = (found, self.load(found)) if isinstance(found, str) else (None, found)
        splits = few(whole) if self.scale == "smoke" else whole
        name = IMAGENET_LOC if (len(whole.classes), len(whole.test)) == (CLASSES, TESTED) else whole.name
        digest = None if start is None else self.digest(start)
        return ResolvedLocalisationData(in_part(name, splits, whole), source, splits, start, digest)


def few(splits: LocalisationSplits) -> LocalisationSplits:
    """Return so few of the images, evenly spaced, that a smoke run takes seconds."""
    return fewer(splits, some(splits.train, SMOKE_IMAGES), some(splits.test, SMOKE_TESTS), blacklist=frozenset())


def fit_recipe(training: Setting, scale: Scale) -> LocalisationRecipe:
    """Return the declared recipe at a scale; in a smoke run crops are small."""
    recipe = LOCALISATION_RECIPES.find(training.recipe)
    if scale == "short":
        return shortened(recipe)
    if scale == "full":
        return recipe
    return recipe.scaled(SMOKE_ITERATIONS).with_crops(SMOKE_SIDE).with_changes(batch_size=8, proposals=8)
