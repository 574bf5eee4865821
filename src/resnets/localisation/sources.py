"""Localisation data sources by name: `--data NAME:PATH[@SETS]` -> a localisation data set. Appendix C.

This table imports no torch; what reads a data set is imported when it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnets.data.sources import Source, find_with_sets
from resnets.detection.sources import DETECTION_SOURCES
from resnets.errors import public
from resnets.registry import Registry, function_of

if TYPE_CHECKING:
    from resnets.localisation.boxed_images import LocalisationSplits

LOCALISATION_SOURCES: Registry[Source] = Registry(
    "localisation data source",
    Source(
        name="clsloc",
        form="clsloc:PATH[@TRAIN/TEST]",
        summary="ILSVRC's CLS-LOC, or a part of it",
        load="resnets.localisation.clsloc:load",
        needs="a path: clsloc:PATH[@TRAIN/TEST], with TRAIN and TEST of train, val and test",
    ),
    DETECTION_SOURCES.find("voc"),
    DETECTION_SOURCES.find("coco"),
)
"""An entry's `load` is given the path and the sets or None; a detection data set that it returns is converted."""


@public
def load_localisation_data(source: str) -> LocalisationSplits:
    """Return the localisation data set that a source names: `clsloc:PATH`, `voc:PATH` or `coco:PATH`.

    `clsloc:PATH` is ILSVRC's CLS-LOC or a part of it, trained on `train` and tested on `val`; `clsloc:PATH@train/test`
    is tested on the images whose boxes the server knows. The others are as in `load_detection_data`; their images must
    have objects of one class each.

    Raises: UsageError, if the source is none; DataError, if the data is missing or damaged.
    """
    from resnets.localisation.boxed_images import LocalisationSplits
    from resnets.localisation.of_detection import of_detection

    entry, path, sets = find_with_sets(source, LOCALISATION_SOURCES)
    splits = function_of(entry.load)(path, sets)
    return splits if isinstance(splits, LocalisationSplits) else of_detection(splits)
