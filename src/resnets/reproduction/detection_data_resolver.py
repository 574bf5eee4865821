"""Data for declared detectors, the weights that they start from, and their recipes at a scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.detection import coco, ilsvrc
from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.detection.detector import header, is_detector
from resnets.detection.image_sets import parse_sets
from resnets.detection.recipes import DETECTION_RECIPES
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError, warn
from resnets.files import sha256_of
from resnets.paper.declarations import Data as DeclaredData
from resnets.paper.detection_data import DETECTION_DATA, DetectionData, after, identify, name_of, stages
from resnets.paper.detection_recipes import COCO_CONTEXT
from resnets.records.base import read_valid
from resnets.records.evaluations import ReproducedRun, Scale
from resnets.report.runs import SHORT
from resnets.reproduction.data_resolver import Data, MissingData, is_detection_data
from resnets.reproduction.tasks import Task
from resnets.specs import DetectionRecipe, Setting

SMOKE_ITERATIONS = 2
SMOKE_IMAGES, SMOKE_TESTS = 8, 4  # that a smoke run trains on and is tested on, at most
SMOKE_SIDE = 128  # the shorter one, in pixels


@dataclass(frozen=True, eq=False)
class WithStart:
    """A data set of boxes, by the name that a result carries, and the weights that a detector or localiser starts from.

    `start` is None for random weights, which do for a smoke run alone.
    """

    name: str
    source: str | None
    splits: Any
    start: Path | None
    start_digest: str | None


class ResolvedDetectionData(WithStart):
    """A detection data set."""

    splits: DetectionSplits


class DetectionDataResolver:
    """The detection data and the weights that were given, and the runs that an earlier call made; each is read once.

    Data of the declared kind (`voc:PATH`, `coco:PATH`, `ilsvrc:PATH`) stands for the declared data, with its sets where
    they are there; other data for whatever has none of its own kind. `weights` are `NETWORK=FILE`.
    """

    def __init__(self, given: Sequence[Data], weights: Sequence[str], scale: Scale, out: Path) -> None:
        self.given = [one for one in given if isinstance(one, str | DetectionSplits) and is_detection_data(one)]
        self.weights = [named_weights(one) for one in weights]
        self.scale = scale
        self.out = out
        self._splits: dict[object, DetectionSplits] = {}
        self._digests: dict[Path, str] = {}

    def resolve(self, task: Task) -> ResolvedDetectionData:
        """Return the data that a detector is trained on, and the weights that it starts from.

        Raises: MissingData, if nothing that is given will do; UsageError or DataError, if it cannot be read.
        """
        training = task.training
        declared, fine_tuned = stages(training.data)
        start = find_start(self.weights, self.out, self.scale, training.network, "detector", fine_tuned=fine_tuned)
        source, whole = self._read(training, declared)
        splits = few(whole) if self.scale == "smoke" else whole
        name = identify(whole.name, len(whole.train), len(whole.test), len(whole.classes))
        if splits is not whole:
            name += f" ({len(splits.train):,} + {len(splits.test):,} images)"
        if fine_tuned and start is not None:
            name = after(name, len(header(start).get("classes") or ()))
        splits = dataclasses.replace(splits, protocol=task.detections[0].protocol)
        return ResolvedDetectionData(name, source, splits, start, None if start is None else self._digest(start))

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
                return source, self._load(source)
            except (DataError, UsageError) as error:  # not a folder with these sets
                missing = error
        splits = self._load(found)
        other = name_of(len(splits.train), len(splits.test), len(splits.classes))
        if missing is not None and other not in (None, declared):  # which is another row's
            raise MissingData(f"the detector on {training.network} needs {training.data}: {missing}")
        if missing is not None and _has_some(Path(found.partition(":")[2]).expanduser(), expected):
            warn(f"{found} is taken by its own sets, not by {expected.sets}: {missing}")
        return found, splits

    def _load(self, source: str) -> DetectionSplits:
        if source not in self._splits:
            self._splits[source] = load_detection_data(source)
        return self._splits[source]

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = sha256_of(path)
        return self._digests[path]


def named_weights(text: str) -> tuple[str, Path]:
    """Return the network and the file of `NETWORK=FILE`. Raises: UsageError, if there is no such file."""
    network, equals, path = text.partition("=")
    if not (network and equals and path):
        raise UsageError(f"weights are {text!r}; they must be NETWORK=FILE, such as resnet101=resnet101.safetensors")
    found = Path(path).expanduser()
    file = found / "weights.safetensors" if found.is_dir() else found
    if not file.is_file():
        raise UsageError(f"weights of {network}: no file {file}")
    return network, found


def find_start(
    weights: Sequence[tuple[str, Path]], out: Path, scale: Scale, network: str, what: str, *, fine_tuned: bool = False
) -> Path | None:
    """Return the weights that a detector or a localiser starts from: named ones, or of a run that `reproduce` made.

    They are of a classifier or, where it is `fine_tuned`, of a detector of COCO. None is random weights, which do for a
    smoke run.

    Raises: MissingData, if there are none.
    """
    for name, path in weights:
        if name == network and is_detector(path) == fine_tuned:
            return path / "weights.safetensors" if path.is_dir() else path
    recipe, data = (COCO_CONTEXT.name, "coco-trainval") if fine_tuned else ("imagenet", "imagenet")
    if (run := _made_by(out, network, recipe, data, scale)) is not None:
        return run
    if scale == "smoke" and not fine_tuned:
        return None
    if fine_tuned:
        start, how = "a detector of COCO to start from", "`resnets reproduce table9 --only context-trainval`"
    else:
        start, how = "an ImageNet classifier to start from", "`resnets convert`, or a run of `resnets train`"
    raise MissingData(f"the {what} on {network} needs {start}: --weights {network}=FILE names it, from {how}")


def _made_by(out: Path, network: str, recipe: str, data: str, scale: Scale) -> Path | None:
    """Return the weights of a run that `reproduce` made in a folder, if there is one of this training at this scale."""
    for file in sorted((out / "results").glob("*.json")):
        if (record := read_valid(file, ReproducedRun)) is not None:
            declared = record.declared
            weights = out / "runs" / f"{file.stem}-{record.identity[:8]}" / "weights.safetensors"
            same = (declared.network, declared.recipe, declared.data, record.scale) == (network, recipe, data, scale)
            if same and weights.is_file():
                return weights
    return None


def few(splits: DetectionSplits) -> DetectionSplits:
    """Return so few of the images, evenly spaced, that a smoke run takes seconds."""
    train, test = _some(splits.train, SMOKE_IMAGES), splits.test
    if len(test) > SMOKE_TESTS:  # of those that have something to find
        test = _some(tuple(image for image in test if image.trainable.any()) or test, SMOKE_TESTS)
    if train is splits.train and test is splits.test:
        return splits
    digest = f"{splits.digest} ({len(train)} + {len(test)})"
    return dataclasses.replace(splits, train=train, test=test, validation=None, digest=digest)


def _has_some(path: Path, expected: DetectionData) -> bool:
    """Return whether a folder is the official one, so that it matters which of the declared sets it lacks."""
    if expected.kind == "voc":
        return any((parent / year).is_dir() for parent in (path, path / "VOCdevkit") for year in ("VOC2007", "VOC2012"))
    sets = parse_sets(expected.sets)
    known = ilsvrc.Folder(path).sets() if expected.kind == "ilsvrc" else coco.Folder(path).sets()
    return not {*sets.train, *sets.test}.isdisjoint(known)


def _some(images: tuple[AnnotatedImage, ...], count: int) -> tuple[AnnotatedImage, ...]:
    return images if len(images) <= count else tuple(images[index * len(images) // count] for index in range(count))


def fit_recipe(training: Setting, scale: Scale) -> DetectionRecipe:
    """Return the declared recipe at a scale; in a smoke run images are small, and anchors in proportion."""
    recipe = DETECTION_RECIPES.find(training.recipe)
    if scale == "short":
        return recipe.scaled(round(recipe.iterations / SHORT))
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
