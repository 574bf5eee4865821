"""The report as Markdown, for a README: what was measured, and nothing that was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnets.quantities import plural
from resnets.report.compare_tables import ComparedTable
from resnets.report.verdict import Status
from resnets.report.view import COMPARED, View, compared_line, is_as_printed, shown
from resnets.report.wording import Grid


def render(view: View) -> str:
    """Return what depth does, each measured table, seeds, ensembles, weights, speed and their origin."""
    blocks = [view.sentence, "\n".join(_lines(view.depths)), *view.more_sentences]
    blocks += ["\n".join(_table(table)) for table in view.tables if any(map(shown, table.rows))]
    grids = (grid for grid in (view.seeds, view.ensembles, view.weights, view.speed) if grid.rows)
    blocks += [f"**{grid.caption}**\n\n" + "\n".join(_lines(grid)) for grid in grids]
    blocks += [f"{view.machines}; `resnets report` makes a page of them."] if view.machines else []
    return "\n\n".join(block for block in blocks if block) + "\n"


def _lines(grid: Grid) -> Iterator[str]:
    if grid.rows:
        yield _line(grid.titles)
        yield f"|---|{'|'.join('---' if title in grid.words else '--:' for title in grid.titles[1:])}|"
        yield from map(_line, grid.rows)


def _line(cells: Sequence[str]) -> str:
    line = " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {line} |"


def _table(table: ComparedTable) -> Iterator[str]:
    declared = table.table
    yield f"**{declared.label}. {declared.title}**\n"
    lines = []
    for row in table.rows:
        for cell in shown(row):
            *words, status = compared_line(row, cell)
            says_why = cell.verdict.status in (Status.REDUCED, Status.DIFFERS, Status.BETTER)
            lines.append((*words, f"{status} ({cell.verdict.why})" if says_why else status))
    yield from _lines(Grid(titles=COMPARED, rows=lines, words=("", "status")))
    as_printed = sum(any(map(is_as_printed, row.cells)) for row in table.rows)
    others = Status.tally(row.verdict.status for row in table.rows if not shown(row))
    notes = []
    if as_printed:
        notes.append(f"Layers and parameters are as the paper prints them in {plural(as_printed, 'row')}.")
    if others:
        notes.append(f"The other rows: {', '.join(f'{number} {status}' for status, number in others.items())}.")
    if notes:
        yield "\n" + " ".join(notes)
