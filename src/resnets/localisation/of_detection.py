"""Detection data sets as localisation data sets. Appendix C."""

from __future__ import annotations

import numpy as np

from resnets.data.named_splits import adjective
from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.errors import DataError
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits, digest
from resnets.quantities import plural


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
