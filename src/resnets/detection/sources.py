"""Detection data sources by name: `--data NAME:PATH[@SETS]` -> a detection data set (section 4.3, appendix B).

This table imports no torch; what reads a data set is imported when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resnets.data.sources import Source, find_with_sets
from resnets.errors import UsageError, public
from resnets.registry import Registry, function_of

if TYPE_CHECKING:
    from resnets.detection.annotations import DetectionSplits


def _source(name: str, summary: str) -> Source:
    form = f"{name}:PATH[@SETS]"
    return Source(
        name=name,
        form=form,
        summary=summary,
        load=f"resnets.detection.image_sets:load_{name}",
        needs=f"a path: {form}, with SETS as TRAIN, TRAIN/TEST or TRAIN/VALIDATION/TEST, joined by +",
    )


DETECTION_SOURCES: Registry[Source] = Registry(
    "detection data source",
    _source("voc", "PASCAL VOC, or your own images with boxes in its layout"),
    _source("coco", "COCO, or your own images with boxes or masks in its layout"),
    _source("ilsvrc", "ILSVRC's 200 classes"),
)
"""An entry's `load` is given the path, the sets or None, the requested classes or None, and whether masks are read."""


@public
def load_detection_data(source: str, classes: Sequence[str] | None = None, *, masks: bool = False) -> DetectionSplits:
    """Return the detection data set that a source names: `voc:PATH`, `coco:PATH` or `ilsvrc:PATH`, with `@SETS`.

    PATH is a VOCdevkit (the folders VOC2007, VOC2012 ... in it), one folder in VOC's layout (Annotations,
    ImageSets/Main, JPEGImages), a folder in COCO's layout (annotations/instances_SET.json and SET/), or one with
    ILSVRC's detection data (Data/DET, Annotations/DET, ImageSets/DET). SETS names the sets to train and test on:
    `07+12`, `07++12`, `12trainval/07test`, `train/val/test`, `train2014/val2014`, `val1+train1000/val2`. Without it,
    one folder has its sets train, val and test; a devkit every trainval and 07test; COCO train and val; ILSVRC val1
    with the first 1,000 training images of each class, and val2.

    The classes are VOC's 20 where no other is found, else the sorted names that are found; COCO's categories; ILSVRC's
    200; or the given ones, in their order: objects of other classes are then left out and listed. Empty and outlying
    boxes are repaired and listed; what is not repairable is an error.

    With `masks`, each object has its own: of COCO's segmentation, polygons or run lengths, or of the PNG of indices in
    VOC's SegmentationObject, where the n-th object of an annotation is n; VOC's sets are then ImageSets/Segmentation's.

    Raises: UsageError, if the source is none; DataError, if the data is missing or damaged, or a mask is missing.
    """
    entry, path, sets = find_with_sets(source, DETECTION_SOURCES)
    if classes is not None and (not classes or len(set(classes)) < len(classes)):
        raise UsageError(f"classes are {', '.join(classes) or 'none'}; each must be named once")
    splits: DetectionSplits = function_of(entry.load)(path, sets, classes, masks)
    return splits
