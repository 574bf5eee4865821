"""`clsloc:PATH[@TRAIN/TEST]`, `voc:PATH[@SETS]` or `coco:PATH[@SETS]` -> a localisation data set. Appendix C."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnets.data.named_splits import adjective
from resnets.detection import sources as detection_sources
from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.errors import DataError, UsageError, nearest, public
from resnets.localisation import clsloc
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits, digest
from resnets.quantities import plural

NAMES = ("clsloc", "voc", "coco")
GRAMMAR = "clsloc:PATH[@TRAIN/TEST], voc:PATH[@SETS] or coco:PATH[@SETS]"
SETS = ("train", "val", "test")


@public
def load_localisation_data(source: str) -> LocalisationSplits:
    """Return the localisation data set that a source names: `clsloc:PATH`, `voc:PATH` or `coco:PATH`.

    `clsloc:PATH` is ILSVRC's CLS-LOC or a part of it, trained on `train` and tested on `val`; `clsloc:PATH@train/test`
    is tested on the images whose boxes the server knows. The others are as in `load_detection_data`; their images must
    have objects of one class each.

    Raises: UsageError, if the source is none; DataError, if the data is missing or damaged.
    """
    name, colon, rest = source.partition(":")
    if name not in NAMES:
        hint = nearest(name, NAMES) if colon else ""
        raise UsageError(f"unknown localisation data source {source!r}{hint}; known: {GRAMMAR}")
    if name != "clsloc":
        return of_detection(detection_sources.load_detection_data(source))
    path, sets = Path(rest).expanduser(), "train/val"
    if not path.exists() and "@" in rest:
        before, _, sets = rest.rpartition("@")
        path = Path(before).expanduser()
    train, slash, test = sets.partition("/")
    if not rest or not slash or not {train, test} <= {*SETS}:
        raise UsageError(f"localisation data source {source!r}: it must be {GRAMMAR}, with TRAIN and TEST of {SETS}")
    if not path.is_dir():
        raise DataError(f"{name}: no folder {path}")
    return clsloc.load(path, train, test)


def of_detection(splits: DetectionSplits) -> LocalisationSplits:
    """Return a detection data set as one of localisation; images without objects that count are left out.

    Raises: DataError, for an image with objects of two classes.
    """
    notes = list(splits.notes)
    made = {
        name: _boxed(name, images, splits.classes, notes, labelled=name != "test" or splits.test_annotated)
        for name, images in splits.splits().items()
    }
    return LocalisationSplits(
        name=splits.name,
        classes=splits.classes,
        train=made["train"],
        test=made["test"],
        validation=made.get("validation"),
        test_annotated=splits.test_annotated,
        class_ids=splits.category_ids,
        notes=tuple(notes),
        digest=digest(splits.classes, made.values()),
    )


def _boxed(
    name: str, images: tuple[AnnotatedImage, ...], classes: tuple[str, ...], notes: list[str], *, labelled: bool
) -> BoxedImages:
    if not labelled:
        nothing = [np.zeros((0, 4), np.float32)] * len(images)
        return BoxedImages.of([image.path for image in images], [0] * len(images), nothing)
    kept, labels, boxes = [], [], []
    for image in images:
        own = np.unique(image.labels[image.trainable])
        if len(own) > 1:
            several = ", ".join(classes[label] for label in own.tolist())
            raise DataError(f"{image.path}: has objects of {several}; an image to localise in has one class")
        if len(own):
            kept.append(image.path)
            labels.append(int(own[0]))
            boxes.append(image.boxes[image.trainable])
    if len(kept) < len(images):
        notes.append(f"{plural(len(images) - len(kept), f'{adjective(name)} image')} without objects are left out")
    return BoxedImages.of(kept, labels, boxes)
