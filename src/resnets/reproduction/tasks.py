"""Trainings of a table or figure, shared by all rows and curves that need them, and the rows that cannot be run."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets.errors import UsageError, nearest
from resnets.localisation.recipes import all_recipes
from resnets.networks.registry import find_family
from resnets.paper.declarations import Curve, DetectionTest, Figure, Protocol, Row, System, Table
from resnets.paper.figures import FIGURES
from resnets.paper.tables import TABLES
from resnets.report.compare_tables import unnamed
from resnets.report.runs import depth_of
from resnets.reproduction.protocols import parse_protocol
from resnets.specs import NetworkSettings, Setting
from resnets.training.recipes import RECIPES

ALL = "all"
NAMES: tuple[str, ...] = (*TABLES, *FIGURES, ALL)


@dataclass(frozen=True)
class Task:
    """A training, and the rows and curves that need it.

    `protocols` are the tests that they need, `detections` those of a detector. `runs_in_the_paper` is the most that
    any of the paper's had, `runs_of_own` the most that a custom table declares; `responses` says that Figure 7 needs
    its layer responses.
    """

    training: Setting
    askers: tuple[tuple[str, str], ...]  # table6 and the row's label, figure6 and the curve's ...
    protocols: tuple[Protocol, ...]
    runs_in_the_paper: int
    runs_of_own: int
    responses: bool
    detections: tuple[DetectionTest, ...] = ()
    localises: bool = False  # is of a localiser, which the protocols are tests of
    teacher: Setting | None = None  # that it learns from, another task's

    @property
    def asked_by(self) -> tuple[str, ...]:
        """The tables and figures that ask for it, each once."""
        return tuple(dict.fromkeys(name for name, _ in self.askers))

    @property
    def network_options(self) -> NetworkSettings:
        """The network's options, as `create` takes them."""
        return {} if self.training.shortcut is None else {"shortcut": self.training.shortcut}

    @property
    def name(self) -> str:
        """The network; of a detector also what it is trained on, of a localiser its stage."""
        training = self.training
        if self.localises:
            return f"{training.network} {'R-CNN' if 'rcnn' in training.recipe else 'RPN'}"
        if not self.detections:
            return training.network
        return f"{training.network} {training.data}{', context' if 'context' in training.recipe else ''}"


@dataclass(frozen=True)
class LeftOut:
    """A row, or a curve, that is not run, and why."""

    asked_by: str
    label: str
    why: str


@dataclass(frozen=True)
class Selection:
    """The requested tables and figures, with the requested rows and curves, and what has to be trained."""

    name: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    tasks: tuple[Task, ...]  # in the order of the rows that are named, else small networks first
    left_out: tuple[LeftOut, ...]  # unnamed ensembles; cited rows are not ours to run
    own: tuple[Table, ...] = ()  # tables that are not the paper's, with all of their rows


def select(names: Sequence[str], only: Sequence[str] = ()) -> Selection:
    """Return what tables, figures, `all` or files of own tables ask for.

    `only` are labels, slugs or networks of rows and curves.

    Raises: UsageError, naming the nearest ones, if there is no such table, figure, row or curve, or as `own_tables`.
    """
    files = [name for name in names if name.endswith(".py")]
    own = tuple(table for file in files for table in own_tables(Path(file)))
    names = [*(name for name in names if name not in files), *(table.name for table in own)]
    known = {table.name for table in own}
    for name in (name for name in names if name not in known):
        if name not in NAMES:
            raise UsageError(f"unknown table or figure {name!r}{nearest(name, NAMES)}; known: {', '.join(NAMES)}")
    if not names:
        raise UsageError(f"no table or figure is named; known: {', '.join(NAMES)}")
    tables = [*own, *(table for table in TABLES.values() if ALL in names or table.name in names)]
    figures = [figure for figure in FIGURES.values() if ALL in names or figure.name in names]
    name = " and ".join(dict.fromkeys(names))
    if only:
        systems: list[System] = [row for table in tables for row in table.rows]
        systems += [curve for figure in figures for curve in figure.curves]
        for one in only:
            _check(name, one, systems)
        tables = [table for table in (_rows_of(table, only) for table in tables) if table.rows]
        figures = [figure for figure in (_curves_of(figure, only) for figure in figures) if figure.panels]
    asking: list[tuple[str, Row | Curve]] = []
    left_out = []
    for table in tables:
        for row in table.rows:
            if row.availability == "ready":
                asking.append((table.name, row))
            elif row.availability == "ensemble":
                left_out.append(LeftOut(table.name, row.label, unnamed(row)))
    asking += [(figure.name, curve) for figure in figures for curve in figure.curves]
    return Selection(name, tuple(tables), tuple(figures), _tasks(asking, only), tuple(left_out), own)


