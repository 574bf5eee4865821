"""What declared detectors and localisers are trained on and start from, as far as they share it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.detection.detector import is_detector
from resnets.errors import UsageError
from resnets.files import expanded, sha256_of
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits
from resnets.paper.detection_recipes import COCO_CONTEXT
from resnets.records.base import read_valid
from resnets.records.evaluations import ReproducedRun, Scale
from resnets.reproduction.data_resolver import Data, MissingData, given_as

D = TypeVar("D", DetectionSplits, LocalisationSplits)
S = TypeVar("S", tuple[AnnotatedImage, ...], BoxedImages)


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


class BoxDataResolver(Generic[D]):
    """The data sets and the weights that were given, and the runs that an earlier call made; each is read once.

    `weights` are `NETWORK=FILE`.
    """

    kind: type[D]
    read: Callable[[str], D]

    def __init__(self, given: Sequence[Data], weights: Sequence[str], scale: Scale, out: Path) -> None:
        self.given: list[str | D] = given_as(self.kind, given)
        self.weights = [named_weights(one) for one in weights]
        self.scale = scale
        self.out = out
        self.load: Callable[[str], D] = cache(self.read)
        self.digest = cache(sha256_of)

    def start(self, network: str, what: str, *, fine_tuned: bool = False) -> Path | None:
        """Return the weights that a detector or a localiser starts from: named ones, or of a run that `reproduce` made.

        They are of a classifier or, where it is `fine_tuned`, of a detector of COCO. None is random weights, which do
        for a smoke run.

        Raises: MissingData, if there are none.
        """
        for name, path in self.weights:
            if name == network and is_detector(path) == fine_tuned:
                return path / "weights.safetensors" if path.is_dir() else path
        recipe, data = (COCO_CONTEXT.name, "coco-trainval") if fine_tuned else ("imagenet", "imagenet")
        if (run := self._made_by(network, recipe, data)) is not None:
            return run
        if self.scale == "smoke" and not fine_tuned:
            return None
        if fine_tuned:
            start, how = "a detector of COCO to start from", "`resnets reproduce table9 --only context-trainval`"
        else:
            start, how = "an ImageNet classifier to start from", "`resnets convert`, or a run of `resnets train`"
        raise MissingData(f"the {what} on {network} needs {start}: --weights {network}=FILE names it, from {how}")

    def _made_by(self, network: str, recipe: str, data: str) -> Path | None:
        """Return the weights of a run that `reproduce` made, if there is one of this training at this scale."""
        training = (network, recipe, data, self.scale)
        for file in sorted((self.out / "results").glob("*.json")):
            if (record := read_valid(file, ReproducedRun)) is not None:
                declared = record.declared
                weights = self.out / "runs" / f"{file.stem}-{record.identity[:8]}" / "weights.safetensors"
                same = (declared.network, declared.recipe, declared.data, record.scale) == training
                if same and weights.is_file():
                    return weights
        return None


def named_weights(text: str) -> tuple[str, Path]:
    """Return the network and the file of `NETWORK=FILE`. Raises: UsageError, if there is no such file."""
    network, equals, path = text.partition("=")
    if not (network and equals and path):
        raise UsageError(f"weights are {text!r}; they must be NETWORK=FILE, such as resnet101=resnet101.safetensors")
    found = expanded(path)
    file = found / "weights.safetensors" if found.is_dir() else found
    if not file.is_file():
        raise UsageError(f"weights of {network}: no file {file}")
    return network, found


def fewer(splits: D, train: Any, test: Any, **more: Any) -> D:
    """Return splits of these images, some of theirs, or the same where they are all; `more` changes with them."""
    if train is splits.train and test is splits.test:
        return splits
    digest = f"{splits.digest} ({len(train)} + {len(test)})"
    return dataclasses.replace(splits, train=train, test=test, validation=None, digest=digest, **more)


def some(images: S, count: int) -> S:
    """Return at most `count` images, evenly spaced."""
    if len(images) <= count:
        return images
    chosen = np.arange(count, dtype=np.int64) * len(images) // count
    if isinstance(images, tuple):
        return tuple(images[index] for index in chosen)  # type: ignore[return-value]
    return images.select(chosen)
