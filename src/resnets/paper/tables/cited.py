"""Rows of other papers' systems."""

from __future__ import annotations

from resnets.paper.declarations import Row
from resnets.paper.published import find_row


def cited(
    table: str, label: str, reference: str, *, tested_on: str | None = None, network: str | None = None, note: str = ""
) -> Row:
    """Return a row that the paper cites; its network is the catalogue's, where that has it."""
    return Row(
        label=label,
        reference=reference,
        cited=True,
        network=network,
        published=find_row(table, label),
        tested_on=tested_on,
        note=note,
    )
