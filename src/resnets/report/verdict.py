"""Measured against published numbers: the runs that are compared, and the status that they come to."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar

from resnets.paper.declarations import Direction, Tolerance
from resnets.paper.published import Published
from resnets.report.runs import Run, by_seed, settings_of
from resnets.specs import Setting

AnyRun = TypeVar("AnyRun", bound=Run)

_EDGE = 1e-9  # a number on the edge of a tolerance is within it


class Status(StrEnum):
    """What a row, a number or a curve comes to; each status has a sign and a meaning. The order is that of tallies."""

    REPRODUCED = (
        "reproduced",
        "✓",
        "the published number is within twice the deviation of our runs, or within a declared tolerance",
    )
    COUNTED = "counted", "=", "a count of the network itself, without any run, is the paper's or within a tolerance"
    BETTER = "better than published", "★", "a lower error, or a higher AP, by more than that"
    DIFFERS = "differs", "≠", "measured as the paper did: a higher error or another count, by more than that"
    REDUCED = "reduced", "◐", "measured at another scale or on other data, and so no test of the paper's number"
    NOT_JUDGED = "not judged", "·", "measured, and neither a deviation nor a tolerance to judge it by"
    NOT_RUN = "not run", "○", "ready to be run, and no result of it is here"
    CITED = "cited", "”", "another paper's system, shown for comparison"

    sign: str
    meaning: str

    def __new__(cls, words: str, sign: str, meaning: str) -> Self:
        status = str.__new__(cls, words)
        status._value_ = words
        status.sign, status.meaning = sign, meaning
        return status

    @property
    def signed(self) -> str:
        """The words after their sign."""
        return f"{self.sign} {self}"

    @classmethod
    def tally(cls, statuses: Iterable[Status]) -> dict[Status, int]:
        """Return how often each status occurs, in their order; those that do not are left out."""
        found = Counter(statuses)
        return {status: found[status] for status in cls if found[status]}


@dataclass(frozen=True)
class Verdict:
    """A status, and the reason for it."""

    status: Status
    why: str


def judge(
    values: Sequence[float],
    published: Published,
    tolerance: Tolerance | None = None,
    *,
    better: Direction | None = None,
) -> Verdict:
    """Return whether the mean of our runs reproduces a published number, and by which rule.

    It does within twice the deviation of the runs, or within the tolerance; a bound holds or does not, one that was
    read off a figure by as much as the reading may be off. Beyond that it differs or, on its `better`
    side, is better.
    """
    mean = statistics.fmean(values)
    if published.relation:
        above, slack = published.relation == ">", published.precision or 0.0
        holds = mean > published.value - slack if above else mean < published.value + slack
        words = "above" if above else "below"
        is_not = "" if holds else "not "
        return Verdict(
            Status.REPRODUCED if holds else Status.DIFFERS, f"{is_not}{words} {published.value:g}, the paper's bound"
        )
    distance = abs(mean - published.value)
    bounds = []
    if len(values) > 1:
        twice = 2 * statistics.stdev(values)
        if distance <= twice + _EDGE:
            return Verdict(Status.REPRODUCED, f"within ±{twice:.3g}, twice the deviation of {len(values)} runs")
        bounds.append(f"±{twice:.3g}, twice the deviation of {len(values)} runs")
    if tolerance is not None:
        within = f"±{_short(tolerance.value)}, the declared tolerance"
        if distance <= tolerance.value + _EDGE:
            return Verdict(Status.REPRODUCED, f"within {within}")
        bounds.append(within)
    if not bounds:
        return Verdict(Status.NOT_JUDGED, "one run, and no tolerance is declared")
    way: Direction = "lower" if mean < published.value else "higher"
    status = Status.BETTER if way == better else Status.DIFFERS
    return Verdict(status, f"{_short(distance)} {way}, beyond {' and '.join(bounds)}")


def choose(
    runs: Iterable[AnyRun], setting: Setting | None, has: Callable[[AnyRun], bool] = lambda run: True
) -> tuple[AnyRun, ...]:
    """Return the runs to compare with the paper: of all of this setting those nearest to it, one per seed.

    The declared data goes before other data, the recipe unchanged before changed, longer before shorter. Runs of
    different precisions, images or starting weights are not taken together.
    """
    declared = None if setting is None else setting.with_default_shortcut()
    groups = list(map(by_seed, settings_of(run for run in runs if run.declared == declared and has(run))))
    if not groups:
        return ()
    best = min(groups, key=lambda group: (next(iter(group.values())).rank, -len(group)))
    return tuple(best[seed] for seed in sorted(best))


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
