"""The learning rate of each iteration is the paper's, and the warm-up ends by its condition."""

from __future__ import annotations

import re
from typing import Any

import pytest

from resnets.errors import UsageError
from resnets.paper.recipes import CIFAR
from resnets.records import base
from resnets.records.checkpoints import ScheduleState
from resnets.specs import Decay, Plateau, Recipe, WarmUp
from resnets.training.recipes import CIFAR_200
from resnets.training.schedule import Schedule


@pytest.mark.parametrize(
    ("iteration", "lr"),
    [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)],
)
def test_paper(iteration: int, lr: float) -> None:
    """Section 4.2: 0.1, divided by 10 at 32k and 48k iterations, counted from 0."""
    assert Schedule(CIFAR, depth=20).lr(iteration) == pytest.approx(lr, rel=1e-12)


@pytest.mark.parametrize(
    ("iteration", "lr"), [(0, 0.1), (1_999, 0.1), (2_000, 0.01), (2_999, 0.01), (3_000, 0.001), (3_999, 0.001)]
)
def test_scaled(iteration: int, lr: float) -> None:
    """A sixteenth of the length has the drops at a sixteenth of the iterations."""
    assert Schedule(CIFAR.scaled(4_000), depth=20).lr(iteration) == pytest.approx(lr, rel=1e-12)


@pytest.mark.parametrize(("epoch", "lr"), [(0, 0.1), (99, 0.1), (100, 0.01), (149, 0.01), (150, 0.001), (199, 0.001)])
def test_200_epochs(epoch: int, lr: float) -> None:
    """`cifar-200` drops at epochs 100 and 150 of 50,000 images: in the middle of each epoch, the epoch's rate holds."""
    middle = round((epoch + 0.5) * 50_000 / 128)
    assert Schedule(CIFAR_200, depth=20).lr(middle) == pytest.approx(lr, rel=1e-12)


@pytest.mark.parametrize(("depth", "lr"), [(None, 0.1), (20, 0.1), (56, 0.1), (109, 0.1), (110, 0.01), (1202, 0.01)])
def test_who_warms_up(depth: int | None, lr: float) -> None:
    """Section 4.2: only from 110 layers on; a module whose depth is unknown does not."""
    assert Schedule(CIFAR, depth).lr(0) == lr


def _recipe(**changes: float) -> Recipe:
    warm_up = WarmUp(**({"lr": 0.01, "below_error": 80.0, "from_depth": 110, "window": 4, "at_most": 10} | changes))
    return Recipe(name="test", source="here", iterations=100, batch_size=1, milestones=(50,), warm_up=warm_up)


def _train(schedule: Schedule, errors: list[float], start: int = 0) -> list[float]:
    """Return the rate of each iteration, when these are the errors."""
    rates = []
    for iteration, error in enumerate(errors, start):
        rates.append(schedule.lr(iteration))
        schedule.observe(iteration, error)
    return rates


def test_ends_below_the_bound() -> None:
    """The warm-up ends after the first iteration at which the mean of the window's errors is below 80 %."""
    schedule = Schedule(_recipe(), 110)
    # the means of four are 87.5, 85, 80 (not below), 75
    rates = _train(schedule, [90, 90, 85, 85, 80, 70, 65, 65])
    assert rates == [0.01] * 7 + [0.1]
    assert schedule.warmed_up_at == 7
    assert schedule.lr(49) == 0.1 and schedule.lr(50) == pytest.approx(0.01)


def test_one_good_mini_batch_is_not_enough() -> None:
    """Nothing is decided before the window is full, and one good mini-batch in a bad window ends nothing."""
    schedule = Schedule(_recipe(), 110)
    assert _train(schedule, [10, 10, 10]) == [0.01] * 3
    assert schedule.warming
    schedule = Schedule(_recipe(), 110)
    assert _train(schedule, [90, 90, 90, 60]) == [0.01] * 4
    assert schedule.warming


def test_ends_at_the_cap() -> None:
    """A network that never gets there, such as a plain one, trains at the full rate after `at_most` iterations."""
    schedule = Schedule(_recipe(), 110)
    assert _train(schedule, [90.0] * 12) == [0.01] * 10 + [0.1] * 2
    assert schedule.warmed_up_at == 10


def test_does_not_come_back() -> None:
    """Once over, the warm-up stays over, whatever the error does."""
    schedule = Schedule(_recipe(), 110)
    _train(schedule, [0.0] * 4)
    assert _train(schedule, [100.0] * 6, start=4) == [0.1] * 6


@pytest.mark.parametrize("after", range(9))
def test_state(after: int) -> None:
    """A schedule restored from its state, as JSON, at any iteration goes on as the one that it was taken from."""
    errors = [90, 90, 85, 85, 80, 70, 65, 65, 60]
    whole = Schedule(_recipe(), 110)
    expected = _train(whole, errors)
    first = Schedule(_recipe(), 110)
    rates = _train(first, errors[:after])
    second = Schedule(_recipe(), 110)
    second.restore(base.decode(base.encode(first.state()), ScheduleState, "here"))
    assert rates + _train(second, errors[after:], start=after) == expected
    assert second.state() == whole.state()


