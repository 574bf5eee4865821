"""What counts as reproduced: the edges of the rule, and which runs stand beside the paper's numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import made_up as results
import pytest

from resnets.paper import figures, tables
from resnets.paper.declarations import Tolerance
from resnets.paper.published import Published
from resnets.report.compare_figures import compare_figure
from resnets.report.compare_tables import Cell, ComparedRow, compare_table
from resnets.report.runs import Results, Setting
from resnets.report.verdict import choose, judge


def number(value: float, **more: Any) -> Published:
    return Published(value, "%", "Table 0", "row", "column", "error", **more)


def row(table: str, name: str, found: Results) -> ComparedRow:
    return next(row for row in compare_table(tables.find(table), found).rows if name in (row.row.label, row.row.slug))


def cell(compared: ComparedRow, column: str) -> Cell:
    return next(cell for cell in compared.cells if cell.column.name == column)


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("values", "published", "tolerance", "status", "why"),
    [
        ([8.75], 8.75, 0.45, "reproduced", "within ±0.45, the declared tolerance"),
        ([9.20], 8.75, 0.45, "reproduced", "within ±0.45"),  # on the edge, which floats miss
        ([8.30], 8.75, 0.45, "reproduced", "within ±0.45"),
        ([9.21], 8.75, 0.45, "differs", "0.46 higher, beyond ±0.45"),
        ([8.29], 8.75, 0.45, "differs", "0.46 lower, beyond ±0.45"),  # better is not the same
        ([9.0], 8.75, None, "not judged", "one run"),
        ([8.0, 9.0], 8.75, None, "reproduced", "within ±1.41, twice the deviation of 2 runs"),
        ([8.0, 9.0], 8.75, 0.1, "reproduced", "twice the deviation"),  # either is enough
        ([6.0, 6.0, 6.0], 6.2, 0.3, "reproduced", "within ±0.3, the declared tolerance"),
        ([6.0, 6.1, 6.2], 7.0, 0.3, "differs", "beyond ±0.2, twice the deviation of 3 runs and ±0.3"),
        ([6.0, 6.1, 6.2], 6.3, None, "reproduced", "within ±0.2"),  # on the edge of twice 0.1
    ],
)
def test_the_rule(values: list[float], published: float, tolerance: float | None, status: str, why: str) -> None:
    verdict = judge(values, number(published), None if tolerance is None else Tolerance(tolerance, "because"))
    assert verdict.status == status
    assert why in verdict.why


@pytest.mark.parametrize(
    ("value", "relation", "status"),
    [(60.1, ">", "reproduced"), (60.0, ">", "differs"), (59.0, "<", "reproduced"), (60.0, "<", "differs")],
)
def test_a_bound_holds_or_does_not(value: float, relation: Any, status: str) -> None:
    verdict = judge([value], number(60.0, relation=relation))
    assert verdict.status == status
    assert "the paper's bound" in verdict.why


# ---------------------------------------------------------------- which runs


RESNET20 = Setting.of("resnet20", "A", "cifar", "cifar10")


def test_full_wins_over_short_over_smoke() -> None:
    runs = [results.run("resnet20", error, iterations=length) for error, length in ((30, 20), (17, 4000), (9, 64_000))]
    assert choose(runs, RESNET20) == (runs[2],)
    assert choose(runs[:2], RESNET20) == (runs[1],)
    assert choose(runs[:1], RESNET20) == (runs[0],)


def test_the_declared_data_and_recipe_win() -> None:
    declared = {"declared": {"data": "cifar10"}}
    other_data = results.run("resnet20", 3, data="digits", **declared)
    short = results.run("resnet20", 17, iterations=4000)
    changed = results.run("resnet20", 8, recipe_changes={"lr": 0.2})
    assert choose([other_data, short], RESNET20) == (short,)
    assert choose([changed, short], RESNET20) == (short,)


def test_seeds_stand_together_and_one_run_for_each() -> None:
    runs = [results.run("resnet20", 9 + seed, seed=seed) for seed in (2, 0, 1)]
    again = results.run("resnet20", 99, seed=1)
    assert [run.seed for run in choose([*runs, again], RESNET20)] == [0, 1, 2]
    assert again not in choose([*runs, again], RESNET20)


def test_other_networks_options_and_recipes_are_not_taken() -> None:
    others = [
        results.run("resnet20", 9, shortcut="B"),
        results.run("resnet32", 9),
        results.run("resnet20", 9, recipe="cifar-200"),
        results.run("resnet20", 9, data="digits"),
    ]
    assert choose(others, RESNET20) == ()


# ---------------------------------------------------------------- tables


def test_a_table_with_nothing_has_a_status_everywhere() -> None:
    """Never blank: each row of each table says what it is, and in words what it needs."""
    for table in tables.TABLES.values():
        compared = compare_table(table, Results())
        assert not compared.is_measured
        for found in compared.rows:
            assert found.verdict.status in ("not run", "not built yet", "cited")
            assert found.verdict.why
            assert all(cell.verdict.why for cell in found.cells)
            if found.row.missing:
                assert found.verdict.status == "not built yet" and found.verdict.why.startswith("needs ")
            assert (found.verdict.status == "cited") == found.row.cited


def test_what_can_be_run_says_how() -> None:
    assert row("table6", "resnet-20-layers", Results()).verdict.why == (
        "`resnets reproduce table6 --only resnet-20-layers` runs it"
    )


def test_table_6_of_one_full_run() -> None:
    found = row("table6", "ResNet, 20 layers", results.collected(results.result("resnet20", 8.9)))
    error = cell(found, "error")
    assert (found.verdict.status, error.measured, error.std) == ("reproduced", 8.9, None)
    assert error.difference == pytest.approx(0.15)
    assert cell(found, "std").measured is None  # of one run there is none
    assert [run.seed for run in found.runs] == [0]


def test_table_6_of_five_seeds() -> None:
    """The mean is compared; the best and the deviation stand beside the paper's."""
    runs = [results.result("resnet110", 6.4 + 0.1 * seed, seed=seed) for seed in range(5)]
    found = row("table6", "ResNet, 110 layers", results.collected(*runs))
    assert cell(found, "mean").measured == pytest.approx(6.6)
    assert cell(found, "mean").std == pytest.approx(0.158, abs=1e-3)
    assert cell(found, "error").measured == 6.4  # the best
    assert cell(found, "std").measured == pytest.approx(0.158, abs=1e-3)
    assert found.verdict.status == "reproduced"
    assert "5 runs" in found.verdict.why
    assert cell(found, "error").verdict.status == "not judged"


