"""Networks without one of their blocks: the figure, what is read off it, and the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.records.analyses import Ablation, NetworkAblation
from resnets.report import plots, single_page
from resnets.report.single_page import Files, PageText, Panel
from resnets.report.wording import Grid, labelled, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "ablation"
CAUTIONS = (
    "The networks were not trained again without the unit, nor were they trained to do without it. That a block can be "
    "missing does not mean that it has learned nothing.",
    "A block of a residual network is two or three layers; of a plain network single layers are removed, which leaves "
    "more of it.",
)


def findings(record: Ablation) -> Iterator[str]:
    """Yield for each network the error of the whole, and the median and the worst without one unit."""
    for label, one in labelled(record.networks):
        if not one.removed:
            continue
        worst = max(one.removed, key=lambda removed: removed.error)
        median = statistics.median(removed.error for removed in one.removed)
        shape = ", whose shortcut changes the maps' shape" if worst.is_projection else ""
        yield (
            f"{label}: {one.error:.2f} % test error as a whole, {median:.2f} % in the median without one {one.unit}, "
            f"{worst.error:.2f} % at worst, without {worst.unit}{shape}. Chance is {record.chance:.1f} %."
        )


def headline(record: Ablation) -> str:
    """Return in a sentence the errors of the networks without one unit."""
    found = [
        f"{label} without one {one.unit} on {statistics.median(removed.error for removed in one.removed):.1f} %"
        for label, one in labelled(record.networks)
        if one.removed
    ]
    return f"Wrong in the median: {listed(found)} of the test images." if found else "Nothing was removed."


def tables(record: Ablation) -> list[Grid]:
    """Return for each network a table of its units."""
    return [
        Grid(
            titles=("without", "test error", "95 % interval", "more than the whole"),
            rows=[
                ("nothing", f"{one.error:.2f} %", f"{one.interval[0]:.1f} to {one.interval[1]:.1f} %", ""),
                *(
                    (
                        f"{removed.unit}{' (shape changes)' if removed.is_projection else ''}",
                        f"{removed.error:.2f} %",
                        f"{removed.interval[0]:.1f} to {removed.interval[1]:.1f} %",
                        f"{removed.error - one.error:+.2f}",
                    )
                    for removed in one.removed
                ),
            ],
            caption=f"{label}: test error without one {one.unit}"
            + (f"; what changes the maps' shape stays: {', '.join(one.kept)}" if one.kept else ""),
        )
        for label, one in labelled(record.networks)
    ]


def panels(record: Ablation) -> list[Panel]:
    """Return a panel for each network, with the same axis of errors."""
    top = max(record.chance, *(removed.error for one in record.networks for removed in one.removed), 1.0)
    return [
        Panel(
            partial(_draw, record, label, one, 1.08 * top),
            f"Test error of {label} without one {one.unit} after the other; the table below has the numbers.",
        )
        for label, one in labelled(record.networks)
    ]


def _draw(record: Ablation, label: str, one: NetworkAblation, top: float, axes: Axes) -> None:
    places = range(1, len(one.removed) + 1)
    errors = [removed.error for removed in one.removed]
    spread = plots.spread(errors, [removed.interval for removed in one.removed])
    colour = plots.SERIES[3 if one.unit == "layer" else 0]
    axes.errorbar(places, errors, yerr=spread, fmt="none", color=colour, elinewidth=1)
    for changes, face, words in ((False, colour, f"without a {one.unit}"), (True, plots.PAGE, "shape changes")):
        chosen = [
            (at, error) for at, error, r in zip(places, errors, one.removed, strict=True) if r.is_projection == changes
        ]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), "o", color=colour, markerfacecolor=face, label=words)
    axes.axhline(one.error, color=plots.SERIES[2], linewidth=1.4, label="whole")
    axes.axhline(record.chance, color=plots.INK, linewidth=1, linestyle=":", label="chance")
    axes.set(title=label, xlabel=f"{one.unit} that is left out", ylabel="test error (%)", ylim=(0, top))
    axes.locator_params("x", integer=True)
    plots.legend(axes)


def write(record: Ablation, folder: Path) -> Files:
    """Write ablation.json, ablation.png and ablation.html. Raises: RunError."""
    text = PageText(
        title="Without one block",
        headline=headline(record),
        sentences=tuple(findings(record)),
        cautions=CAUTIONS,
        note=f"{record.data}, {record.images:,} test images; {single_page.origin(record.provenance)}. What is "
        f"measured: {record.protocol}. {NAME}.json has every number",
    )
    return single_page.publish(folder, NAME, record, text, panels(record), tables(record))
