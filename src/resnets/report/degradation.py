"""Does training error rise with depth? Plain beside residual networks, as Figures 1 and 6 draw them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.storage import write_durably

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def findings(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return two sentences: what depth does to the training error of the plain networks, and of the residual ones."""
    plain, residual = ([row for row in rows if row.residual is wanted] for wanted, _ in KINDS)
    degraded = plain[-1].training_error > plain[0].training_error
    first = (
        f"From {plain[0].depth} to {plain[-1].depth} layers the plain network's training error goes "
        f"{_steps(plain)}: "
        + (
            "it gets worse on the very images it is trained on, so this is not overfitting but degradation."
            if degraded
            else "no degradation shows at this length of training."
        )
    )
    deepest_plain, deepest = plain[-1], residual[-1]
    if deepest.training_error < deepest_plain.training_error:
        compared = f"at {deepest_plain.training_error:.1f} % when plain, trains to {deepest.training_error:.1f} %."
    else:
        compared = f"at {deepest_plain.training_error:.1f} % when plain, is no better at this length of training."
    second = (
        f"With shortcuts, y = F(x) + x, and not one parameter more, it goes {_steps(residual)}: "
        f"the {deepest.depth}-layer network, {compared}"
    )
    return first, second


def _steps(rows: Sequence[Row]) -> str:
    return " -> ".join(f"{row.training_error:.1f}" for row in rows) + " %"


def write(rows: Sequence[Row], sentences: Sequence[str], folder: Path, *, title: str, note: str) -> tuple[Path, Path]:
    """Draw the curves to degradation.png and to a page of their own, degradation.html; return both paths."""
    from jinja2 import Environment, PackageLoader

    figure = draw(rows)
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=150)
    figure.savefig(svg, format="svg", metadata={"Date": None})
    environment = Environment(loader=PackageLoader("resnets.report"), autoescape=True)
    page = environment.get_template("degradation.html").render(
        title=title, note=note, rows=rows, sentences=sentences, svg=svg.getvalue()[svg.getvalue().index("<svg") :]
    )
    plot, html = folder / "degradation.png", folder / "degradation.html"
    write_durably(plot, png.getvalue())
    write_durably(html, page.encode())
    return plot, html


def draw(rows: Sequence[Row]) -> Figure:
    """Return the figure: plain networks left, residual ones right; training error dashed, test error solid."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    depths = sorted({row.depth for row in rows})
    for axis, (residual, kind) in zip(axes, KINDS, strict=True):
        for row in (row for row in rows if row.residual is residual):
            colour = f"C{depths.index(row.depth)}"
            iterations, training, test = zip(*row.curve, strict=True)
            axis.plot(iterations, training, "--", color=colour, linewidth=1)
            axis.plot(iterations, test, "-", color=colour, linewidth=2, label=f"{row.depth} layers")
        axis.set(title=f"{kind} networks", xlabel="iterations", ylim=(0, 100))
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_ylabel("error (%)   solid: test, dashed: training")
    return figure
