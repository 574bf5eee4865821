"""`resnets gradients`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.cli import options


def gradients(
    targets: Annotated[
        list[str],
        Argument(metavar="RUN|NETWORK...", help="Run folders, or networks such as plain56.", show_default=False),
    ],
    data: options.DataOfRun = None,
    seeds: Annotated[int, Option(help="Initialisations of each network, with seeds 0, 1 ...")] = 3,
    iterations: Annotated[
        int | None, Option(help="Train for N iterations and measure during training.", show_default="no training")
    ] = None,
    points: Annotated[int, Option(help="Measurements during such a training, at equal ratios of iterations.")] = 6,
    batches: Annotated[int, Option(help="Mini-batches that each number is a mean over.")] = 4,
    recipe: options.Recipe = None,
    out: Annotated[Path, Option("--out", "-o", help="Folder for gradients.json, .png and .html.")] = Path("gradients"),
    device: options.Device = "auto",
    workers: options.Workers = 2,
) -> None:
    """Measure the norm of the gradient at each layer: does it vanish in deep plain networks?

    Of networks at initialisation, and with --iterations over a training; of runs by their checkpoints and weights.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.analysis import gradients as measuring
    from resnets.cli.display import print_analysis
    from resnets.report import gradients as reporting
    from resnets.report.single_page import Files

    found = measuring.gradients(**settings, notify=print)
    table = reporting.table(found)
    table = replace(table, titles=table.titles[:-1], rows=[cells[:-1] for cells in table.rows])
    print_analysis([table], reporting.findings(found), Files.of(out, reporting.NAME), "every layer")
