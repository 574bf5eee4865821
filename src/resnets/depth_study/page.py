"""The page of a demo or a study: curves, findings and a table, in one file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets.files import write_durably, writing
from resnets.records.counts import Interval
from resnets.records.studies import DepthRow
from resnets.report import plots
from resnets.report.page import environment

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The titles of a table's columns, and its rows."""


@dataclass(frozen=True, kw_only=True)
class PageText:
    """What a page says around its curves and its table."""

    title: str
    sentences: Sequence[str]
    note: str
    headline: str = ""
    cautions: Sequence[str] = ()


def table(rows: Sequence[DepthRow]) -> Table:
    """Return the errors of each network, and the seconds that it took."""
    titles = ("network", "layers", "training error", "test error", "seconds")
    return titles, [
        (row.network, f"{row.depth}", f"{row.training_error:.2f} %", f"{row.test_error:.2f} %", f"{row.seconds:.1f}")
        for row in rows
    ]


def write(
    rows: Sequence[DepthRow],
    text: PageText,
    cells: Table,
    folder: Path,
    *,
    name: str,
    curve_on: str = "test",
    intervals: Mapping[str, Interval] | None = None,
) -> tuple[Path, Path]:
    """Draw the curves to NAME.png and write the page, NAME.html; return both paths.

    `curve_on` is the split that the curves are of; `intervals` are as in `draw_study`.

    Raises: RunError, if they cannot be written.
    """
    figure = plots.draw_study(rows, curve_on=curve_on, intervals=intervals)
    plot, page = folder / f"{name}.png", folder / f"{name}.html"
    plots.save(figure, plot)
    titles, body = cells
    content = (
        environment("resnets.depth_study")
        .get_template("study.html")
        .render(
            text=text,
            titles=titles,
            body=body,
            curve_on=curve_on,
            intervals=bool(intervals),
            svg=plots.svg(figure, name),
        )
    )
    with writing(page):
        write_durably(page, content.encode())
    return plot, page
