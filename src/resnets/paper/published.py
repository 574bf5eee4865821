"""The numbers that the paper prints, each once, laid out as its tables are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Published:
    """One number of the paper, and where it stands. `relation` is ">" where the paper gives only a bound.

    Units: `unit`; errors in percent, FLOPs are multiply-adds of one image.
    """

    value: float
    unit: str
    table: str
    row: str
    column: str
    quantity: str  # what it is a value of
    note: str = ""
    relation: Literal["", ">"] = ""

    def __str__(self) -> str:
        value = f"{self.value:.2f}" if self.unit == "%" and not self.relation else f"{self.value:g}"
        note = f" ({self.note})" if self.note else ""
        return f"{self.relation}{value} {self.unit} {self.quantity}{note}, {self.table}"


def _table(
    name: str,
    columns: Mapping[str, tuple[str, str]],
    rows: Mapping[str, tuple[float | None, ...]],
    notes: Mapping[tuple[str, str], str] | None = None,
) -> tuple[Published, ...]:
    """Lay a table out: `columns` gives each column's unit and quantity, None in `rows` is a blank."""
    return tuple(
        Published(value, unit, name, row, column, quantity, (notes or {}).get((row, column), ""))
        for row, values in rows.items()
        for (column, (unit, quantity)), value in zip(columns.items(), values, strict=True)
        if value is not None
    )


_FLOPS = ("FLOPs", "for one image of 224x224")
_TOP_1 = "ImageNet validation top-1 error, 10-crop"
_TOP_5 = "ImageNet validation top-5 error, 10-crop"
_CIFAR = "CIFAR-10 test error"

TABLE_1 = _table(
    "Table 1",
    columns={"18-layer": _FLOPS, "34-layer": _FLOPS, "50-layer": _FLOPS, "101-layer": _FLOPS, "152-layer": _FLOPS},
    rows={"FLOPs": (1.8e9, 3.6e9, 3.8e9, 7.6e9, 11.3e9)},
)

TABLE_2 = _table(
    "Table 2",
    columns={"plain": ("%", _TOP_1), "ResNet": ("%", _TOP_1)},
    rows={
        "18 layers": (27.94, 27.88),
        "34 layers": (28.54, 25.03),
    },
    notes={("18 layers", "ResNet"): "option A", ("34 layers", "ResNet"): "option A"},
)

# Plain-34 and ResNet-34 A stand here a second time with their top-1 errors of Table 2, which are not repeated.
TABLE_3 = _table(
    "Table 3",
    columns={"top-1 err.": ("%", _TOP_1), "top-5 err.": ("%", _TOP_5)},
    rows={
        "VGG-16": (28.07, 9.33),
        "plain-34": (None, 10.02),
        "ResNet-34 A": (None, 7.76),
        "ResNet-34 B": (24.52, 7.46),
        "ResNet-34 C": (24.19, 7.40),
        "ResNet-50": (22.85, 6.71),
        "ResNet-101": (21.75, 6.05),
        "ResNet-152": (21.43, 5.71),
    },
)

TABLE_6 = _table(
    "Table 6",
    columns={
        "# params": ("parameters", "parameters"),
        "error": ("%", _CIFAR),
        "mean": ("%", f"{_CIFAR}, mean of 5 runs"),
        "std": ("%", f"{_CIFAR}, standard deviation of 5 runs"),
    },
    rows={
        "ResNet, 20 layers": (0.27e6, 8.75, None, None),
        "ResNet, 32 layers": (0.46e6, 7.51, None, None),
        "ResNet, 44 layers": (0.66e6, 7.17, None, None),
        "ResNet, 56 layers": (0.85e6, 6.97, None, None),
        "ResNet, 110 layers": (1.7e6, 6.43, 6.61, 0.16),
        "ResNet, 1202 layers": (19.4e6, 7.93, None, None),
    },
    notes={("ResNet, 110 layers", "error"): "best of 5 runs"},
)

SECTION_4_1 = _table(
    "section 4.1",
    columns={"VGG-16": _FLOPS, "VGG-19": _FLOPS},
    rows={"FLOPs": (15.3e9, 19.6e9)},
)

FIGURE_6 = (Published(60.0, "%", "Figure 6", "plain-110", "error", _CIFAR, "not drawn", relation=">"),)

ALL = (*TABLE_1, *TABLE_2, *TABLE_3, *TABLE_6, *SECTION_4_1, *FIGURE_6)

_HEADLINES = {
    "plain18": ("Table 2", "18 layers", "plain"),
    "resnet18": ("Table 2", "18 layers", "ResNet"),
    "plain34": ("Table 2", "34 layers", "plain"),
    "resnet34": ("Table 3", "ResNet-34 B", "top-1 err."),
    "resnet50": ("Table 3", "ResNet-50", "top-1 err."),
    "resnet101": ("Table 3", "ResNet-101", "top-1 err."),
    "resnet152": ("Table 3", "ResNet-152", "top-1 err."),
    "vgg16": ("Table 3", "VGG-16", "top-1 err."),
    "resnet20": ("Table 6", "ResNet, 20 layers", "error"),
    "resnet32": ("Table 6", "ResNet, 32 layers", "error"),
    "resnet44": ("Table 6", "ResNet, 44 layers", "error"),
    "resnet56": ("Table 6", "ResNet, 56 layers", "error"),
    "resnet110": ("Table 6", "ResNet, 110 layers", "error"),
    "resnet1202": ("Table 6", "ResNet, 1202 layers", "error"),
    "plain110": ("Figure 6", "plain-110", "error"),
}


def find(table: str, row: str, column: str) -> Published:
    """Return the number at a place of the paper.

    Raises: KeyError, if nothing is declared there.
    """
    for number in ALL:
        if (number.table, number.row, number.column) == (table, row, column):
            return number
    raise KeyError(f"{table}, row {row!r}, column {column!r}")


def for_network(name: str) -> Published | None:
    """Return the paper's headline figure for a network by its name, its test error, or None where it gives none."""
    return find(*_HEADLINES[name]) if name in _HEADLINES else None
