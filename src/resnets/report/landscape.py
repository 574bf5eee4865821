"""Loss surfaces: the figure, what is read off it, and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.quantities import plural
from resnets.records.analyses import Landscape, Surface
from resnets.report import plots, single_page
from resnets.report.single_page import Files, PageText, Panel
from resnets.report.wording import Grid, labelled, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "landscape"
CAUTIONS = (
    "A plane shows two of hundreds of thousands of directions, drawn at random: a surface that looks convex in it need "
    "not be so. Other seeds give other planes; compare several.",
    "The surface is around the weights that a training ended at, with batch norm's statistics of that end. It is not "
    "what a training meets on its way.",
)


def findings(record: Landscape) -> Iterator[str]:
    """Yield for each network its loss at the trained weights, and how much of the plane is better than chance."""
    chance = math.log(record.classes)
    for label, surface in labelled(record.surfaces):
        yield (
            f"{label}: the loss is {_shown(_centre(surface))} at the trained weights, and below that of chance, "
            f"ln {record.classes} = {chance:.2f}, on {_share(record, surface):.0f} % of the plane."
        )


def headline(record: Landscape) -> str:
    """Return in a sentence on how much of the plane each network is better than chance."""
    shares = [
        f"{_share(record, surface):.0f} % of the plane around {label}" for label, surface in labelled(record.surfaces)
    ]
    return f"The loss is below that of chance on {listed(shares)}."


def _share(record: Landscape, surface: Surface) -> float:
    """Return the share of the plane, in percent, where the loss is below that of chance."""
    losses = [loss for row in surface.losses for loss in row]
    return 100 * sum(loss is not None and loss < math.log(record.classes) for loss in losses) / len(losses)


def _centre(surface: Surface) -> float | None:
    middle = len(surface.losses) // 2
    return surface.losses[middle][middle]


def _shown(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.3g}"


def table(record: Landscape) -> Grid:
    """Return the losses of each network along the first direction, through the trained weights."""
    count = len(record.steps)
    chosen = sorted({round(index * (count - 1) / 4) for index in range(5)})
    rows = [
        (label, *(_shown(surface.losses[count // 2][index]) for index in chosen))
        for label, surface in labelled(record.surfaces)
    ]
    titles = ("network", *(f"{record.steps[index]:+.2f}".replace("-", "−") for index in chosen))
    return Grid(titles=titles, rows=rows, caption="Loss by the step along the first direction, through the middle")


def panels(record: Landscape) -> list[Panel]:
    """Return a panel for each network, with the same levels."""
    return [
        Panel(
            partial(_draw, record, label, surface),
            f"Contours of the loss around the trained weights of {label}; the table below has a line through them.",
        )
        for label, surface in labelled(record.surfaces)
    ]


def _draw(record: Landscape, label: str, surface: Surface, axes: Axes) -> None:
    import numpy as np

    known = [loss for one in record.surfaces for row in one.losses for loss in row if loss is not None and loss > 0]
    low, high = (math.log10(end) for end in (min(known, default=0.1), max(known, default=10.0)))
    levels = 10.0 ** np.arange(math.floor(4 * low) / 4, math.ceil(4 * high) / 4 + 0.01, 0.25)
    losses = np.array([[math.nan if loss is None else loss for loss in row] for row in surface.losses])
    losses = np.ma.masked_invalid(np.maximum(losses, levels[0]))
    from matplotlib.colors import LogNorm

    steps = record.steps
    filled = axes.contourf(steps, steps, losses, levels=levels, norm=LogNorm(levels[0], levels[-1]), cmap="viridis_r")
    chance = [math.log(record.classes)]
    if losses.min() < chance[0] < losses.max():
        axes.contour(steps, steps, losses, levels=chance, colors=plots.SERIES[3], linewidths=1.6)
    axes.plot([0], [0], "+", color=plots.SERIES[3])
    axes.set(title=label, xlabel="step along the first direction", ylabel="along the second", aspect="equal")
    axes.grid(False)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(
        filled, ax=axes, shrink=0.8, ticks=[10.0**n for n in range(math.floor(low), math.ceil(high) + 1)]
    )
    bar.set_label("loss", color=plots.INK)
    bar.ax.tick_params(colors=plots.INK, labelsize=9)
    bar.outline.set_visible(False)


def write(record: Landscape, folder: Path) -> Files:
    """Write landscape.json, landscape.png and landscape.html. Raises: RunError."""
    text = PageText(
        title="The loss around trained weights",
        headline=headline(record),
        sentences=(
            *findings(record),
            "The colours are of the loss, on the same logarithmic scale for all networks; the line is where it is that "
            "of chance.",
        ),
        cautions=CAUTIONS,
        note=f"{record.data}, {plural(record.images, 'training image')}, {len(record.steps)} x {len(record.steps)} "
        f"points, seed {record.seed}; {single_page.origin(record.provenance)}. What is drawn: {record.protocol}. "
        f"{NAME}.json has the grid",
    )
    return single_page.publish(folder, NAME, record, text, panels(record), [table(record)])
