"""The paper's figures: our curves as lines, the paper's readings as hollow marks; for the page and as files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.paper.declarations import Panel
from resnets.report import plots
from resnets.report.compare_figures import ComparedCurve, ComparedFigure, Drawing
from resnets.report.runs import depth_of
from resnets.report.view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_OF_DEPTH = {18: 1, 20: 1, 32: 2, 44: 3, 34: 4, 56: 4, 110: 5, 1202: 6}  # the series of the paper's networks
_WIDTHS = {"solid": 1.7, "dashed": 1.1, "thin": 0.8, "bold": 2.0}
_DASHES = (0, (4, 2))
_STYLES = {
    "dashed": ("training error", True, 1.4),
    "thin": ("training error", False, 1.1),
    "bold": ("test error", False, 2.8),
}


def draw_figure(compared: ComparedFigure) -> list[list[tuple[Drawing, str]]]:
    """Return the SVG of each drawing of a figure, row by row."""
    rows = []
    for name, row in _named_rows(compared):
        drawn = []
        for index, one in enumerate(row, start=1):
            figure, (axes,) = plots.canvas(4.4, 3.3)
            _draw(axes, one, _top(row, one))
            drawn.append((one, plots.svg(figure, f"{name}-{index}")))
        rows.append(drawn)
    return rows


def write_figures(view: View, folder: Path) -> list[Path]:
    """Write each figure that has measurements, and training error by depth, as a PNG and a PDF file with a legend.

    A figure whose runs have several lengths is a file for each length, the longest first: `figure6`, `figure6-2`.

    Raises: RunError, if a file cannot be written.
    """
    drawn = [("depth", plots.draw_depths(view.study))] if view.study else []
    drawn += [(name, draw_row(one, row)) for one in view.figures for name, row in _named_rows(one)]
    written = []
    for name, figure in drawn:
        for suffix in (".png", ".pdf"):
            written.append(folder / f"{name}{suffix}")
            plots.save(figure, written[-1], dpi=200)
    return written


def networks(compared: ComparedFigure) -> list[tuple[str, int, bool, float]]:
    """Return a legend's networks: label, number of the colour, whether it is dashed, and the line's width."""
    responses = compared.figure.panels[0].draws != "error"
    found = {
        curve.curve.label: (curve.curve.label, _series(curve), responses and curve.is_plain, 2.6)
        for curve in compared.curves
        if curve.curve.drawn
    }
    return list(found.values())


def styles(compared: ComparedFigure) -> list[tuple[str, bool, float]]:
    """Return a legend's kinds of lines: label, whether it is dashed, and the line's width."""
    used = {curve.curve.style: curve.curve for curve in compared.curves}
    return [
        (label.replace("test", "validation") if curve.split == "validation" else label, dashes, width)
        for style, curve in used.items()
        if style in _STYLES
        for label, dashes, width in [_STYLES[style]]
    ]


def _named_rows(compared: ComparedFigure) -> Iterator[tuple[str, Sequence[Drawing]]]:
    for number, row in enumerate(compared.drawings, start=1):
        yield compared.figure.name + (f"-{number}" if number > 1 else ""), row


def draw_row(compared: ComparedFigure, row: Sequence[Drawing]) -> Figure:
    """Return a row of plots as one figure that needs no page around it."""
    figure, panels = plots.canvas(4.4 * len(row), 4.0, columns=len(row))
    for axes, one in zip(panels, row, strict=True):
        _draw(axes, one, _top(row, one))
        axes.set_title(one.title)
    marked = any(line.get_marker() != "None" for axes in panels for line in axes.lines)
    handles = list(_legend(compared, row, marked))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2 * len(row), frameon=False, fontsize=9, labelcolor=plots.INK
    )
    return figure


def _legend(compared: ComparedFigure, row: Sequence[Drawing], marked: bool) -> Iterator[Line2D]:
    from matplotlib.lines import Line2D

    drawn = {one.curve.label for drawing in row for one, _ in drawing.runs}
    for label, number, dashed, width in networks(compared):
        if label in drawn:
            yield _line(label, plots.SERIES[number - 1], dashed, width)
    for label, dashed, width in styles(compared):
        yield _line(label, plots.INK, dashed, width)
    if marked:
        yield Line2D([], [], label="the paper's figure", linestyle="none", **plots.hollow(plots.INK, "o"))


def _line(label: str, colour: str, dashed: bool, width: float) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, color=colour, linewidth=width, linestyle=_DASHES if dashed else "-")


def _series(curve: ComparedCurve) -> int:
    """Return the number of a curve's colour, that of its network's depth."""
    return _OF_DEPTH.get(depth_of(curve.curve.network or "") or 0, len(plots.SERIES))


def _draw(axes: Axes, drawing: Drawing, top: float | None) -> None:
    panel = drawing.panel
    for curve, run in drawing.runs:
        dashed = curve.curve.style == "dashed" or (panel.draws != "error" and curve.is_plain)
        style: dict[str, Any] = {"linestyle": _DASHES if dashed else "-", "linewidth": _WIDTHS[curve.curve.style]}
        axes.plot(*drawing.points(curve, run), color=plots.SERIES[_series(curve) - 1], **style)
    _set_axes(axes, drawing, top)
    for curve, _ in drawing.curves:
        _draw_readings(axes, curve, panel)


def _draw_readings(axes: Axes, curve: ComparedCurve, panel: Panel) -> None:
    """Mark the paper's readings; a mark on the frame is drawn in full, one beyond it not at all."""
    square = curve.curve.split == "training" if panel.draws == "error" else curve.is_plain
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for reading in curve.curve.published:
        if reading.at is None:
            continue
        end = reading.at if reading.until is None else reading.until
        places = [reading.at, end] if panel.draws != "error" and end != reading.at else [(reading.at + end) / 2]
        if left <= places[0] and places[-1] <= right and low <= reading.value <= high:
            style = plots.hollow(plots.SERIES[_series(curve) - 1], "s" if square else "o")
            axes.plot(places, [reading.value] * len(places), "-", clip_on=False, **style)


def _top(row: Sequence[Drawing], drawing: Drawing) -> float | None:
    """Return the axis's upper end: the paper's, or higher where a curve of ours in this row ends above it."""
    high = drawing.panel.y.high
    if high is None:
        return None
    needed = 1.25 * max(one.points(curve, run)[1][-1] for one in row for curve, run in one.runs)
    return high if needed <= high else min(100.0, 5.0 * math.ceil(needed / 5))


def _set_axes(axes: Axes, drawing: Drawing, top: float | None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    x, y = drawing.panel.x, drawing.panel.y
    axes.set_xlim(*drawing.bounds)
    readings = [reading.value for curve in drawing.panel.curves for reading in curve.published]
    automatic = 1.05 * max([axes.get_ylim()[1] / 1.05, *readings])
    axes.set_ylim(0 if y.low is None else y.low, automatic if top is None else top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    scale = x.scale if drawing.is_full_length else 1
    if scale != 1:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set_xlabel(x.label if scale == 1 else f"{x.label} ({scale:.0e})".replace("e+0", "e"))
    axes.set_ylabel(f"{y.label} ({y.unit})" if y.unit else y.label)
