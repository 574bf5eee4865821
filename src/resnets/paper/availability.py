"""Whether the rows of the paper's tables can be run."""

from __future__ import annotations

from typing import Literal

from resnets.paper.declarations import Row

Availability = Literal[
    "ready",
    "cited",  # another paper's system
    "ensemble",  # of networks that the paper does not name
]


def availability(row: Row) -> Availability:
    """Return whether a row can be run, and what prevents it where it cannot."""
    if row.cited:
        return "cited"
    return "ensemble" if row.network is None and not row.members else "ready"
