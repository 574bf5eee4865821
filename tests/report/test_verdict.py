"""What counts as reproduced: the edges of the rule, and which runs are compared with the paper's numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import made_up as results
import pytest

from resnets.paper.declarations import Tolerance
from resnets.paper.published import Published
from resnets.report.verdict import choose, judge
from resnets.specs import Setting


def number(value: float, **more: Any) -> Published:
    return Published(value, "%", "Table 0", "row", "column", "error", **more)


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("values", "published", "tolerance", "status", "why"),
    [
        ([8.75], 8.75, 0.45, "reproduced", "±0.45"),
        ([9.20], 8.75, 0.45, "reproduced", "±0.45"),  # on the edge, which floats miss
        ([8.30], 8.75, 0.45, "reproduced", "±0.45"),
        ([9.21], 8.75, 0.45, "differs", "0.46 higher"),
        ([8.29], 8.75, 0.45, "differs", "0.46 lower"),  # a count has no better side
        ([9.0], 8.75, None, "not judged", "one run"),
        ([8.0, 9.0], 8.75, None, "reproduced", "±1.41"),
        ([8.0, 9.0], 8.75, 0.1, "reproduced", "2 runs"),  # either is enough
        ([6.0, 6.0, 6.0], 6.2, 0.3, "reproduced", "±0.3"),
        ([6.0, 6.1, 6.2], 7.0, 0.3, "differs", "±0.2, twice the deviation of 3 runs and ±0.3"),
        ([6.0, 6.1, 6.2], 6.3, None, "reproduced", "±0.2"),  # on the edge of twice 0.1
    ],
)
def test_the_rule(values: list[float], published: float, tolerance: float | None, status: str, why: str) -> None:
    """Within the tolerance or twice the deviation of the runs; the reason names the bound or the distance."""
    verdict = judge(values, number(published), None if tolerance is None else Tolerance(tolerance, "because"))
    assert verdict.status == status
    assert why in verdict.why


@pytest.mark.parametrize(
    ("value", "better", "status"),
    [
        (8.29, "lower", "better than published"),  # an error
        (9.21, "lower", "differs"),
        (9.21, "higher", "better than published"),  # an AP
        (8.30, "lower", "reproduced"),
    ],
)
def test_beyond_the_tolerance_on_its_better_side_a_number_is_better(value: float, better: Any, status: str) -> None:
    """A lower error or a higher AP than published is a status of its own, with the distance."""
    verdict = judge([value], number(8.75), Tolerance(0.45, "because"), better=better)
    assert verdict.status == status
    assert status == "reproduced" or "0.46" in verdict.why


@pytest.mark.parametrize(
    ("value", "relation", "status"),
    [(60.1, ">", "reproduced"), (60.0, ">", "differs"), (59.0, "<", "reproduced"), (60.0, "<", "differs")],
)
def test_a_bound_holds_or_does_not(value: float, relation: Any, status: str) -> None:
    """A published bound is kept or not, and the bound itself is not."""
    verdict = judge([value], number(60.0, relation=relation))
    assert verdict.status == status and "60" in verdict.why


def test_a_bound_that_was_read_off_holds_as_far_as_the_reading() -> None:
    """A bound of 0.2 with a precision of 0.2 holds up to 0.4."""
    assert judge([0.3], number(0.2, relation="<", precision=0.2)).status == "reproduced"
    assert judge([0.41], number(0.2, relation="<", precision=0.2)).status == "differs"


# ---------------------------------------------------------------- which runs


RESNET20 = Setting(network="resnet20", shortcut="A", recipe="cifar", data="cifar10")


def test_full_wins_over_short_over_reduced() -> None:
    """Of several lengths the longest counts."""
    runs = [results.run("resnet20", error, iterations=length) for error, length in ((30, 20), (17, 4000), (9, 64_000))]
    assert choose(runs, RESNET20) == (runs[2],)
    assert choose(runs[:2], RESNET20) == (runs[1],)
    assert choose(runs[:1], RESNET20) == (runs[0],)


def test_the_declared_data_and_recipe_win() -> None:
    """A short run as declared counts before a longer one of other data or another recipe."""
    of_digits = results.result("resnet20", 3, data="digits")
    other_data = results.shown(results.reproduced(of_digits, declared={"data": "cifar10"}))
    short = results.run("resnet20", 17, iterations=4000)
    changed = results.run("resnet20", 8, recipe_changes={"lr": 0.2})
    assert choose([other_data, short], RESNET20) == (short,)
    assert choose([changed, short], RESNET20) == (short,)


def test_seeds_are_taken_together_with_one_run_for_each() -> None:
    """All seeds count, each once and in order."""
    runs = [results.run("resnet20", 9 + seed, seed=seed) for seed in (2, 0, 1)]
    again = results.run("resnet20", 99, seed=1)
    assert [run.seed for run in choose([*runs, again], RESNET20)] == [0, 1, 2]
    assert again not in choose([*runs, again], RESNET20)


def test_other_networks_options_and_recipes_are_not_taken() -> None:
    """A run counts for the setting that it is declared to be only."""
    others = [
        results.run("resnet20", 9, shortcut="B"),
        results.run("resnet32", 9),
        results.run("resnet20", 9, recipe="cifar-200"),
        results.run("resnet20", 9, data="digits"),
    ]
    assert choose(others, RESNET20) == ()


def test_precisions_are_not_averaged() -> None:
    """Of runs that differ in their precision alone the larger group counts."""
    runs = [results.run("resnet20", 9.0, seed=seed) for seed in (0, 1)]
    other = dataclasses.replace(results.run("resnet20", 20.0, seed=2), precision="fp32")
    assert choose([other, *runs], RESNET20) == tuple(runs)
