"""`resnets responses`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.data.sources import SOURCES


def responses(
    runs: Annotated[list[Path], Argument(help="Folders of runs, or .safetensors files.", show_default=False)],
    data: Annotated[str, Option("--data", "-d", help=SOURCES.help(), show_default=False)],
    images: Annotated[
        int | None, Option(help="Test images, evenly spaced over the split.", show_default="all of them")
    ] = None,
    json: Annotated[
        Path | None, Option("--json", help="Write each layer's response to a file, which `resnets report` reads.")
    ] = None,
    plot: Annotated[Path | None, Option("--plot", help="Draw Figure 7's two panels to a .png, .svg or .pdf.")] = None,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    batch_size: Annotated[int, Option(help="Images at a time; the result is the same.")] = 256,
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
) -> None:
    """Measure how strongly the layers of trained networks respond: Figure 7, by the test images.

    A response is the standard deviation of a layer's output after batch norm, before ReLU or the addition.

    It is taken over all images at once, and for the median image, which a few outlier images do not change.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.evaluation import responses as measuring
    from resnets.files import require_file
    from resnets.report import plots
    from resnets.report.responses import findings

    if plot is not None:
        plots.check_plot(plot)
    if json is not None:
        require_file(json)
    found = measuring.responses(runs, data, images=images, device=device, batch_size=batch_size, workers=workers)
    print(f"Layer responses to {found[0].images:,} test images of {found[0].data}: {measuring.PROTOCOL}.")
    print("The table has their means over the layers, and the layer with the largest std.")
    table = Table()
    table.add_column("network", no_wrap=True)
    table.add_column("run", overflow="fold")
    for title in ("std", "median", "batch\nstd", "batch\nmedian", "largest std"):
        table.add_column(title, justify="right")
    for one in found:
        mean, strongest = one.mean, one.by_magnitude[0]
        numbers = (mean.std, mean.median, mean.batch_std, mean.batch_median)
        table.add_row(
            one.network,
            escape(one.source),
            *(f"{number:.2f}" for number in numbers),
            f"{strongest.std:.2f} ({strongest.layer})",
        )
    Console(highlight=False, soft_wrap=True).print(table)
    for sentence in findings(found):
        print(sentence)
    if json is not None:
        measuring.write_json(found, json)
        print(f"Each layer's response: {json}")
    if plot is not None:
        plots.save(plots.draw_responses(found), plot)
        print(f"The figure: {plot}")
