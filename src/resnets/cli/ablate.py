"""`resnets ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import options


def ablate(
    runs: options.Runs,
    data: options.DataOfRun = None,
    drop_block: Annotated[
        str, Option(help="Comma-separated blocks such as layer2.3, each of which is removed alone, or all.")
    ] = "all",
    out: Annotated[Path, Option("--out", "-o", help="Folder for ablation.json, .png and .html.")] = Path("ablation"),
    device: options.Device = "auto",
    batch_size: options.TestBatchSize = 256,
    workers: options.Workers = 2,
) -> None:
    """Test trained networks without one of their blocks: does the rest still work?

    As Veit et al. (2016): a residual block is replaced by its shortcut. Of a plain network a layer is removed.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.analysis import ablation
    from resnets.cli.display import print_analysis
    from resnets.cli.lists import names
    from resnets.report import ablation as reporting
    from resnets.report.single_page import Files

    found = ablation.ablate(drop=names(settings.pop("drop_block")) or (), **settings, notify=print)
    print_analysis(reporting.tables(found), reporting.findings(found), Files.of(out, reporting.NAME), "every number")
