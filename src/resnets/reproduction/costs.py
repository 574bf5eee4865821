"""What the networks of the tables cost, by their own count: Table 1, and the layers and parameters of Table 6."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from resnets.api.networks import describe
from resnets.paper.declarations import Row, Table
from resnets.paper.tables import TABLES
from resnets.report.comparison import EXACT
from resnets.storage import write_durably, writing
from resnets.training.provenance import provenance


def write_costs(file: Path) -> None:
    """Write what every network of a table that prints layers, parameters or multiply-adds costs; no training is needed.

    Raises: RunError, if it cannot be written.
    """
    content = {
        "kind": "complexity",
        "networks": [_cost(row) for row in _rows(TABLES.values())],
        "provenance": provenance(torch.device("cpu")),
    }
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(file, (json.dumps(content, indent=1) + "\n").encode())


def _rows(tables: Iterable[Table]) -> list[Row]:
    return [
        row
        for table in tables
        if any(column.measure in EXACT for column in table.columns)
        for row in table.rows
        if row.network is not None and not row.cited
    ]


def _cost(row: Row) -> dict[str, Any]:
    assert row.network is not None
    found = describe(row.network, **row.options)
    return {
        "network": row.network,
        "shortcut": row.shortcut,
        "depth": found.spec.depth,
        "parameters": found.cost.parameters,
        "macs": found.cost.macs,
        "stages": [
            {
                "name": stage.name,
                "output_size": list(stage.output_size),
                "layers": stage.layers,
                "parameters": stage.parameters,
                "macs": stage.macs,
            }
            for stage in found.stages
        ],
    }
