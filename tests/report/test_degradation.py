"""The sentences under the demo's curves say what the numbers say, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnets.report.degradation import Row, Words, draw, findings, write


def rows(plain: tuple[float, float], residual: tuple[float, float]) -> list[Row]:
    """Rows of 20 and 110 layers with these training errors."""
    return [
        Row(f"{kind}{depth}", depth, kind == "resnet", error, error, 1.0, ((1, error, error),))
        for kind, errors in (("plain", plain), ("resnet", residual))
        for depth, error in zip((20, 110), errors, strict=True)
    ]


@pytest.mark.parametrize(
    ("plain", "residual", "first", "second"),
    [
        ((5, 80), (2, 3), "not overfitting but degradation", "at 80.0 % when plain, trains to 3.0 %"),
        ((5, 4), (5, 1), "no degradation shows", "at 4.0 % when plain, trains to 1.0 %"),
        ((5, 20), (5, 80), "not overfitting but degradation", "at 20.0 % when plain, is no better"),
    ],
)
def test_findings(plain: tuple[float, float], residual: tuple[float, float], first: str, second: str) -> None:
    sentences = findings(rows(plain, residual))
    assert first in sentences[0]
    assert second in sentences[1]


def test_kinds_and_depths_that_are_not_there_are_not_spoken_of() -> None:
    both = rows((5, 80), (2, 3))
    assert findings(both[:2]) == (findings(both)[0],)
    (alone,) = findings(both[2:])
    assert alone == "From 20 to 110 layers the residual network's training error goes 2.0 -> 3.0 %."
    assert findings([both[0], both[2]]) == ()
    (without_twin,) = findings([both[0], *both[2:]])
    assert "the 20-layer network, at 5.0 % when plain, trains to 2.0 %" in without_twin


def test_a_rise_within_noise_is_no_degradation() -> None:
    assert "degradation shows" in findings(rows((5, 6), (2, 3)), 1.5)[0]
    assert "but degradation" in findings(rows((5, 6), (2, 3)), 0.5)[0]


def test_projections_have_parameters() -> None:
    """Only option A's shortcuts are free; networks of the ImageNet type have option B."""
    photos = [
        Row(f"{kind}{depth}", depth, kind == "resnet", 5, 5, 1.0, ((1, 5, 5),))
        for kind in ("plain", "resnet")
        for depth in (18, 34)
    ]
    assert "not one parameter more" not in findings(photos)[1]
    assert "not one parameter more" in findings(rows((5, 80), (2, 3)))[1]


def test_the_drawing() -> None:
    """A panel for each kind that is there; with bounds one more, in which each network has its interval."""
    both = rows((5, 80), (2, 3))
    assert [axis.get_title() for axis in draw(both).axes] == ["plain networks", "residual networks"]
    bounds = {row.network: (row.test_error - 1, row.test_error, row.test_error + 2) for row in both}
    panels = draw(both[2:], curve_on="validation", bounds=bounds).axes
    assert panels[0].get_title() == "residual networks"
    assert "validation error at the end" in panels[1].get_title()
    (bars,) = panels[1].containers
    assert list(bars.lines[0].get_ydata()) == [2, 3]
    assert "solid: validation" in panels[0].get_ylabel()


def test_the_page_stands_alone(tmp_path: Path) -> None:
    """One file with the drawing in it, titles escaped, and each number as text."""
    plot, page = write(rows((5, 80), (2, 3)), Words("<T>", ["1 < 2"], "n"), tmp_path)
    text = page.read_text()
    assert "&lt;T&gt;" in text and "1 &lt; 2" in text
    assert "<svg" in text and "<script" not in text and "80.00 %" in text
    assert plot.read_bytes().startswith(b"\x89PNG")