def test_of_one_run_there_is_no_best() -> None:
    """Its error stands once, beside the mean of the paper's five."""
    found = row("table6", "ResNet, 110 layers", results.collected(results.result("resnet110", 6.6)))
    assert cell(found, "mean").measured == 6.6
    assert cell(found, "error").measured is None


def test_a_bound_that_was_read_off_holds_as_far_as_the_reading() -> None:
    assert judge([0.3], number(0.2, relation="<", precision=0.2)).status == "reproduced"
    assert judge([0.41], number(0.2, relation="<", precision=0.2)).status == "differs"


def test_precisions_are_not_averaged() -> None:
    runs = [results.run("resnet20", 9.0, seed=seed) for seed in (0, 1)]
    other = dataclasses.replace(results.run("resnet20", 20.0, seed=2), precision="fp32")
    assert choose([other, *runs], RESNET20) == tuple(runs)


def test_reduced_says_how() -> None:
    short = results.result("resnet20", 8.75, iterations=4000)
    found = row("table6", "ResNet, 20 layers", results.collected(short))
    assert found.verdict.status == "reduced"  # though the number is the paper's
    assert found.verdict.why == "short: 4,000 of 64,000 iterations"


def test_a_full_run_elsewhere_differs() -> None:
    found = row("table6", "ResNet, 20 layers", results.collected(results.result("resnet20", 12.0)))
    assert found.verdict.status == "differs"


def test_ten_crops_wait_for_the_test() -> None:
    """A trained network that was not tested as the table asks has no number there; with the test it has."""
    trained = results.result("plain18", 30.0, recipe="imagenet", data="imagenet")
    crops = {"errors": {"ten-crop": {"top1": 28.0, "top5": 9.0}}}
    bare = row("table2", "plain, 18 layers", results.collected(trained))
    assert not bare.runs
    assert bare.verdict.status == "not run"
    assert bare.verdict.why == "trained, and not tested: `resnets evaluate` does, with --protocol ten-crop"
    tested = row("table2", "plain, 18 layers", results.collected(trained | crops))
    assert tested.verdict.status == "reproduced"
    assert cell(tested, "top-1 err.").measured == 28.0


