"""Whether the rows of the paper's tables can be run, and what is missing where they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from resnets.paper.declarations import Part, Row

Availability = Literal[
    "ready",
    "cited",  # another paper's system
    "needs parts",  # of the software that do not exist yet
    "no recipe",  # there is no recipe for its data yet
    "ensemble",  # of networks that the paper does not name
]

UNBUILT: Mapping[Part, str] = {}
"""The parts that do not exist yet, in words: to build one is to remove it here, and its rows are ready."""


def missing_parts(row: Row) -> tuple[Part, ...]:
    """Return what has to be built before a row can be measured."""
    return tuple(part for part in row.needs if part in UNBUILT)


def availability(row: Row) -> Availability:
    """Return whether a row can be run, and what prevents it where it cannot."""
    if row.cited:
        return "cited"
    if missing_parts(row):
        return "needs parts"
    if row.network is None and not row.members:
        return "ensemble"
    return "no recipe" if row.recipe is None and row.data is not None else "ready"
