"""The page of a demo or a study: curves, findings and a table, in one file that needs no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnets.records.counts import Interval
from resnets.records.studies import DepthRow
from resnets.report import plots, single_page
from resnets.report.single_page import PAPER, Files, PageText, Panel
from resnets.report.wording import Grid


def table(rows: Sequence[DepthRow]) -> Grid:
    """Return the errors of each network, and the seconds that it took."""
    return Grid(
        titles=("network", "training error", "test error", "seconds"),
        rows=[
            (row.network, f"{row.training_error:.2f} %", f"{row.test_error:.2f} %", f"{row.seconds:.1f}")
            for row in rows
        ],
    )


def write(
    rows: Sequence[DepthRow],
    text: PageText,
    cells: Grid,
    folder: Path,
    *,
    name: str,
    curve_on: str = "test",
    intervals: Mapping[str, Interval] | None = None,
    template: str = "single.html",
    **values: Any,
) -> Files:
    """Draw the curves to NAME.png and write the page, NAME.html; return the files of NAME.

    `curve_on` is the split that the curves are of; `intervals` are as in `study_panels`, `values` the template's own.

    Raises: RunError, if they cannot be written.
    """
    files = Files.of(folder, name)
    note = (
        f"{text.note}. Training error is of the augmented images since the last but one test; solid lines are "
        f"{curve_on} error, dashed lines training error. After Figures 1 and 6 of {PAPER}."
    )
    single_page.draw(
        files.plot,
        files.page,
        dataclasses.replace(text, note=note),
        [Panel(*panel) for panel in plots.study_panels(rows, curve_on=curve_on, intervals=intervals)],
        [cells],
        template=template,
        package="resnets.depth_study",
        **values,
    )
    return files