def test_an_error_that_was_not_measured_is_left_out() -> None:
    crops = {"errors": {"ten-crop": {"top1": 24.4}}}
    trained = results.result("resnet34", 26.0, recipe="imagenet", data="imagenet", **crops)
    found = row("table3", "ResNet-34 B", results.collected(trained))
    assert cell(found, "top-1 err.").measured == 24.4
    assert cell(found, "top-5 err.").measured is None
    assert found.verdict.status == "reproduced"


def test_costs_are_judged_without_any_run(tmp_path: Path) -> None:
    found = results.read(results.write(tmp_path / "r", complexity=results.COMPLEXITY))
    eighteen = row("table1", "18-layer", found)
    assert cell(eighteen, "FLOPs").verdict.status == "reproduced"
    layers = {cell.column.name: cell.verdict for cell in eighteen.cells if cell.column.measure == "layers"}
    assert [verdict.status for verdict in layers.values()].count("reproduced") == 5
    assert layers["conv5_x, 7x7"].status == "differs" and "x 9" in layers["conv5_x, 7x7"].why
    assert eighteen.verdict.status == "differs"
    twenty = row("table6", "ResNet, 20 layers", found)
    assert cell(twenty, "# params").verdict.status == "reproduced"
    assert cell(twenty, "# layers").verdict.status == "reproduced"
    assert twenty.verdict.status == "not run"  # its error is


# ---------------------------------------------------------------- figures


def test_the_end_of_a_curve_is_compared() -> None:
    found = compare_figure(figures.find("figure6"), results.collected(results.result("plain20", 9.6, 1.4)))
    curves = {(one.curve.label, one.curve.split): one for one in found.panels[0]}
    assert curves["plain-20", "test"].verdict.status == "reproduced"
    assert curves["plain-20", "training"].verdict.status == "not judged"  # the paper tells no spread of these
    assert curves["plain-20", "training"].measured == 1.4
    assert curves["plain-32", "test"].verdict.status == "not run"


def test_what_the_paper_does_not_draw_is_a_bound() -> None:
    found = compare_figure(figures.find("figure6"), results.collected(results.result("plain110", 72.0, 71.0)))
    (curve,) = (one for one in found.panels[0] if one.curve.label == "plain-110")
    assert (curve.verdict.status, curve.verdict.why) == ("reproduced", "above 60, the paper's bound")


def test_what_is_drawn_of_a_figure_is_of_one_length() -> None:
    """Most curves have a short run: these are drawn, and the one full run counts; trials never win."""
    short = [results.result(name, 20.0, iterations=4_000) for name in ("resnet20", "resnet32", "resnet44")]
    trials = [results.result(name, 80.0, iterations=20) for name in ("plain20", "plain32", "plain44", "plain56")]
    found = compare_figure(figures.find("figure6"), results.collected(results.result("resnet20", 8.9), *short, *trials))
    curves = {one.curve.label: one for panel in found.panels for one in panel if one.runs}
    drawn = {label: curve.drawn[0].iterations for label, curve in curves.items()}
    assert {drawn[name] for name in ("ResNet-20", "ResNet-32", "ResNet-44")} == {4_000}
    assert drawn["plain-20"] == 20  # there is nothing else
    twenty = curves["ResNet-20"]
    assert (twenty.runs[0].iterations, twenty.measured, twenty.verdict.status) == (64_000, 8.9, "reproduced")
    assert curves["ResNet-32"].verdict.status == "reduced"


def test_responses_are_drawn_and_not_judged() -> None:
    content = results.result("resnet20", 9.0) | {"responses": results.responses(19, 2.0)}
    found = compare_figure(figures.find("figure7"), results.collected(results.result("resnet20", 8, seed=1), content))
    assert {len(curve.runs) for panel in found.panels for curve in panel if curve.curve.label == "ResNet-20"} == {1}
    statuses = {curve.verdict.status for panel in found.panels for curve in panel}
    assert statuses == {"not judged", "not run"}


def test_whether_anything_is_measured_of_a_column() -> None:
    compared = compare_table(tables.find("table6"), results.collected(results.result("resnet20", 9)))
    has = {column.name: compared.has_measured(column) for column in compared.table.columns}
    assert has == {"# layers": False, "# params": False, "error": True, "mean": False, "std": False}
