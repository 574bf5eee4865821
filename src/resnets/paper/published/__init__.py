"""The numbers of the paper, each once, laid out as its tables are, and what we read off its figures."""

from __future__ import annotations

from resnets.paper.published import cifar, detection, figures, imagenet, localisation
from resnets.paper.published.cifar import SECTION_4_2, TABLE_6
from resnets.paper.published.imagenet import SECTION_4_1, TABLE_1, TABLE_2, TABLE_3
from resnets.paper.published.number import Published

__all__ = [
    "ALL",
    "SECTION_4_1",
    "SECTION_4_2",
    "TABLE_1",
    "TABLE_2",
    "TABLE_3",
    "TABLE_6",
    "Published",
    "find",
    "find_readings",
    "find_row",
    "for_network",
]

ALL: tuple[Published, ...] = (*imagenet.ALL, *cifar.ALL, *detection.ALL, *localisation.ALL, *figures.ALL)

_BY_PLACE = {number.place: number for number in ALL}

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
    "prelu_net_c": ("Table 3", "PReLU-net", "top-1 err."),
    "maxout": ("Table 6", "Maxout", "error"),
    "nin": ("Table 6", "NIN", "error"),
    "dsn": ("Table 6", "DSN", "error"),
    "fitnet19": ("Table 6", "FitNet, 19 layers", "error"),
    "highway19": ("Table 6", "Highway, 19 layers", "error"),
    "highway32": ("Table 6", "Highway, 32 layers", "error"),
    "plain110": ("Figure 6", "plain-110", "error"),
}


def find(table: str, row: str, column: str, at: int | None = None) -> Published:
    """Return the number at a place of the paper; `at` is a reading's iteration, layer or rank.

    Raises: KeyError, if nothing is declared there.
    """
    try:
        return _BY_PLACE[table, row, column, at]
    except KeyError:
        where = "" if at is None else f", at {at}"
        raise KeyError(f"{table}, row {row!r}, column {column!r}{where}") from None


def find_row(table: str, row: str) -> dict[str, Published]:
    """Return the numbers of a table's row by their columns.

    Raises: KeyError, if the row has none.
    """
    numbers = {number.column: number for number in ALL if (number.table, number.row) == (table, row)}
    if not numbers:
        raise KeyError(f"{table}, row {row!r}")
    return numbers


def find_readings(figure: str, row: str, column: str) -> tuple[Published, ...]:
    """Return the readings of one curve in the order of its axis, () if there are none."""
    return tuple(number for number in ALL if (number.table, number.row, number.column) == (figure, row, column))


def for_network(name: str) -> Published | None:
    """Return the paper's headline figure for a network by its name, its test error, or None where it gives none."""
    return find(*_HEADLINES[name]) if name in _HEADLINES else None
