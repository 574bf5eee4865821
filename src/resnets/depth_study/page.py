"""The page of a demo or a study: curves, findings and a table, in one file that needs no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnets.records.counts import Interval
from resnets.records.studies import DepthRow
from resnets.report import plots, single_page
from resnets.report.single_page import PAPER, PageText, Panel

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The titles of a table's columns, and its rows."""


def table(rows: Sequence[DepthRow]) -> Table:
    """Return the errors of each network, and the seconds that it took."""
    titles = ("network", "training error", "test error", "seconds")
    return titles, [
        (row.network, f"{row.training_error:.2f} %", f"{row.test_error:.2f} %", f"{row.seconds:.1f}") for row in rows
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
    template: str = "single.html",
    **values: Any,
) -> tuple[Path, Path]:
    """Draw the curves to NAME.png and write the page, NAME.html; return both paths.

    `curve_on` is the split that the curves are of; `intervals` are as in `study_panels`, `values` the template's own.

    Raises: RunError, if they cannot be written.
    """
    plot, html = folder / f"{name}.png", folder / f"{name}.html"
    note = (
        f"{text.note}. Training error is of the augmented images since the last but one test; solid lines are "
        f"{curve_on} error, dashed lines training error. After Figures 1 and 6 of {PAPER}."
    )
    titles, body = cells
    single_page.draw(
        plot,
        html,
        dataclasses.replace(text, note=note),
        [Panel(*panel) for panel in plots.study_panels(rows, curve_on=curve_on, intervals=intervals)],
        [single_page.Table(titles=titles, rows=body)],
        template=template,
        package="resnets.depth_study",
        **values,
    )
    return plot, html
