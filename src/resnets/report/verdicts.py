"""How measured and published are compared: which runs stand beside a number of the paper, and what they come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from resnets.paper.declarations import System, Tolerance
from resnets.paper.published import Published
from resnets.report.measured import Run, Setting

AnyRun = TypeVar("AnyRun", bound=Run)

Status = Literal["reproduced", "differs", "reduced", "not judged", "not run", "not built yet", "cited"]

STATUSES: dict[Status, str] = {
    "reproduced": "the published number is within twice the deviation of our runs, or within a declared tolerance",
    "differs": "measured as the paper did, and further from it than that",
    "reduced": "measured at another scale or on other data, and so no test of the paper's number",
    "not judged": "measured, and neither a deviation nor a tolerance to judge it by",
    "not run": "ready to be run, and no result of it is here",
    "not built yet": "needs a part of the software that does not exist yet",
    "cited": "another paper's system, shown for comparison",
}

_EDGE = 1e-9  # a number on the edge of a tolerance is within it


@dataclass(frozen=True)
class Verdict:
    """A status, and what it rests on in words."""

    status: Status
    why: str


def judge(values: Sequence[float], published: Published, tolerance: Tolerance | None = None) -> Verdict:
    """Return whether the mean of our runs reproduces a published number, and by which rule.

    It does within twice the deviation of the runs, or within the tolerance; a bound holds or does not, one that was
    read off a figure by as much as the reading may be off.
    """
    mean = statistics.fmean(values)
    if published.relation:
        above, slack = published.relation == ">", published.precision or 0.0
        holds = mean > published.value - slack if above else mean < published.value + slack
        words = "above" if above else "below"
        is_not = "" if holds else "not "
        return Verdict("reproduced" if holds else "differs", f"{is_not}{words} {published.value:g}, the paper's bound")
    distance = abs(mean - published.value)
    bounds = []
    if len(values) > 1:
        twice = 2 * statistics.stdev(values)
        if distance <= twice + _EDGE:
            return Verdict("reproduced", f"within ±{twice:.3g}, twice the deviation of {len(values)} runs")
        bounds.append(f"±{twice:.3g}, twice the deviation of {len(values)} runs")
    if tolerance is not None:
        within = f"±{_short(tolerance.value)}, the declared tolerance"
        if distance <= tolerance.value + _EDGE:
            return Verdict("reproduced", f"within {within}")
        bounds.append(within)
    if not bounds:
        return Verdict("not judged", "one run, and no tolerance is declared")
    way = "lower" if mean < published.value else "higher"
    return Verdict("differs", f"{_short(distance)} {way}, beyond {' and '.join(bounds)}")


def choose(
    runs: Iterable[AnyRun], setting: Setting, has: Callable[[AnyRun], bool] = lambda run: True
) -> tuple[AnyRun, ...]:
    """Return the runs to set beside the paper: of all of this setting those nearest to it, one a seed.

    The declared data goes before other data, the recipe unchanged before changed, longer before shorter. Runs of
    different precisions are not taken together.
    """
    groups: dict[tuple[tuple[str, ...], str], dict[int, AnyRun]] = {}
    for run in runs:
        if run.declared == setting and has(run):
            groups.setdefault((run.departures, run.precision), {}).setdefault(run.seed, run)
    if not groups:
        return ()
    best = min(groups.values(), key=lambda group: (next(iter(group.values())).rank, -len(group)))
    return tuple(best[seed] for seed in sorted(best))


def setting_of(system: System) -> Setting | None:
    if system.network is None or system.recipe is None or system.data is None:
        return None
    return Setting.of(system.network, system.shortcut, system.recipe, system.data)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
