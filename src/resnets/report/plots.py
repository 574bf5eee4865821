"""Plots of training error by depth, of a study's curves and of layer responses; the canvas and files of all plots.

They are drawn in the light colours of the page. As SVG in a page they take the page's colours, light or dark, and its
text; the same input gives the same file.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.errors import UsageError
from resnets.files import require_file, write_bytes
from resnets.paper.published import find_readings
from resnets.records.counts import Interval
from resnets.records.evaluations import LayerResponses
from resnets.records.studies import DepthRow
from resnets.report.depth import DepthStudy
from resnets.report.runs import depth_of
from resnets.report.wording import labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRID, PAGE = "#59616f", "#e6e8ec", "#ffffff"  # --soft, --grid and --card of page.css
SERIES = ("#1f6fb4", "#b35c00", "#1e8449", "#c0392b", "#7d3c98", "#3b4252")  # --series-1 and so on
FORMATS = (".png", ".svg", ".pdf")

_KINDS = (("plain", False, SERIES[3], "s"), ("residual", True, SERIES[0], "o"), ("registered", None, SERIES[2], "D"))


# ---------------------------------------------------------------- depth


def draw_depths(study: DepthStudy) -> Figure:
    """Return the plot of training error over depth, plain and residual, with the paper's readings if it has any."""
    figure, (axes,) = canvas(4.6, 3.0)
    both = (*study.plain, *study.residual)
    places = {layers: place for place, layers in enumerate(sorted({depth.layers for depth in both}))}
    for kind, residual, colour, marker in _KINDS[:2]:
        depths = study.residual if residual else study.plain
        if not depths:
            continue
        x, y = [places[depth.layers] for depth in depths], [depth.training for depth in depths]
        axes.plot(x, y, marker=marker, markersize=6, linewidth=2, color=colour)
        above = y[-1] >= max(depth.training for depth in both if depth.layers == depths[-1].layers)
        place: dict[str, Any] = {"xytext": (4, 9 if above else -16), "textcoords": "offset points", "ha": "right"}
        axes.annotate(kind, (x[-1], y[-1]), color=colour, fontweight="bold", **place)
        for depth in depths if study.is_cifar else ():
            name = f"{'ResNet' if residual else 'plain'}-{depth.layers}"
            for reading in find_readings("Figure 6", name, "training")[-1:]:
                axes.plot([places[depth.layers]], [reading.value], **hollow(colour, marker))
    axes.set_xticks(list(places.values()), [str(layers) for layers in places])
    axes.set_xlim(-0.35, len(places) - 0.65)
    axes.set_ylim(0, 1.12 * axes.get_ylim()[1])
    axes.set(xlabel="layers", ylabel="training error (%)")
    return figure


def study_panels(
    rows: Sequence[DepthRow], *, curve_on: str = "test", intervals: Mapping[str, Interval] | None = None
) -> list[tuple[Callable[[Axes], None], str]]:
    """Return what draws each panel of a study, and says what it shows: plain networks, then residual ones.

    With `intervals` of the networks' last tested errors a last panel has these errors by depth.

    Paper: Figures 1 and 6.
    """
    colours = colours_of(row.depth for row in rows)
    top = 5 * math.ceil(2.5 * max(max(row.curve[-1][1:]) for row in rows) / 5)
    kinds = [kind for kind in _KINDS if any(row.residual is kind[1] for row in rows)]

    def curves(kind: str, residual: bool | None, axis: Axes) -> None:
        for row in (row for row in rows if row.residual is residual):
            colour = colours[row.depth]
            iterations, training, tested = zip(*row.curve, strict=True)
            axis.plot(iterations, training, "--", color=colour, linewidth=1)
            axis.plot(iterations, tested, "-", color=colour, linewidth=2, label=_label(row))
        axis.set(title=f"{kind} networks", xlabel="iterations", ylim=(0, min(100, max(5, top))))
        axis.locator_params("x", integer=True)
        axis.set_ylabel(f"error (%)   solid: {curve_on}, dashed: training")
        legend(axis)

    shown = f"Training error, dashed, and {curve_on} error over the iterations"
    panels = [(partial(curves, kind, residual), f"{shown} of {kind} networks") for kind, residual, *_ in kinds]
    if intervals:
        by_depth = partial(_draw_intervals, rows, intervals, curve_on)
        panels.append((by_depth, f"The {curve_on} error at the end by depth, with 95 % intervals"))
    return [*panels]


