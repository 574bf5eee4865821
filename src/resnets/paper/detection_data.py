"""Detection data sets of section 4.3: their image sets, and their identification under any name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from resnets.paper.declarations import Data

AFTER_COCO = "coco+"  # starts the name of data that a detector of COCO is fine-tuned on


@dataclass(frozen=True)
class DetectionData:
    """A declared data set: its kind and sets as a source names them, `voc:PATH@07+12`, and how much is in them.

    `train` are the possible numbers of training images.
    """

    kind: Literal["voc", "coco", "ilsvrc"]
    sets: str
    train: range
    test: int
    classes: int


def _exactly(number: int) -> range:
    return range(number, number + 1)


DETECTION_DATA: Mapping[Data, DetectionData] = {
    "voc07+12": DetectionData("voc", "07+12", _exactly(16_551), 4_952, 20),
    "voc07++12": DetectionData("voc", "07++12", _exactly(21_503), 10_991, 20),
    "coco": DetectionData("coco", "train2014/val2014", _exactly(82_783), 40_504, 80),
    "coco-trainval": DetectionData("coco", "train2014+val2014/test-dev2015", _exactly(123_287), 20_288, 80),
    # val1, and of 200 classes at most 1,000 images each: how many depends on how many are in several lists
    "imagenet-det": DetectionData("ilsvrc", "val1+train1000/val2", range(9_888, 9_887 + 200 * 1_000 + 1), 9_917, 200),
}


def stages(data: str) -> tuple[Data, bool]:
    """Return on what a detector is trained last, and whether it starts from a detector of COCO."""
    for name in DETECTION_DATA:
        if data in (name, AFTER_COCO + name):
            return name, data != name
    raise KeyError(data)


def name_of(train: int, test: int, classes: int) -> Data | None:
    """Return which declared data set has these numbers of images and classes, or None."""
    for name, known in DETECTION_DATA.items():
        if train in known.train and (known.test, known.classes) == (test, classes):
            return name
    return None


def identify(name: str, train: int, test: int, classes: int) -> str:
    """Return the declared data set's name if these are its images, and their own otherwise, which is never that."""
    same = name_of(train, test, classes)
    if same is not None:
        return same
    return f"what is called {name}" if name.removeprefix(AFTER_COCO) in DETECTION_DATA else name


def after(data: str, classes: int) -> str:
    """Return the name of data that a detector of `classes` classes is fine-tuned on; COCO has 80."""
    from_coco = classes == DETECTION_DATA["coco"].classes
    return f"{AFTER_COCO}{data}" if from_coco else f"{data} after a detector of {classes:,} classes"
