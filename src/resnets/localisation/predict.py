"""Guesses of class and box for image files, by a classifier and a localiser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from resnets.data import class_names
from resnets.data.decoding import DecodedImage, pixels
from resnets.detection.writer import DetectedObject, answers
from resnets.errors import DataError, UsageError, public, warn
from resnets.inference.model import Model, load
from resnets.localisation.evaluate import load_all
from resnets.localisation.frames import views_of
from resnets.localisation.inference import LocalisationTest, locate_in
from resnets.localisation.localiser import Localiser
from resnets.runtime.device import choose_precision


@public
def locate(
    path: str | Path | Localiser | Sequence[str | Path | Localiser],
    images: str | Path | Iterable[str | Path],
    *,
    classifier: str | Path | Model,
    top: int = 5,
    out: str | Path | None = None,
    protocol: str = "dense-multi-scale",
    scales: Sequence[int] | None = None,
    voting: bool = True,
    device: str = "auto",
    precision: str = "fp32",
) -> Iterator[tuple[Path | str, list[DetectedObject] | DataError]]:
    """Yield the guesses for each image file, the most probable class first, or the error if it is not an image.

    Each is a class with its probability and the box of its object. Each image comes with its path or, of one in a shard
    or on standard input, its name.

    Args:
        path: a run folder, a weights file or a loaded localiser; several are an ensemble.
        images: one or more image files of any size, folders, patterns, `webdataset:` shards or `-` (standard input), as
            in `predict`.
        classifier: a classifier of the same classes.
        top: number of guesses.
        out: folder for the images with boxes, under their names, and `detections.json`.
        protocol, scales, voting: as in `evaluate_localiser`; the classifier sees the centre crop.
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.

    Raises: WeightsError, as `load_localiser`; UsageError; RunError, if `out` is not writable.
    """
    test = LocalisationTest.of(protocol, scales, voting=voting)
    localisers = load_all(path, device)
    first = localisers[0]
    model = classifier if isinstance(classifier, Model) else load(classifier, device=str(first.device))
    label_of = _labels(model, first)
    compute = choose_precision(precision, first.device)
    looks = [test.look(one.rpn) for one in localisers]

    def find(image: Image.Image) -> list[DetectedObject]:
        guess = model.predict(image, top=top)
        views = [np.array(pixels(one)) for one in views_of(DecodedImage(image, image.size), looks)]
        labels = [label_of[one] for one in guess.classes]
        boxes, _ = locate_in(localisers, views, looks, labels, voting=voting, precision=compute)
        rows = zip(labels, guess.probabilities, boxes.tolist(), strict=True)
        return [DetectedObject(first.classes[label], probability, tuple(box)) for label, probability, box in rows]

    yield from answers(images, find, first.classes, None if out is None else Path(out))


def _labels(model: Model, localiser: Localiser) -> dict[str, int]:
    """Return the localiser's label of each class of a classifier, whose names may be other synonyms.

    Raises: UsageError, if they are other classes; WeightsError, if the classifier's have no names.
    """
    classes, _ = model.classes_and_input()
    found = class_names.match(localiser.classes, classes)
    if found is None:
        raise UsageError(f"{model.path} knows other classes than {localiser.path}; a classifier needs the localiser's")
    order, note = found
    if note is not None:
        warn(f"{localiser.path} and {model.path}: {note}")
    return {classes[place]: label for label, place in enumerate(order or range(len(classes)))}
