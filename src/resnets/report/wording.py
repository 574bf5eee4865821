"""How the report writes numbers: published ones as the paper prints them, ours with as many digits as are good."""

from __future__ import annotations

from resnets.paper.published import Published
from resnets.report.comparison import Cell, ComparedRow

NOTHING = "–"
MARKS = {
    "reproduced": "✓",
    "differs": "≠",
    "reduced": "◐",
    "not judged": "·",
    "not run": "○",
    "not built yet": "△",
    "cited": "”",
}
"""A sign for each status, beside its colour and its word."""


def published(number: Published) -> str:
    """Return a published number as the paper prints it, of parameters in millions."""
    if number.unit == "parameters":
        return f"{number.value / 1e6:g}M"
    if number.unit == "FLOPs":
        return f"{number.value / 1e9:g}e9"
    return number.printed


def measured(value: float, unit: str) -> str:
    """Return one of our numbers."""
    if unit == "parameters":
        return f"{value:,.0f}"
    if unit == "FLOPs":
        return f"{value / 1e9:.3f}e9"
    return f"{value:.0f}" if unit == "layers" else f"{value:.2f}"


def difference(cell: Cell) -> str:
    """Return measured less published, with its sign; of counts in percent of the published; '' where there is none."""
    if cell.difference is None or cell.published is None or cell.column.unit == "layers":
        return ""
    if cell.column.unit == "%":
        return "0.00" if abs(cell.difference) < 0.005 else f"{cell.difference:+.2f}".replace("-", "−")
    return f"{100 * cell.difference / cell.published.value:+.1f} %".replace("-", "−")


def paper(cell: Cell) -> str:
    """Return what the paper has in a cell."""
    if cell.published is None:
        return cell.published_text or NOTHING
    return published(cell.published)


def ours(cell: Cell) -> str:
    """Return what we have in a cell, with its deviation."""
    if cell.measured is None:
        return cell.measured_text or NOTHING
    return measured(cell.measured, cell.column.unit) + ("" if cell.std is None else f" ± {cell.std:.2f}")


def runs(row: ComparedRow) -> str:
    """Return how many runs a row rests on."""
    count = len(row.runs)
    return f"{count} run{'s' if count > 1 else ''}" if count else NOTHING


def duration(seconds: float) -> str:
    """Return a length of time as people say it: 48 s, 12 min 5 s, 1 h 40 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def quantity(value: float, name: str) -> str:
    """Return a benchmark's number: images/s, GiB of memory, or a share in percent."""
    if name == "peak memory":
        return f"{value / 2**30:.2f} GiB"
    if name == "matrix share":
        return f"{100 * value:.0f} %"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
