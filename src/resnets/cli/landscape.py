"""`resnets landscape`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import options


def landscape(
    runs: options.Runs,
    data: options.DataOfRun = None,
    points: Annotated[int, Option(help="Points on each side of the grid, an odd number.")] = 25,
    extent: Annotated[float, Option(help="Half the grid's side; at 1 a filter has moved by its own norm.")] = 1.0,
    images: Annotated[int, Option(help="Training images that the loss is of, evenly spaced.")] = 1000,
    seed: Annotated[int, Option(help="Random seed of the two directions.")] = 0,
    out: Annotated[Path, Option("--out", "-o", help="Folder for landscape.json, .png and .html.")] = Path("landscape"),
    device: options.Device = "auto",
) -> None:
    """Draw the loss around trained weights, along two random directions, normalised filter by filter.

    As Li et al. (2018): of plain and residual networks side by side, with the same colours.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.analysis import landscape as measuring
    from resnets.cli.display import print_analysis
    from resnets.report import landscape as reporting
    from resnets.report.single_page import Files

    found = measuring.landscape(**settings, notify=print)
    print_analysis([reporting.table(found)], reporting.findings(found), Files.of(out, reporting.NAME), "the grid")
