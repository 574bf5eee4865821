"""The paper's tables, declarations to read next to the paper: what every row trains, how it is tested, what is printed.

The numbers themselves are in `resnets.paper.published`, in the same order.
"""

from __future__ import annotations

from resnets.paper.declarations import Table
from resnets.paper.tables import cifar, detection, imagenet, localisation

TABLES: dict[str, Table] = {
    table.name: table for table in (*imagenet.TABLES, *cifar.TABLES, *detection.TABLES, *localisation.TABLES)
}