def _meets(system: System, only: Iterable[str]) -> bool:
    return any(one.lower() in (system.label.lower(), system.slug, system.network) for one in only)


def _check(name: str, one: str, systems: Sequence[System]) -> None:
    if any(_meets(system, [one]) for system in systems):
        return
    slugs = list(dict.fromkeys(system.slug for system in systems))
    known = f"; there are: {', '.join(slugs)}" if len(slugs) < 30 else ""
    raise UsageError(f"{name} has no row {one!r}{nearest(one.lower(), slugs)}{known}")


def _rows_of(table: Table, only: Sequence[str]) -> Table:
    return dataclasses.replace(table, rows=tuple(row for row in table.rows if _meets(row, only)))


def _curves_of(figure: Figure, only: Sequence[str]) -> Figure:
    panels = [
        dataclasses.replace(panel, curves=tuple(curve for curve in panel.curves if _meets(curve, only)))
        for panel in figure.panels
    ]
    return dataclasses.replace(figure, panels=tuple(panel for panel in panels if panel.curves))


def _tasks(asking: Iterable[tuple[str, Row | Curve]], only: Sequence[str]) -> tuple[Task, ...]:
    """Return the distinct trainings, in the order of `only`.

    Where that says nothing they are ordered by recipe, and within it the shallow networks come first, each plain one
    followed by its residual counterpart.
    """
    found: dict[Setting, list[tuple[str, Row | Curve]]] = {}
    teachers: dict[Setting, Setting] = {}
    for name, system in asking:
        for training in (*system.trainings, *([] if system.teacher is None else [system.teacher])):
            found.setdefault(training, []).append((name, system))
            if training == system.training and system.teacher is not None:
                teachers[training] = system.teacher

    def place(training: Setting) -> int:
        """Return where `only` first names a training; 0 where it names nothing."""
        places = (at for at, one in enumerate(only) if any(_meets(system, [one]) for _, system in found[training]))
        return next(places, 0)

    # layer responses are measured for any table or figure, so that nothing is trained again for Figure 7
    panels = [panel for figure in FIGURES.values() for panel in figure.panels if panel.draws != "error"]
    responding = {curve.training for panel in panels for curve in panel.curves}
    tasks = [
        Task(
            training,
            askers=tuple((name, one.label) for name, one in askers),
            protocols=tuple(dict.fromkeys(one.protocol for _, one in askers if one.protocol is not None)),
            runs_in_the_paper=max((one.seeds for name, one in askers if name in NAMES), default=0),
            runs_of_own=max((one.seeds for name, one in askers if name not in NAMES), default=0),
            responses=training in responding,
            teacher=teachers.get(training),
            detections=tuple(
                dict.fromkeys(one.detection_test for _, one in askers if isinstance(one, Row) and one.detection_test)
            ),
            localises=any(isinstance(one, Row) and one.localises for _, one in askers),
        )
        for training, askers in found.items()
    ]
    return tuple(sorted(tasks, key=lambda task: (place(task.training), *_size(task))))


def _size(task: Task) -> tuple[int, int, str]:
    training = task.training
    return list(all_recipes()).index(training.recipe), depth_of(training.network) or 0, training.network


# ---------------------------------------------------------------- custom tables


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
        sys.path[:] = before if folder in before else [*before, folder]  # where other processes find it, too
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise UsageError(f"{path}: another module is called {path.stem!r}; give the file another name")
    declared = [table for table in vars(module).values() if isinstance(table, Table)]
    found = {table.name: dataclasses.replace(table, file=str(path)) for table in declared}
    if not found:
        raise UsageError(f"{path}: no resnets.Table is declared in it")
    for table in found.values():
        if table.name in (*TABLES, *FIGURES, "all"):
            raise UsageError(f"{path}: table {table.name!r} has a name of the paper's; give yours another name")
        for row in table.rows:
            _check_row(path, row)
    return tuple(found.values())


def _check_row(path: Path, row: Row) -> None:
    """Verify a row that is to be trained. Raises: UsageError."""
    if row.cited:
        return
    for name in ("network", "recipe", "data", "protocol"):
        if getattr(row, name) is None and not (name == "network" and row.members):
            right = " (single-view for small images, center-crop for photos)" if name == "protocol" else ""
            raise UsageError(f"{path}: row {row.label!r} has no {name}{right}")
    if row.protocol is not None and "detection" not in row.needs:
        try:
            parse_protocol(row.protocol)
        except UsageError as error:
            raise UsageError(f"{path}: row {row.label!r}: {error}") from None
    for training in (*row.trainings, *([] if row.teacher is None else [row.teacher])):
        find_family(training.network)
        if training.recipe not in all_recipes():
            RECIPES.find(training.recipe)  # names the nearest ones
