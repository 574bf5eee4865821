"""What the networks of the tables cost, by their own count: Table 1, and the layers and parameters of Table 6."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import torch

from resnets.networks.describe import describe
from resnets.paper.declarations import Table
from resnets.paper.tables import TABLES
from resnets.records import base
from resnets.records.costs import Cost, Costs
from resnets.report.compare_tables import EXACT
from resnets.runtime.provenance import provenance
from resnets.specs import Shortcut


def write_costs(file: Path, own: Sequence[Table] = ()) -> None:
    """Write what every network of a table that prints layers, parameters or multiply-adds costs; no training is needed.

    Raises: RunError, if it cannot be written.
    """
    networks = tuple(_cost(*one) for one in _networks((*TABLES.values(), *own)))
    base.write(file, Costs(networks=networks, provenance=provenance(torch.device("cpu"))))


def _networks(tables: Iterable[Table]) -> dict[tuple[str, Shortcut | None], None]:
    return {
        (row.network, row.shortcut): None
        for table in tables
        if any(column.measure in EXACT for column in table.columns)
        for row in table.rows
        if row.network is not None and not row.cited
    }


@cache
def _cost(network: str, shortcut: Shortcut | None) -> Cost:
    found = describe(network, shortcut=shortcut)
    return Cost(
        network=network,
        shortcut=shortcut,
        depth=found.cost.depth if found.spec.depth is None else found.spec.depth,
        parameters=found.cost.parameters,
        macs=found.cost.macs,
        stages=found.stages,
    )
