"""Lengths of time as people write them: 90s, 1h30m as options, 12 min 5 s in sentences."""

from __future__ import annotations

import math
import re

from resnets.errors import UsageError

_BUDGET = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?")
HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY
_NICE = (30, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 2700, 3600, 5400)


def parse(budget: str | float, name: str = "budget") -> float:
    """Return a length of time in seconds; a number is in seconds already. `name` is what the error calls it.

    Raises: UsageError, if it is no length of time.
    """
    found = _BUDGET.fullmatch(budget.strip().lower()) if isinstance(budget, str) else None
    try:
        if found is not None and found[0]:
            seconds = sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True))
        else:
            seconds = math.nan if isinstance(budget, str) else float(budget)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{name} is {budget!r}; it must be a length of time such as 90s, 30m or 2h")
    return seconds


def show(seconds: float) -> str:
    """Return a budget as it is written: 90s, 30m, 1h30m; from two minutes on to whole minutes."""
    if seconds < 120:
        return f"{math.ceil(seconds)}s" if seconds % 60 else f"{round(seconds / 60)}m"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")


def at_least(seconds: float) -> str:
    """Return a round budget that is no less: 30s, 1m, 90s, 2m, 3m, 5m ... and from two hours on whole hours."""
    return show(next((nice for nice in _NICE if nice >= seconds), 3600 * math.ceil(seconds / 3600)))


def in_words(seconds: float) -> str:
    """Return a length of time for a sentence: 4.2 s, 48 s, 12 min 5 s, 1 h 40 min, 3 days 4 h, 120 days, 3.6 years."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    if whole < 2 * DAY:
        return f"{minutes // 60} h {minutes % 60} min"
    if whole < YEAR:
        days, hours = divmod(round(whole / HOUR), 24)
        return f"{days} days {hours} h" if days < 10 and hours else f"{round(whole / DAY)} days"
    years = f"{whole / YEAR:,.{1 if whole < 10 * YEAR else 0}f}".removesuffix(".0")
    return f"{years} year" if years == "1" else f"{years} years"


def of_a_step(seconds: float) -> str:
    """Return the time of a training step in three digits or to whole seconds: 0.42 ms, 13.9 ms, 1.82 s, 182 s."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 99.95 else f"{seconds:,.0f} s"
