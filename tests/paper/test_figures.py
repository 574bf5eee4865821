"""The figures' curves have the readings of paper.md, and the networks, splits and styles that the paper draws."""

from __future__ import annotations

import pytest

from resnets.paper import figures, tables
from resnets.paper.declarations import Curve, Figure
from resnets.paper.published import find
from resnets.training.recipes import RECIPES

FIGURES = list(figures.FIGURES.values())


def _curves(name: str, panel: int) -> dict[tuple[str, str], Curve]:
    return {(curve.label, curve.split): curve for curve in figures.FIGURES[name].panels[panel].curves}


def _ends(name: str, panel: int, split: str) -> dict[str, float]:
    return {
        label: curve.published[-1].value
        for (label, where), curve in _curves(name, panel).items()
        if where == split and curve.drawn
    }


# ---------------------------------------------------------------- readings, written out from paper.md


def test_figure_1() -> None:
    """Ends of the curves of plain networks, training and test."""
    assert _ends("figure1", 0, "training") == {"plain-20": 1.3, "plain-56": 5.9}
    assert _ends("figure1", 1, "test") == {"plain-20": 9.7, "plain-56": 13.3}


def test_figure_4() -> None:
    """Validation error at 14, 25 and 54e4 iterations; training error at about 54e4."""
    expected = {
        "plain-18": (49.9, 36.9, 31.4, 31.5),
        "plain-34": (55.0, 38.5, 32.4, 32.5),
        "ResNet-18": (46.9, 35.5, 31.1, 30),
        "ResNet-34": (44.5, 32.2, 28.2, 25),
    }
    for panel, labels in ((0, ("plain-18", "plain-34")), (1, ("ResNet-18", "ResNet-34"))):
        curves = _curves("figure4", panel)
        assert {label for label, _ in curves} == set(labels)
        for label in labels:
            readings = curves[label, "validation"].published
            assert [reading.at for reading in readings] == [140_000, 250_000, 540_000]
            training = curves[label, "training"].published
            assert (*(reading.value for reading in readings), training[-1].value) == expected[label]


def test_figure_6() -> None:
    """Ends, read at 6.0 to 6.3e4 iterations; plain-110 is not drawn, above 60 %."""
    assert _ends("figure6", 0, "test") == {"plain-20": 9.7, "plain-32": 10.1, "plain-44": 11.3, "plain-56": 13.3}
    assert _ends("figure6", 0, "training") == {"plain-20": 1.2, "plain-32": 1.3, "plain-44": 2.5, "plain-56": 5.6}
    depths = ("ResNet-20", "ResNet-32", "ResNet-44", "ResNet-56", "ResNet-110")
    assert _ends("figure6", 1, "test") == dict(zip(depths, (8.9, 7.5, 7.1, 7.0, 6.55), strict=True))
    assert _ends("figure6", 1, "training") == dict(zip(depths, (0.5, 0.2, 0.2, 0.1, 0.0), strict=True))
    assert _ends("figure6", 2, "test") == {"ResNet-110": 6.55, "ResNet-1202": 7.9}
    assert _curves("figure6", 1)["ResNet-44", "training"].published[-1].printed == "<0.2"

    plain110 = _curves("figure6", 0)["plain-110", "test"]
    assert not plain110.drawn and [number.printed for number in plain110.published] == [">60"]
    late = _curves("figure6", 2)["ResNet-1202", "training"].published
    assert [(number.at, number.printed) for number in late] == [(45_000, "0.1"), (None, "<0.1")]


def test_figure_6_before_the_first_drop() -> None:
    """Test errors at 30,000 iterations, before the learning rate drops."""
    before = {
        curve.label: curve.published[0].value
        for curve in figures.FIGURES["figure6"].curves
        if curve.published[0].at == 30_000 and curve.split == "test"
    }
    assert before == {
        "plain-20": 12.6,
        "plain-32": 14.2,
        "plain-44": 16.1,
        "plain-56": 18.1,
        "ResNet-20": 11.3,
        "ResNet-56": 10.25,
        "ResNet-110": 10.25,
    }


def test_figure_6_ends_where_table_6_says() -> None:
    """As paper.md remarks, which suggests that the table gives the last iteration's errors."""
    for label, end in (_ends("figure6", 1, "test") | _ends("figure6", 2, "test")).items():
        printed = find("Table 6", f"ResNet, {label.removeprefix('ResNet-')} layers", "error")
        assert end == pytest.approx(printed.value, abs=0.2), label


