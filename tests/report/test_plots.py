"""The plots show the numbers that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import made_up as results
import pytest
from matplotlib.axes import Axes

from resnets.errors import UsageError
from resnets.records.evaluations import LayerResponses, Response
from resnets.records.studies import DepthRow
from resnets.report import plots


def responses(network: str, *stds: float, source: str = "runs/x") -> LayerResponses:
    layers = tuple(Response(f"layer{index}", std) for index, std in enumerate(stds))
    return LayerResponses(network=network, source=source, data="digits", images=9, device="cpu", layers=layers)


def drawn(rows: Sequence[DepthRow], **options: Any) -> list[Axes]:
    """The panels of a study, each on axes of its own."""
    panels = plots.study_panels(rows, **options)
    _, axes = plots.canvas(9, 3, columns=len(panels))
    for (draw, _), place in zip(panels, axes, strict=True):
        draw(place)
    return axes


def test_a_study_has_a_panel_for_each_kind_that_is_there() -> None:
    """Plain and residual networks have a panel each, where there are any."""
    rows = results.depth_rows((5, 80), (2, 3))
    assert [axes.get_title() for axes in drawn(rows)] == ["plain networks", "residual networks"]
    assert [axes.get_title() for axes in drawn(rows[2:])] == ["residual networks"]


def test_intervals_are_a_panel_of_their_own() -> None:
    """Each network has its last tested error there, with bars to both ends of its interval."""
    rows = results.depth_rows((5, 80), (2, 3))
    intervals = {row.network: (row.test_error - 1, row.test_error + 2) for row in rows}
    curves, errors = drawn(rows[2:], curve_on="validation", intervals=intervals)
    (bars,) = errors.containers
    assert list(bars.lines[0].get_ydata()) == [2, 3]
    assert [[list(end) for end in bar[:, 1:]] for bar in bars.lines[2][0].get_segments()] == [[[1], [4]], [[2], [5]]]
    assert "validation" in curves.get_ylabel() and "validation" in errors.get_title()


def test_the_points_of_one_depth_are_around_its_tick() -> None:
    """Networks of one depth are next to each other around the depth's tick."""
    rows = [row for row in results.depth_rows((5, 80), (2, 3)) if row.depth == 20]
    *_, errors = drawn(rows, intervals={row.network: (0, 9) for row in rows})
    places = [float(bars.lines[0].get_xdata()[0]) for bars in errors.containers]
    low, high = errors.get_xlim()
    assert sum(places) == 0 and max(places) < 0.1 * (high - low)


def test_responses_are_in_the_order_of_the_layers_and_by_magnitude() -> None:
    """Plain networks are dashed, and two runs of one network are distinguished."""
    found = [responses("resnet8", 1, 3, 2), responses("plain8", 2, 1), responses("plain8", 1, 1, source="runs/y")]
    upper, lower = plots.draw_responses(found).axes
    assert [list(line.get_ydata()) for line in upper.lines] == [[1, 3, 2], [2, 1], [1, 1]]
    assert [list(line.get_ydata()) for line in lower.lines] == [[3, 2, 1], [2, 1], [1, 1]]
    assert [line.get_label() for line in upper.lines] == ["resnet8", "plain8 (runs/x)", "plain8 (runs/y)"]
    assert [line.get_linestyle() for line in upper.lines] == ["-", "--", "--"]


def test_a_plot_is_saved_in_the_format_of_its_name(tmp_path: Path) -> None:
    """In a new folder too; another ending is refused before anything is measured."""
    figure = plots.draw_responses([responses("resnet8", 1)])
    plots.save(figure, tmp_path / "new" / "one.svg")
    assert b"<svg" in (tmp_path / "new" / "one.svg").read_bytes()
    with pytest.raises(UsageError, match=r"one\.gif"):
        plots.check_plot(tmp_path / "one.gif")
