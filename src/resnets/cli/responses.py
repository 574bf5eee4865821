"""`resnets responses`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import options


def responses(
    runs: options.Runs,
    data: options.DataOfRun = None,
    images: Annotated[
        int | None, Option(help="Number of test images, evenly spaced over the split.", show_default="all")
    ] = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Result file to write with each layer's response, for `resnets report`."),
    ] = None,
    plot: Annotated[
        Path | None, Option("--plot", help="Plot file to write with Figure 7's two panels: .png, .svg or .pdf.")
    ] = None,
    device: options.Device = "auto",
    batch_size: options.TestBatchSize = 256,
    workers: options.Workers = 2,
) -> None:
    """Measure the layer responses of trained networks on the test images, as in Figure 7.

    A response is the standard deviation of a layer's output after batch norm, before ReLU or the addition.

    It is computed over all images together, and for the median image, which a few outliers do not change.
    """
    from resnets.cli.display import print_table
    from resnets.evaluation import responses as measuring
    from resnets.files import require_file
    from resnets.quantities import plural
    from resnets.report import plots
    from resnets.report.responses import findings

    if plot is not None:
        plots.check_plot(plot)
    require_file(out)
    found = measuring.responses(runs, data, images=images, device=device, batch_size=batch_size, workers=workers)
    print(f"Layer responses to {plural(found[0].images, 'test image')} of {found[0].data}: {measuring.PROTOCOL}.")
    print("The table shows means over the layers, and the layer with the largest std.")
    print_table(
        ("network", "run", "std", "median", "batch\nstd", "batch\nmedian", "largest std"),
        [
            (
                one.network,
                one.source,
                *(f"{number:.2f}" for number in (mean.std, mean.median, mean.batch_std, mean.batch_median)),
                f"{one.by_magnitude[0].std:.2f} ({one.by_magnitude[0].layer})",
            )
            for one, mean in ((one, one.mean) for one in found)
        ],
        words=("run",),
    )
    for sentence in findings(found):
        print(sentence)
    if out is not None:
        measuring.write_json(found, out)
        print(f"Each layer's response: {out}")
    if plot is not None:
        plots.save(plots.draw_responses(found), plot)
        print(f"The figure: {plot}")