def test_figure_7() -> None:
    """Sorted: values by rank; in the original order only ResNet-110 was read."""
    expected = {
        "plain-20": {10: 1.9, 18: 1.5},
        "plain-56": {10: 2.0, 20: 1.75, 30: 1.2, 40: 1.1, 54: 1.0},
        "ResNet-20": {10: 1.6, 18: 1.2},
        "ResNet-56": {10: 1.3, 20: 1.2, 30: 1.1, 40: 0.96, 54: 0.71},
        "ResNet-110": {1: 3.4, 5: 1.4, 10: 1.3, 20: 1.1, 40: 1.0, 60: 0.9, 80: 0.86, 100: 0.78, 108: 0.70},
    }
    in_order, by_rank = figures.FIGURES["figure7"].panels
    assert {curve.label: {n.at: n.value for n in curve.published} for curve in by_rank.curves} == expected
    assert [curve.label for curve in in_order.curves] == list(expected)
    *others, deepest = in_order.curves
    assert not any(curve.published for curve in others)
    assert [(n.at, n.until, n.value) for n in deepest.published] == [
        (1, None, 3.4),
        (5, 36, 1.0),
        (37, 39, 2.0),
        (40, 108, 0.9),
        (109, None, 1.7),
    ]


# ---------------------------------------------------------------- how they are drawn


def test_axes() -> None:
    """In units of 1e4 iterations: to 6.4, from 3.5 in the right panel of Figure 6, to 55 on ImageNet; errors."""
    for name in ("figure1", "figure6"):
        for panel in figures.FIGURES[name].panels:
            low = 35_000 if panel.title == "110 and 1202 layers" else 0
            assert (panel.x.low, panel.x.high, panel.x.scale) == (low, 64_000, 10_000)
            assert (panel.y.low, panel.y.high, panel.y.unit) == (0, 20, "%")
    for panel in figures.FIGURES["figure4"].panels:
        assert (panel.x.low, panel.x.high, panel.x.scale) == (0, 550_000, 10_000)
        assert (panel.y.low, panel.y.high, panel.y.unit) == (20, 60, "%")
    assert {panel.x.high for panel in figures.FIGURES["figure7"].panels} == {6 * 18 + 1}


@pytest.mark.parametrize(
    ("name", "styles"),
    [
        ("figure1", {"training": "solid", "test": "solid"}),
        ("figure4", {"training": "thin", "validation": "bold"}),
        ("figure6", {"training": "dashed", "test": "bold"}),
        ("figure7", {"test": "solid"}),
    ],
)
def test_styles(name: str, styles: dict[str, str]) -> None:
    """Each split of a figure is drawn in the paper's style."""
    assert {(curve.split, curve.style) for curve in figures.FIGURES[name].curves} == set(styles.items())


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_curve_has_readings_or_says_why_none_and_can_be_trained(figure: Figure) -> None:
    """A curve has ordered readings or a reason, a known recipe, and a protocol if it is tested."""
    for panel in figure.panels:
        places = [(curve.label, curve.split) for curve in panel.curves]
        assert len(places) == len(set(places))
        for curve in panel.curves:
            assert bool(curve.published) != bool(curve.reason)
            ends = [number.at or 64_000 for number in curve.published]
            assert ends == sorted(ends)
            assert curve.training is not None and RECIPES.find(curve.training.recipe)
            assert (curve.protocol is None) == (curve.split == "training")
            if curve.tolerance is not None:
                assert curve.tolerance.value >= 0.2 and curve.tolerance.reason


def test_runs_are_shared_with_table_6() -> None:
    """The residual networks of Figures 6 and 7 are those of Table 6, and the plain ones of 1 and 7 those of 6."""
    table = {row.training for row in tables.TABLES["table6"].rows if row.recipe == "cifar"}
    drawn = {name: {curve.training for curve in figures.FIGURES[name].curves} for name in figures.FIGURES}
    residual = {training for training in drawn["figure6"] if training and training.network.startswith("resnet")}
    assert residual == table
    assert drawn["figure1"] < drawn["figure6"]
    assert drawn["figure7"] < drawn["figure6"]
    assert drawn["figure4"] <= {row.training for name in ("table2", "table3") for row in tables.TABLES[name].rows}


def test_what_figure_7_leaves_open_is_decided() -> None:
    """Each choice says what the paper leaves open, what is done here, and why."""
    assert len(figures.FIGURES["figure7"].choices) == 3
    assert all(c.open and c.ours and c.why for figure in FIGURES for c in figure.choices)


def test_names() -> None:
    """Four figures have curves."""
    assert list(figures.FIGURES) == ["figure1", "figure4", "figure6", "figure7"]
