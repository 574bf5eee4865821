"""The curves of a figure: what is drawn, where it ends, and how that compares with the paper's readings."""

from __future__ import annotations

import made_up as results

from resnets.paper import figures
from resnets.report.compare_figures import compare_figure


def test_the_end_of_a_curve_is_compared() -> None:
    """A run's last errors are compared with the paper's readings where these have a tolerance."""
    found = compare_figure(figures.FIGURES["figure6"], results.collected(results.result("plain20", 9.6, 1.4)))
    curves = {(one.curve.label, one.curve.split): one for one in found.panels[0]}
    assert curves["plain-20", "test"].verdict.status == "reproduced"
    assert curves["plain-20", "training"].verdict.status == "not judged"  # the paper gives no spread of these
    assert curves["plain-20", "training"].measured == 1.4
    assert curves["plain-32", "test"].verdict.status == "not run"


def test_what_the_paper_does_not_draw_is_a_bound() -> None:
    """A curve above the figure's edge, plain-110, is compared with that edge."""
    found = compare_figure(figures.FIGURES["figure6"], results.collected(results.result("plain110", 72.0, 71.0)))
    (curve,) = (one for one in found.panels[0] if one.curve.label == "plain-110")
    assert curve.verdict.status == "reproduced" and "60" in curve.verdict.why


def test_what_is_drawn_is_what_is_compared_and_of_one_length() -> None:
    """Each length that a curve is compared at has plots of its own, on an axis of its length."""
    names = ("plain20", "plain32", "resnet20", "resnet32")
    short = [results.result(name, 20.0, iterations=4_000) for name in names]
    found = compare_figure(figures.FIGURES["figure6"], results.collected(results.result("resnet20", 8.9), *short))
    drawn = [
        (one.title, one.bounds, [(curve.curve.label, run.iterations) for curve, run in one.runs][::2])
        for row in found.drawings
        for one in row
    ]
    assert drawn == [
        ("ResNet", (0, 64_000), [("ResNet-20", 64_000)]),
        ("plain, 4,000 iterations", (0, 4_000), [("plain-20", 4_000), ("plain-32", 4_000)]),
        ("ResNet, 4,000 iterations", (0, 4_000), [("ResNet-20", 4_000), ("ResNet-32", 4_000)]),
    ]
    curves = {one.curve.label: one for one in found.curves if one.runs}
    twenty = curves["ResNet-20"]
    assert (twenty.runs[0].iterations, twenty.measured, twenty.verdict.status) == (64_000, 8.9, "reproduced")
    assert curves["ResNet-32"].verdict.status == "reduced"
    for one in (one for row in found.drawings for one in row):
        assert {one.points(curve, run)[0][-1] for curve, run in one.runs} == {one.bounds[1]}


def test_responses_are_drawn_and_not_judged() -> None:
    """Figure 7 has the run that has responses, and no verdict on it."""
    measured = results.reproduced(results.result("resnet20", 9.0), responses=results.responses(19, 2.0))
    found = compare_figure(
        figures.FIGURES["figure7"], results.collected(results.result("resnet20", 8, seed=1), measured)
    )
    assert {len(curve.runs) for panel in found.panels for curve in panel if curve.curve.label == "ResNet-20"} == {1}
    statuses = {curve.verdict.status for panel in found.panels for curve in panel}
    assert statuses == {"not judged", "not run"}