def test_never_above_the_rate_asked_for() -> None:
    """A run at a lower rate than the warm-up's begins at its own rate."""
    slow = CIFAR.with_changes(lr=0.001)
    assert Schedule(slow, depth=110).lr(0) == 0.001


def test_a_short_run_comes_to_its_full_rate() -> None:
    """The cap of the warm-up shrinks with the schedule, so a short run of a network that never learns has an end."""
    schedule = Schedule(CIFAR.scaled(4_000), depth=110)
    for iteration in range(125):
        assert schedule.lr(iteration) == 0.01
        schedule.observe(iteration, 90.0)
    assert schedule.lr(125) == 0.1


@pytest.mark.parametrize("fall", ["linear", "cosine"])
def test_one_cycle(fall: Decay) -> None:
    """Up along a line from nearly 0 to the full rate, then down to nearly 0; half the rate half of the way down."""
    recipe = Recipe(name="test", source="here", iterations=100, batch_size=1, lr=0.4, linear_warm_up=20, decay=fall)
    rates = [Schedule(recipe, None).lr(iteration) for iteration in range(100)]
    assert rates[0] == pytest.approx(0.4 / 21) and rates[19] == pytest.approx(0.4 * 20 / 21)
    assert rates[20] == max(rates) == pytest.approx(0.4)
    assert rates[60] == pytest.approx(0.2)
    assert 0 < rates[99] < 0.006
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)


def test_one_cycle_scaled() -> None:
    """A shorter recipe warms up for the same share of its iterations."""
    recipe = Recipe(name="test", source="here", iterations=100, batch_size=1, linear_warm_up=20, decay="linear").scaled(
        10
    )
    rates = [Schedule(recipe, None).lr(iteration) for iteration in range(10)]
    assert recipe.linear_warm_up == 2 and rates.index(max(rates)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"linear_warm_up": 100}, "linear warm-up is 100 iterations; it must be less than all of them"),
        (
            {"decay": "linear", "milestones": (50,)},
            "milestones and a linear decay are both given; one of them is enough",
        ),
        ({"label_smoothing": 1.0}, "label smoothing is 1.0; it must be in"),
        ({"nesterov": True, "momentum": 0.0}, "Nesterov's momentum is requested with momentum 0; raise it"),
    ],
)
def test_impossible_schedules(changes: dict[str, Any], message: str) -> None:
    """Settings that exclude each other are errors that name both."""
    with pytest.raises(UsageError, match=re.escape(message)):
        Recipe(name="test", source="here", iterations=100, batch_size=1, **changes)


# ---------------------------------------------------------------- a plateau


def _plateau() -> Recipe:
    plateau = Plateau(patience=2, gain=1.0, drops=2)
    return Recipe(name="test", source="here", iterations=1000, batch_size=1, plateau=plateau, evaluate_every=10)


def _points(schedule: Schedule, errors: list[float], start: int = 0) -> list[float]:
    """Return the rate after each point of the curve, each noted in two lines of the log."""
    rates = []
    for number, error in enumerate(errors, start):
        schedule.log(10 * number + 5, 5, error - 3)
        schedule.log(10 * number + 10, 5, error + 3)
        rates.append(schedule.lr(10 * number + 10))
    return rates


def test_the_rate_drops_where_the_training_error_ceases_to_fall() -> None:
    """Two points in a row without a gain of 1 % make a drop; there are two at most."""
    errors = [90, 80, 79.5, 78, 77.5, 77.4, 70, 69.5, 69.4, 69.3, 69.2, 69.1]
    rates = _points(Schedule(_plateau(), 20), errors)
    assert rates == pytest.approx([0.1] * 5 + [0.01] * 3 + [0.001] * 4)


def test_a_plateau_is_restored() -> None:
    """At any point, within one too, through JSON."""
    errors = [90.0, 80, 79.5, 78, 77.5, 77.4, 70, 69.5, 69.4, 69.3]
    whole = _points(Schedule(_plateau(), 20), errors)
    for stop in range(len(errors)):
        first, second = Schedule(_plateau(), 20), Schedule(_plateau(), 20)
        _points(first, errors[:stop])
        first.log(10 * stop + 5, 5, errors[stop] - 3)
        second.restore(base.decode(base.encode(first.state()), ScheduleState, "here"))
        second.log(10 * stop + 10, 5, errors[stop] + 3)
        assert [second.lr(10 * stop + 10), *_points(second, errors[stop + 1 :], stop + 1)] == whole[stop:]


def test_a_plateau_and_milestones_are_one_too_many() -> None:
    """A recipe has one rule for when the rate drops."""
    with pytest.raises(UsageError, match="milestones"):
        _plateau().with_changes(milestones=(5,))
