"""Declarations of the paper's tables and figures: tables of rows, figures of curves, each with its network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from resnets.paper.published import Published
from resnets.specs import Setting, Shortcut, TestProtocol

# ---------------------------------------------------------------- names

Kind = Literal["complexity", "classification", "ensemble", "detection", "localisation"]
"""What a table is about, and so what makes its numbers."""

Measure = Literal[
    "layers",  # the layers of a stage, in words
    "depth",  # weighted layers
    "parameters",
    "macs",
    "top-1 error",
    "top-5 error",
    "mAP",  # at an intersection over union of .5, by PASCAL VOC's rules
    "AP",  # of one class
    "mAP@.5",
    "mAP@[.5, .95]",
    "mAP@.5 by a server",  # which alone knows the boxes
    "localisation error",  # of the true class
    "top-5 localisation error",
]
"""What a column shows."""

Direction = Literal["lower", "higher"]

Statistic = Literal["mean", "best", "std"]
"""What a column shows of several runs; of one run the mean and the best are its number."""

Protocol = Literal[
    # single-view: the original image of 32x32 (section 4.2)
    # center-crop: 224x224 from a shorter side of 256 (Figure 4; "1-crop" of Table 13)
    # ten-crop: corners and centre with their mirror images, softmax averaged (Tables 2 and 3)
    # 144-crop: six views of three squares at four scales, and their mirror images (GoogLeNet's authors; Table 4)
    # dense-multi-scale: fully convolutional, shorter sides of 224 to 640 (Tables 4 and 5; "dense" of Table 13)
    TestProtocol,
    "dense-multi-scale at 256, 384, 480",  # PReLU-net's authors [13]
    "dense-multi-scale at 256, 384, 512",  # VGG's authors [41]
    "single-scale",  # detection at a shorter side of 600: section 4.3
    "multi-scale",  # detection at two of five scales: appendix B
]
"""How a trained network is tested."""

Data = Literal[
    "cifar10",
    "imagenet",  # 2012, 1000 classes
    "voc07+12",  # trainval of VOC 2007 and 2012
    "voc07++12",  # trainval and test of VOC 2007, trainval of VOC 2012
    "coco",  # 80k training images
    "coco-trainval",  # 80k + 40k
    "coco+voc07+12",  # a detector of COCO, fine-tuned
    "coco+voc07++12",
    "imagenet-det",  # of ILSVRC's detection: val1, and the first 1,000 training images of each class
    "imagenet-loc",
]
"""What a network is trained on; detectors start from ImageNet classifiers."""

Part = Literal[
    "detection",
    "box-refinement",
    "global-context",
    "multi-scale-detection",
    "localisation",  # per-class RPN, or R-CNN
]
"""A part of the software that a row needs besides networks, recipes and tests of classifiers."""

DetectionProtocol = Literal["voc07", "voc", "coco", "ilsvrc"]

SCORED_BY: Mapping[str, DetectionProtocol] = {
    "voc07": "voc07",
    "voc12": "voc",
    "coco": "coco",
    "imagenet-det": "ilsvrc",
}
"""How detections are scored, by the data that they are of: 11 points, area, COCO's mean over IoUs, ILSVRC's area."""

Style = Literal["solid", "dashed", "thin", "bold"]
"""How the paper draws a curve."""

# ---------------------------------------------------------------- what rows and curves share


@dataclass(frozen=True, kw_only=True)
class System:
    """The training of a row or a curve. The network is the catalogue's, with a shortcut option or its default.

    `network` is None for a system that is not ours, and for an ensemble; `recipe` is None where nothing is trained,
    and where no recipe exists yet.
    """

    label: str  # as the paper prints it
    network: str | None = None
    shortcut: Shortcut | None = None
    recipe: str | None = None
    data: Data | str | None = None  # trained on; of a custom table any source
    teacher: Setting | None = None  # whose trained network it learns from: a student, or an R-CNN from its RPN

    @property
    def slug(self) -> str:
        """The label for a command line and a file's name: `resnet-110-layers`."""
        return re.sub(r"[^a-z0-9+]+", "-", self.label.lower()).strip("+-")

    @property
    def training(self) -> Setting | None:
        """What has to be trained, or None; rows and curves with an equal one share its runs, seed by seed."""
        if self.network is None or self.recipe is None or self.data is None:
            return None
        return Setting(network=self.network, shortcut=self.shortcut, recipe=self.recipe, data=self.data)

    @property
    def trainings(self) -> tuple[Setting, ...]:
        """What has to be trained, () where nothing is."""
        return () if self.training is None else (self.training,)


@dataclass(frozen=True)
class Tolerance:
    """How far a measured mean may be from the published number to count as reproduced, and why.

    Units: those of the number.
    """

    value: float
    reason: str


