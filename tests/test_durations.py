"""Budgets of time are read as people write them; durations and quantities are written for sentences."""

from __future__ import annotations

import pytest

from resnets import durations, quantities
from resnets.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), (" 2M ", 120), (45, 45.0), (1.5, 1.5)],
)
def test_budgets(text: str | float, seconds: float) -> None:
    """Seconds, minutes and hours, alone or combined, are read as seconds."""
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 minutes", "-2h", "0s", "1..5m", "2d", 0, -3, float("nan")])
def test_what_is_no_budget(text: str | float) -> None:
    """Other texts and numbers that are not positive are errors."""
    with pytest.raises(UsageError, match="such as 90s, 30m or 2h"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "1m"), (90, "90s"), (119.2, "120s"), (120, "2m"), (5400, "1h30m"), (7200, "2h"), (20, "20s")],
)
def test_shown(seconds: float, text: str) -> None:
    """A length of time is shown in a form that is read as itself."""
    assert durations.show(seconds) == text
    assert durations.parse(text) == pytest.approx(seconds, abs=1)


def test_a_round_budget_that_is_no_less() -> None:
    """A budget is rounded up."""
    assert [durations.at_least(s) for s in (10, 61, 480, 5_401, 30_000)] == ["30s", "90s", "10m", "2h", "9h"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.21, "4.2 s"),
        (59.4, "59 s"),
        (725, "12 min 5 s"),
        (6_000, "1 h 40 min"),
        (47.9 * 3600, "47 h 54 min"),
        (48 * 3600, "2 days"),
        (76 * 3600, "3 days 4 h"),
        (120 * 86_400, "120 days"),
        (365 * 86_400, "1 year"),
        (31_799 * 3600, "3.6 years"),
        (40 * 365 * 86_400, "40 years"),
    ],
)
def test_in_words(seconds: float, text: str) -> None:
    """Up to years, each with the digits that matter."""
    assert durations.in_words(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "0.42 ms"),
        (0.01397, "14 ms"),
        (0.9994, "999 ms"),
        (0.9999, "1 s"),
        (1.817, "1.82 s"),
        (181.7, "182 s"),
    ],
)
def test_times_of_steps(seconds: float, text: str) -> None:
    """In three digits, never as 1.817e+05 ms."""
    assert durations.of_a_step(seconds) == text


def test_plurals() -> None:
    """One of a thing is singular, and nouns that end in a hiss have -es."""
    counts = [(1, "iteration"), (0, "image"), (4_000, "iteration"), (1, "class"), (2, "class"), (2, "batch")]
    shown = [quantities.plural(*count) for count in counts]
    assert shown == ["1 iteration", "0 images", "4,000 iterations", "1 class", "2 classes", "2 batches"]


def test_lengths_of_trainings() -> None:
    """Epochs that round to zero are omitted."""
    assert quantities.training_length(4_000, 128, 50_000) == "4,000 iterations of 128 (10.2 epochs)"
    assert quantities.training_length(1, 8, 50_000) == "1 iteration of 8"


def test_rates_and_sizes() -> None:
    """In three digits, with the unit that fits."""
    assert [quantities.rate(one) for one in (0.0618, 25.44, 999.7, 18_330)] == ["0.0618", "25.4", "1,000", "18,330"]
    sizes = [quantities.megabytes(one) for one in (850_000, 145_400_000, 999_900_000, 150e9, 2.5e12)]
    assert sizes == ["0.85 MB", "145 MB", "1 GB", "150 GB", "2.5 TB"]
