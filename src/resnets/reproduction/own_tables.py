"""Custom tables: a Python file that declares rows of networks, recipes and data, as the paper's are declared."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from resnets.errors import UsageError
from resnets.localisation.recipes import all_recipes
from resnets.networks.registry import find_family
from resnets.paper.declarations import Row, Table
from resnets.paper.figures import FIGURES
from resnets.paper.tables import TABLES
from resnets.training.recipes import find_recipe


def own_tables(path: Path) -> tuple[Table, ...]:
    """Import a Python file, which may register networks, recipes and data, and return the tables that it declares.

    Raises: UsageError, if there is no such file, or no table in it, or a row is of no network or recipe that is known.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; a table of your own is a Python file with a resnets.Table")
    folder, before = str(path.resolve().parent), list(sys.path)
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module(path.stem)
    finally:
        sys.path[:] = before
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise UsageError(f"{path}: another module is called {path.stem!r}; give the file another name")
    found = {table.name: table for table in vars(module).values() if isinstance(table, Table)}
    if not found:
        raise UsageError(f"{path}: no resnets.Table is declared in it")
    for table in found.values():
        if table.name in (*TABLES, *FIGURES, "all"):
            raise UsageError(f"{path}: table {table.name!r} has a name of the paper's; give yours another name")
        for row in table.rows:
            _check(path, row)
    return tuple(found.values())


def _check(path: Path, row: Row) -> None:
    """Verify a row that is to be trained. Raises: UsageError."""
    if row.cited:
        return
    for name in ("network", "recipe", "data", "protocol"):
        if getattr(row, name) is None and not (name == "network" and row.members):
            right = " (single-view for small images, center-crop for photos)" if name == "protocol" else ""
            raise UsageError(f"{path}: row {row.label!r} has no {name}{right}")
    for training in (*row.trainings, *([] if row.teacher is None else [row.teacher])):
        find_family(training.network)
        if training.recipe not in all_recipes():
            find_recipe(training.recipe)  # names the nearest ones