@dataclass(frozen=True)
class Choice:
    """What the paper leaves open, what we do, and why."""

    open: str
    ours: str
    why: str


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, by the name that the paper prints, and what it shows."""

    name: str
    measure: Measure
    unit: str = "%"
    statistic: Statistic = "mean"

    @property
    def better(self) -> Direction | None:
        """Which numbers are better ones, lower errors and higher APs; None of counts."""
        return "lower" if self.measure.endswith("error") else "higher" if "AP" in self.measure else None


@dataclass(frozen=True, kw_only=True)
class DetectionTest:
    """How a trained detector is tested: by which protocol it is scored, and with which refinements of appendix B."""

    protocol: DetectionProtocol
    box_refinement: bool = False
    multi_scale: bool = False

    @property
    def refinements(self) -> tuple[str, ...]:
        """The names of what is switched on, as a result has them."""
        switches = {"box-refinement": self.box_refinement, "multi-scale": self.multi_scale}
        return tuple(name for name, on in switches.items() if on)


@dataclass(frozen=True, kw_only=True)
class Row(System):
    """A system of a table: a network of ours to compare with the published numbers, or one that is cited.

    A cited one has a network where the catalogue has it, though the paper did not train it.
    """

    published: Mapping[str, Published] = field(default_factory=dict)  # by column; another table's number is that one's
    reason: str = ""  # why there is no published number
    reference: str = ""  # the paper's, such as [41]
    cited: bool = False
    members: tuple[str, ...] = ()  # networks of an ensemble, each trained by `recipe` on `data`
    needs: tuple[Part, ...] = ()
    protocol: Protocol | None = None
    tested_on: str | None = None
    seeds: int = 1  # runs that the paper made, of a network of ours
    compared: tuple[str, ...] = ()  # columns that are compared with the mean of our runs
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)  # by column
    text: Mapping[str, str] = field(default_factory=dict)  # what the row prints in columns that are no numbers
    note: str = ""

    @property
    def trainings(self) -> tuple[Setting, ...]:
        """What has to be trained: of an ensemble its members."""
        if self.members and self.recipe is not None and self.data is not None:
            return tuple(Setting(network=one, recipe=self.recipe, data=self.data) for one in self.members)
        return super().trainings

    @property
    def availability(self) -> Literal["ready", "cited", "ensemble"]:
        """Whether it can be run: a system of another paper cannot, nor an ensemble whose networks are not named."""
        if self.cited:
            return "cited"
        return "ensemble" if self.network is None and not self.members else "ready"

    @property
    def is_without_labels(self) -> bool:
        """Whether the published number is of images whose classes only a server knows: ours is of others."""
        return self.tested_on == "imagenet test"

    @property
    def localises(self) -> bool:
        """Whether the row's number is of a localiser."""
        return "localisation" in self.needs

    @property
    def detection_test(self) -> DetectionTest | None:
        """How the row's detector is tested, or None where there is none of ours."""
        place = (self.tested_on or "").split(" ")[0]
        if "detection" not in self.needs or place not in SCORED_BY:
            return None
        refined, scales = ("box-refinement" in self.needs), ("multi-scale-detection" in self.needs)
        return DetectionTest(protocol=SCORED_BY[place], box_refinement=refined, multi_scale=scales)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper. A row is one system, also where the paper prints systems otherwise: see `layout`.

    `layout` says how it prints them: in rows, in columns (Table 1), or in a grid of rows and columns (Tables 2, 7, 9).
    A published number names its own place.
    """

    name: str  # table6
    title: str
    section: str = ""  # of the paper; empty for a table that is not its own
    kind: Kind = "classification"
    layout: Literal["rows", "columns", "grid"] = "rows"
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shows: str = ""  # what the paper concludes from it
    choices: tuple[Choice, ...] = ()
    file: str = ""  # that declares it; empty for the paper's

    @property
    def label(self) -> str:
        """Its name as it is printed: `Table 6`; the bare name of a table that is not the paper's."""
        return f"Table {self.name.removeprefix('table')}" if self.section else self.name

    def column(self, name: str) -> Column:
        """Return a column by its name.

        Raises: KeyError, if there is none.
        """
        return {column.name: column for column in self.columns}[name]


# ---------------------------------------------------------------- figures


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis as the paper draws it: from `low` to `high` (None: as the data is), ticks in multiples of `scale`."""

    label: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    scale: int = 1


@dataclass(frozen=True, kw_only=True)
class Curve(System):
    """A line of a figure: of one network, on one split, with what was read off the paper's.

    The last reading is compared with the end of ours, within `tolerance`; the others are only drawn.
    """

    split: Literal["training", "test", "validation"]
    style: Style
    published: tuple[Published, ...]  # along the axis
    reason: str = ""  # why there is no published reading
    protocol: Protocol | None = None  # None: the error of the mini-batches, as they are trained on
    seeds: int = 1
    tolerance: Tolerance | None = None
    drawn: bool = True  # False: the paper leaves it out


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot of a figure."""

    title: str
    draws: Literal["error", "responses", "sorted responses"]
    x: Axis
    y: Axis
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the paper that a measurement can draw."""

    name: str  # figure6
    title: str
    section: str
    panels: tuple[Panel, ...]
    shows: str  # what the paper concludes from it
    choices: tuple[Choice, ...] = ()

    @property
    def label(self) -> str:
        """Its name as the paper prints it: `Figure 6`."""
        return f"Figure {self.name.removeprefix('figure')}"

    @property
    def curves(self) -> tuple[Curve, ...]:
        """All curves, panel by panel."""
        return tuple(curve for panel in self.panels for curve in panel.curves)
