"""`resnets compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def compare(
    runs: Annotated[
        list[Path], Argument(metavar="RUN RUN...", help="Run folders or result files.", show_default=False)
    ],
    out: Annotated[Path, Option("--out", "-o", help="Folder for comparison.html and .png.")] = Path("comparison"),
) -> None:
    """Compare finished runs: their curves, their errors with intervals, and the settings that differ."""
    from resnets.cli.display import print_table
    from resnets.report import compare_runs

    found = compare_runs.compare(runs, out=out)
    table = found.errors
    print_table(table.titles[:5], [cells[:5] for cells in table.rows], words=("network",), title=table.caption)
    labels = tuple(run.label for run in found.runs)
    if found.differences:
        rows = [(name, *values) for name, values in found.differences.items()]
        print_table(("setting", *labels), rows, words=labels, title="Settings that differ")
    for sentence in found.sentences:
        print(sentence)
    print(f"The page: {found.page}; the figure: {found.plot}")