def _label(row: DepthRow) -> str:
    return row.network if row.residual is None else f"{row.depth} layers"


def _draw_intervals(rows: Sequence[DepthRow], intervals: Mapping[str, Interval], curve_on: str, axes: Axes) -> None:
    depths = sorted({row.depth for row in rows})
    kinds = [kind for kind in _KINDS if any(row.residual is kind[1] for row in rows)]
    for number, (kind, residual, colour, marker) in enumerate(kinds):
        own = [row for row in rows if row.residual is residual]
        aside = 0.1 * (number - (len(kinds) - 1) / 2)  # side by side, so that all are seen
        errors = [row.curve[-1][2] for row in own]
        ends = [intervals[row.network] for row in own]
        x = [depths.index(row.depth) + aside for row in own]
        axes.errorbar(x, errors, yerr=spread(errors, ends), color=colour, marker=marker, capsize=4, label=kind)
    axes.set(title=f"{curve_on} error at the end, 95 % intervals", xlabel="layers", ylabel="error (%)")
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_xlim(-0.5, len(depths) - 0.5)
    axes.set_ylim(bottom=0)
    legend(axes)


# ---------------------------------------------------------------- layer responses


def draw_responses(found: Sequence[LayerResponses]) -> Figure:
    """Return the two panels of Figure 7: the layers in their order, and by magnitude; plain networks are dashed."""
    figure, (upper, lower) = canvas(8, 6.4, rows=2)
    colours = colours_of(depth_of(one.network) or 0 for one in found)
    for label, one in labelled(found):
        style: dict[str, Any] = {
            "color": colours[depth_of(one.network) or 0],
            "linestyle": "--" if one.network.startswith("plain") else "-",
            "linewidth": 1.6,
        }
        for axes, layers in ((upper, one.layers), (lower, one.by_magnitude)):
            axes.plot(range(1, len(layers) + 1), [layer.std for layer in layers], label=label, **style)
    upper.set(title="original order", xlabel="layer")
    lower.set(title="sorted by magnitude", xlabel="rank")
    top = max(layer.std for one in found for layer in one.layers)
    for axes in (upper, lower):
        axes.set(ylabel="standard deviation", ylim=(0, 1.05 * top))
        axes.set_xlim(left=1)
    legend(upper)
    return figure


# ---------------------------------------------------------------- canvas and files


def check_plot(path: Path) -> None:
    """Make sure that a plot can be saved under this name, before anything is measured for it.

    Raises: UsageError.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"plot {path}: its name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    require_file(path)


def save(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a plot to a PNG, SVG or PDF file; `dpi` is of a PNG.

    Raises: UsageError, if the name ends otherwise; RunError, if the file cannot be written.
    """
    check_plot(path)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower()[1:], dpi=dpi)
    write_bytes(path, content.getvalue())


def svg(figure: Figure, name: str) -> str:
    """Return a plot as an SVG element for a page: no size of its own, no date, identifiers that start with `name`."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    used = set(re.findall(r"#([^\"')]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", text)
    colours = {INK: "currentColor", GRID: "var(--grid)", PAGE: "var(--card)"}
    colours |= {colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)}
    for colour, meaning in colours.items():
        text = text.replace(colour, meaning)
    return text


def canvas(width: float, height: float, *, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of some inches and its axes, row by row, in the style of all plots."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.color": INK, "axes.labelcolor": INK, "axes.titlesize": 11}):
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.patch.set_visible(False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=10)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def spread(values: Sequence[float], intervals: Iterable[Interval]) -> list[list[float]]:
    """Return how far intervals reach below and above values, as error bars are drawn."""
    pairs = [(value - low, high - value) for value, (low, high) in zip(values, intervals, strict=True)]
    return [list(side) for side in zip(*pairs, strict=True)]


def legend(axes: Axes) -> None:
    """Add the legend of the plots' labels."""
    axes.legend(frameon=False, labelcolor=INK)


def colours_of(depths: Iterator[int]) -> dict[int, str]:
    """Return a colour for each depth, the shallowest first."""
    return {depth: SERIES[index % len(SERIES)] for index, depth in enumerate(sorted(set(depths)))}


def hollow(colour: str, marker: str) -> dict[str, Any]:
    """Return the style of a mark that is a reading of the paper's figure."""
    style = {"markersize": 5.5, "markerfacecolor": PAGE, "markeredgewidth": 1.3, "zorder": 4}
    return {"color": colour, "marker": marker, **style}
