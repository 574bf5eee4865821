"""Plots as SVG that lives in a page: its text is text, its colours are the page's, the same input is the same output.

Each panel is a drawing of its own, so that a page can put them side by side or one below the other.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnets.paper.declarations import Panel
from resnets.paper.published import find_readings
from resnets.report.curves import ComparedCurve, ComparedFigure
from resnets.report.depth import DepthStudy
from resnets.report.measured import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _GRID, _PAGE = "#00000f", "#0000f0", "#0000ff"  # stand for the page's colours until the drawing is text
_SERIES = {18: 1, 20: 1, 32: 2, 44: 3, 34: 4, 56: 4, 110: 5, 1202: 6}  # a depth's colour, plain or residual
_WIDTHS = {"solid": 1.7, "dashed": 1.1, "thin": 0.8, "bold": 2.0}


@dataclass(frozen=True)
class Line:
    """What is drawn of one run: positions along the axis, and values."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    run: Measured


def series(curve: ComparedCurve) -> int:
    """Return the number of a curve's colour."""
    return _SERIES.get(_depth(curve), 6)


def line(curve: ComparedCurve, panel: Panel) -> Line | None:
    """Return what is drawn of a curve, its first seed; a shorter run is drawn over the length of a full one.

    Paper: the axis is the declared recipe's, so that the drops of the learning rate stand where the paper's do.
    """
    if not curve.drawn:
        return None
    run = curve.drawn[0]
    if panel.draws != "error":
        values = [response.std for response in run.responses]
        ordered = sorted(values, reverse=True) if panel.draws == "sorted responses" else values
        return Line(tuple(range(1, len(ordered) + 1)), tuple(ordered), run)
    stretch = run.declared_iterations / run.iterations
    errors = (point.training if curve.curve.split == "training" else point.tested for point in run.curve)
    return Line(tuple(point.iteration * stretch for point in run.curve), tuple(errors), run)


def draw(compared: ComparedFigure) -> Iterator[tuple[Panel, str]]:
    """Yield each panel of a figure and its SVG: our curves as lines, the paper's readings as hollow marks."""
    figure = compared.figure
    for index, (panel, curves) in enumerate(zip(figure.panels, compared.panels, strict=True)):
        drawing, axes = _canvas(4.4, 3.3)
        for curve in curves:
            if curve.curve.drawn:
                _draw_curve(axes, curve, panel)
        _set_axes(axes, panel, _top(compared, panel))
        for curve in curves:
            if curve.curve.drawn:
                _draw_readings(axes, curve, panel)
        yield panel, _svg(drawing, f"{figure.name}-{index + 1}")


def draw_depths(study: DepthStudy) -> str:
    """Return the SVG of training error over depth, plain beside residual, with the paper's readings if it has any."""
    drawing, axes = _canvas(4.6, 3.0)
    both = (*study.plain, *study.residual)
    places = {layers: place for place, layers in enumerate(sorted({depth.layers for depth in both}))}
    for name, kind, depths, colour, marker in (
        ("plain", "plain", study.plain, 4, "s"),
        ("residual", "ResNet", study.residual, 1, "o"),
    ):
        if not depths:
            continue
        x, y = [places[depth.layers] for depth in depths], [depth.training for depth in depths]
        axes.plot(x, y, marker=marker, markersize=6, linewidth=2, color=_colour(colour))
        above = y[-1] >= max(depth.training for depth in both if depth.layers == depths[-1].layers)
        axes.annotate(
            name,
            (x[-1], y[-1]),
            xytext=(4, 9 if above else -16),
            textcoords="offset points",
            ha="right",
            color=_colour(colour),
            fontweight="bold",
        )
        for depth in depths if study.is_cifar else ():
            for reading in find_readings("Figure 6", f"{kind}-{depth.layers}", "training")[-1:]:
                axes.plot([places[depth.layers]], [reading.value], marker, **_hollow(colour))
    axes.set_xticks(list(places.values()), [str(layers) for layers in places])
    axes.set_xlim(-0.35, len(places) - 0.65)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.set_xlabel("layers")
    axes.set_ylabel("training error (%)")
    return _svg(drawing, "depth")


# ---------------------------------------------------------------- curves and readings


def _depth(curve: ComparedCurve) -> int:
    match = re.search(r"\d+", curve.curve.network or "")
    return int(match[0]) if match else 0


def _colour(number: int) -> str:
    return f"#0000{number:02x}"


def _hollow(number: int) -> dict[str, Any]:
    return {"markersize": 5.5, "color": _colour(number), "markerfacecolor": _PAGE, "markeredgewidth": 1.3, "zorder": 4}


def _draw_curve(axes: Axes, curve: ComparedCurve, panel: Panel) -> None:
    number, declared = series(curve), curve.curve
    if found := line(curve, panel):
        plain = panel.draws != "error" and not found.run.is_residual
        dashes = (0, (4, 2)) if declared.style == "dashed" or plain else "-"
        axes.plot(found.x, found.y, linestyle=dashes, linewidth=_WIDTHS[declared.style], color=_colour(number))


def _draw_readings(axes: Axes, curve: ComparedCurve, panel: Panel) -> None:
    """Mark the paper's readings; a mark on the frame is drawn in full, one beyond it not at all."""
    is_plain = not (curve.curve.network or "").startswith("resnet")
    marker = "s" if (is_plain if panel.draws != "error" else curve.curve.split == "training") else "o"
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for reading in curve.curve.published:
        if reading.at is None:
            continue
        end = reading.at if reading.until is None else reading.until
        places = [reading.at, end] if panel.draws != "error" and end != reading.at else [(reading.at + end) / 2]
        if left <= places[0] and places[-1] <= right and low <= reading.value <= high:
            style = _hollow(series(curve))
            axes.plot(places, [reading.value] * len(places), "-", marker=marker, clip_on=False, **style)


def _top(compared: ComparedFigure, panel: Panel) -> float | None:
    """Return the axis's upper end: the paper's, or higher where our curves, of shorter runs, end above it."""
    if panel.y.high is None:
        return None
    ends = [
        found.y[-1]
        for curves in compared.panels
        for curve in curves
        if curve.curve.drawn and (found := line(curve, panel))
    ]
    needed = 1.25 * max(ends, default=0.0)
    return panel.y.high if needed <= panel.y.high else min(100.0, 5.0 * math.ceil(needed / 5))


def _set_axes(axes: Axes, panel: Panel, top: float | None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    x, y = panel.x, panel.y
    axes.set_xlim(x.low, x.high)
    readings = [reading.value for curve in panel.curves for reading in curve.published]
    automatic = 1.05 * max([axes.get_ylim()[1] / 1.05, *readings])
    axes.set_ylim(0 if y.low is None else y.low, automatic if top is None else top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    if x.scale != 1:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / x.scale:g}"))
    axes.set_xlabel(x.label if x.scale == 1 else f"{x.label} ({x.scale:.0e})".replace("e+0", "e"))
    axes.set_ylabel(f"{y.label} ({y.unit})" if y.unit else y.label)


# ---------------------------------------------------------------- SVG


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    drawing.patch.set_visible(False)
    axes = drawing.subplots()
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=10)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return drawing, axes


def _svg(drawing: Figure, name: str) -> str:
    """Return a drawing as an SVG element: no size of its own, no date, identifiers that begin with its name."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
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
    for colour, meaning in ((_INK, "currentColor"), (_GRID, "var(--grid)"), (_PAGE, "var(--card)")):
        text = text.replace(colour, meaning)
    return re.sub(r"#0000(0[1-9])", lambda m: f"var(--series-{int(m[1])})", text)
