"""Does training error rise with depth? Plain beside residual networks, as Figures 1 and 6 draw them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.report import depth
from resnets.report.measured import default_shortcut
from resnets.storage import write_durably, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The titles of a table's columns, and its rows."""

Bounds = tuple[float, float, float]
"""The low end of an interval, the value itself, and the high end."""

KINDS = ((False, "plain"), (True, "residual"))


@dataclass(frozen=True)
class Row:
    """One trained network. Errors in percent; `curve` holds (iteration, training error, test error)."""

    network: str
    depth: int
    residual: bool
    training_error: float
    test_error: float
    seconds: float
    curve: tuple[tuple[int, float, float], ...]


def findings(rows: Sequence[Row], notable: float = depth.NOTABLE) -> tuple[str, ...]:
    """Return what depth does to the training error of the plain networks, and of the residual ones, in a sentence each.

    `rows` are of rising depth in each kind; of a kind with a single depth there is no sentence. A change of less than
    `notable` points does not count.
    """
    plain, residual = ([row for row in rows if row.residual is wanted] for wanted, _ in KINDS)
    sentences = []
    if len(plain) > 1:
        sentences.append(
            f"{_span(plain)} the plain network's training error goes {_steps(plain)}: {_of(plain, notable)}"
        )
    if len(residual) > 1:
        begin = f"{_span(residual)} the residual network's training error goes"
        if plain and residual[-1].depth == plain[-1].depth and len(plain) > 1:
            free = default_shortcut(residual[-1].network) == "A"
            begin = f"With shortcuts, y = F(x) + x,{' and not one parameter more,' if free else ''} it goes"
        twins = [(one, other) for one in plain for other in residual if one.depth == other.depth]
        sentences.append(f"{begin} {_steps(residual)}{_compared(*twins[-1]) if twins else '.'}")
    return tuple(sentences)


def _of(plain: Sequence[Row], notable: float) -> str:
    does = depth.trend(plain[0].training_error, plain[-1].training_error, notable)
    if does == "rises":
        return "it gets worse on the very images it is trained on, so this is not overfitting but degradation."
    return "no degradation shows at this length of training."


def _compared(plain: Row, residual: Row) -> str:
    begin = f": the {residual.depth}-layer network, at {plain.training_error:.1f} % when plain,"
    if residual.training_error < plain.training_error:
        return f"{begin} trains to {residual.training_error:.1f} %."
    return f"{begin} is no better at this length of training."


def _span(rows: Sequence[Row]) -> str:
    return f"From {rows[0].depth} to {rows[-1].depth} layers"


def _steps(rows: Sequence[Row]) -> str:
    return " -> ".join(f"{row.training_error:.1f}" for row in rows) + " %"


@dataclass(frozen=True)
class Words:
    """What a page says around its curves and its table."""

    title: str
    sentences: Sequence[str]
    note: str
    headline: str = ""
    cautions: Sequence[str] = ()


def table(rows: Sequence[Row]) -> Table:
    """Return the titles of the columns, and the cells of each row."""
    titles = ("network", "layers", "training error", "test error", "seconds")
    return titles, [
        (row.network, f"{row.depth}", f"{row.training_error:.2f} %", f"{row.test_error:.2f} %", f"{row.seconds:.1f}")
        for row in rows
    ]


def write(
    rows: Sequence[Row],
    words: Words,
    folder: Path,
    *,
    name: str = "degradation",
    cells: Table | None = None,
    curve_on: str = "test",
    bounds: Mapping[str, Bounds] | None = None,
) -> tuple[Path, Path]:
    """Draw the curves to NAME.png and to a page of their own, NAME.html; return both paths.

    `cells` is the page's table, `curve_on` the split that the curves are of; `bounds` are as in `draw`.

    Raises: RunError, if they cannot be written.
    """
    from jinja2 import Environment, PackageLoader

    figure = draw(rows, curve_on=curve_on, bounds=bounds)
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=150)
    figure.savefig(svg, format="svg", metadata={"Date": None})
    environment = Environment(loader=PackageLoader("resnets.report"), autoescape=True)
    titles, body = cells or table(rows)
    page = environment.get_template("degradation.html").render(
        words=words,
        titles=titles,
        body=body,
        curve_on=curve_on,
        bounds=bool(bounds),
        svg=svg.getvalue()[svg.getvalue().index("<svg") :],
    )
    plot, html = folder / f"{name}.png", folder / f"{name}.html"
    with writing(folder):
        write_durably(plot, png.getvalue())
        write_durably(html, page.encode())
    return plot, html


def draw(rows: Sequence[Row], *, curve_on: str = "test", bounds: Mapping[str, Bounds] | None = None) -> Figure:
    """Return the figure: plain networks left, residual ones right; training error dashed, tested error solid.

    With `bounds` (the low end, the value and the high end of each network's last tested error) a third panel shows
    these by depth.
    """
    from matplotlib.figure import Figure

    kinds = [kind for kind in KINDS if any(row.residual is kind[0] for row in rows)]
    panels = len(kinds) + bool(bounds)
    figure = Figure(figsize=(5 * panels, 4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    depths = sorted({row.depth for row in rows})
    top = 5 * math.ceil(2.5 * max(max(row.curve[-1][1:]) for row in rows) / 5)
    for axis, (residual, kind) in zip(axes, kinds, strict=False):
        for row in (row for row in rows if row.residual is residual):
            colour = f"C{depths.index(row.depth)}"
            iterations, training, tested = zip(*row.curve, strict=True)
            axis.plot(iterations, training, "--", color=colour, linewidth=1)
            axis.plot(iterations, tested, "-", color=colour, linewidth=2, label=f"{row.depth} layers")
        axis.set(title=f"{kind} networks", xlabel="iterations", ylim=(0, min(100, max(5, top))))
        axis.tick_params(labelleft=axis is axes[0])
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_ylabel(f"error (%)   solid: {curve_on}, dashed: training")
    if bounds:
        _draw_bounds(axes[-1], rows, kinds, bounds, curve_on)
    return figure


def _draw_bounds(
    axis: Axes, rows: Sequence[Row], kinds: Sequence[tuple[bool, str]], bounds: Mapping[str, Bounds], curve_on: str
) -> None:
    depths = sorted({row.depth for row in rows})
    for place, (residual, kind) in enumerate(kinds):
        own = [row for row in rows if row.residual is residual]
        ends = [bounds[row.network] for row in own]
        middle = [value for _, value, _ in ends]
        spread = [[value - low for low, value, _ in ends], [high - value for _, value, high in ends]]
        x = [depths.index(row.depth) + 0.1 * place for row in own]  # side by side, so that both are seen
        style: dict[str, Any] = {"marker": "o" if residual else "s", "linestyle": "-" if residual else ":"}
        axis.errorbar(x, middle, yerr=spread, color="C0" if residual else "C7", capsize=4, label=kind, **style)
    axis.set(title=f"{curve_on} error at the end, 95 % intervals", xlabel="layers", ylabel="error (%)")
    axis.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axis.margins(x=0.12)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend()
