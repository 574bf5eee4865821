"""Data for declared detectors, the weights that they start from, and their recipes at a scale."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from resnets.detection import coco, ilsvrc
from resnets.detection.annotations import DetectionSplits
from resnets.detection.detector import header_of
from resnets.detection.image_sets import parse_sets
from resnets.detection.recipes import DETECTION_RECIPES
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError, warn
from resnets.files import expanded
from resnets.paper.declarations import Data as DeclaredData
from resnets.paper.detection_data import DETECTION_DATA, DetectionData, after, identify, name_of, stages
from resnets.records.evaluations import Scale
from resnets.records.headers import DetectorHeader
from resnets.reproduction.box_data_resolver import BoxDataResolver, WithStart, fewer, some
from resnets.reproduction.data_resolver import MissingData, in_part, shortened
from resnets.reproduction.tasks import Task
from resnets.specs import DetectionRecipe, Setting

SMOKE_ITERATIONS = 2
SMOKE_IMAGES, SMOKE_TESTS = 8, 4  # that a smoke run trains on and is tested on, at most
SMOKE_SIDE = 128  # the shorter one, in pixels


class ResolvedDetectionData(WithStart):
    """A detection data set."""

    splits: DetectionSplits


class DetectionDataResolver(BoxDataResolver[DetectionSplits]):
    """The detection data and the weights that were given, and the runs that an earlier call made.

    Data of the declared kind (`voc:PATH`, `coco:PATH`, `ilsvrc:PATH`) stands for the declared data, with its sets where
    they are there; other data for whatever has none of its own kind.
    """

    kind, read = DetectionSplits, staticmethod(load_detection_data)

    def resolve(self, task: Task) -> ResolvedDetectionData:
        """Return the data that a detector is trained on, and the weights that it starts from.

        Raises: MissingData, if nothing that is given will do; UsageError or DataError, if it cannot be read.
        """
        training = task.training
        declared, fine_tuned = stages(training.data)
        start = self.start(training.network, "detector", fine_tuned=fine_tuned)
        source, whole = self._read(training, declared)
        splits = few(whole) if self.scale == "smoke" else whole
        name = in_part(identify(whole.name, len(whole.train), len(whole.test), len(whole.classes)), splits, whole)
        if fine_tuned and start is not None:
            known = header_of(start)
            name = after(name, len(known.classes) if isinstance(known, DetectorHeader) else 0)
        splits = dataclasses.replace(splits, protocol=task.detections[0].protocol)
        return ResolvedDetectionData(name, source, splits, start, None if start is None else self.digest(start))

    def _read(self, training: Setting, declared: DeclaredData) -> tuple[str | None, DetectionSplits]:
        expected = DETECTION_DATA[declared]
        kinds = [one.partition(":")[0] if isinstance(one, str) else None for one in self.given]
        own = [one for one, kind in zip(self.given, kinds, strict=True) if kind == expected.kind]
        others = [one for one, kind in zip(self.given, kinds, strict=True) if kind != expected.kind]
        found = next(iter((*own, *others)), None)
        if found is None:
            raise MissingData(
                f"the detector on {training.network} needs {training.data}: --data {expected.kind}:PATH names its "
                "folder, or other images with boxes"
            )
        if not isinstance(found, str):
            return None, found
        missing: Exception | None = None
        if own and "@" not in found:
            try:
                source = f"{found}@{expected.sets}"
                return source, self.load(source)
            except (DataError, UsageError) as error:  # not a folder with these sets
                missing = error
        splits = self.load(found)
        other = name_of(len(splits.train), len(splits.test), len(splits.classes))
        if missing is not None and other not in (None, declared):  # which is another row's
            raise MissingData(f"the detector on {training.network} needs {training.data}: {missing}")
        if missing is not None and _has_some(expanded(found.partition(":")[2]), expected):
            warn(f"{found} is taken by its own sets, not by {expected.sets}: {missing}")
        return found, splits


def few(splits: DetectionSplits) -> DetectionSplits:
    """Return so few of the images, evenly spaced, that a smoke run takes seconds."""
    train, test = some(splits.train, SMOKE_IMAGES), splits.test
    if len(test) > SMOKE_TESTS:  # of those that have something to find
        test = some(tuple(image for image in test if image.trainable.any()) or test, SMOKE_TESTS)
    return fewer(splits, train, test)


def _has_some(path: Path, expected: DetectionData) -> bool:
    """Return whether a folder is the official one, so that it matters which of the declared sets it lacks."""
    if expected.kind == "voc":
        return any((parent / year).is_dir() for parent in (path, path / "VOCdevkit") for year in ("VOC2007", "VOC2012"))
    sets = parse_sets(expected.sets)
    known = ilsvrc.Folder(path).sets() if expected.kind == "ilsvrc" else coco.Folder(path).sets()
    return not {*sets.train, *sets.test}.isdisjoint(known)


def fit_recipe(training: Setting, scale: Scale) -> DetectionRecipe:
    """Return the declared recipe at a scale; in a smoke run images are small, and anchors in proportion."""
    recipe = DETECTION_RECIPES.find(training.recipe)
    if scale == "short":
        return shortened(recipe)
    if scale == "full":
        return recipe
    share = SMOKE_SIDE / recipe.shorter_side
    return recipe.scaled(SMOKE_ITERATIONS).with_changes(
        batch_size=1,
        shorter_side=SMOKE_SIDE,
        longest_side=round(recipe.longest_side * share),
        anchor_sizes=tuple(round(size * share) for size in recipe.anchor_sizes),
        regions_per_image=16,
        proposals=(64, 16),
    )
