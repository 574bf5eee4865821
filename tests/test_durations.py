"""Budgets of time are read as people write them, and written likewise."""

from __future__ import annotations

import pytest

from resnets import durations
from resnets.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), (" 2M ", 120), (45, 45.0), (1.5, 1.5)],
)
def test_budgets(text: str | float, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 minutes", "-2h", "0s", "1..5m", "2d", 0, -3, float("nan")])
def test_what_is_no_budget(text: str | float) -> None:
    with pytest.raises(UsageError, match="such as 90s, 30m or 2h"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "1m"), (90, "90s"), (119.2, "120s"), (120, "2m"), (5400, "1h30m"), (7200, "2h"), (20, "20s")],
)
def test_shown(seconds: float, text: str) -> None:
    assert durations.show(seconds) == text
    assert durations.parse(text) == pytest.approx(seconds, abs=1)


def test_a_round_budget_that_is_no_less() -> None:
    assert [durations.at_least(s) for s in (10, 61, 480, 5_401, 30_000)] == ["30s", "90s", "10m", "2h", "9h"]
