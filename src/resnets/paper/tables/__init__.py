"""The paper's tables, declarations to read next to the paper: what every row trains, how it is tested, what is printed.

The numbers themselves are in `resnets.paper.published`, in the same order.
"""

from __future__ import annotations

from resnets.errors import UsageError, nearest
from resnets.paper.declarations import Table
from resnets.paper.tables import cifar, detection, imagenet, localisation

TABLES: dict[str, Table] = {
    table.name: table for table in (*imagenet.TABLES, *cifar.TABLES, *detection.TABLES, *localisation.TABLES)
}


def find(name: str) -> Table:
    """Return a table by its name, `table6`.

    Raises: UsageError, naming the nearest ones, if there is none.
    """
    if name not in TABLES:
        raise UsageError(f"unknown table {name!r}{nearest(name, TABLES)}; known: {', '.join(TABLES)}")
    return TABLES[name]
