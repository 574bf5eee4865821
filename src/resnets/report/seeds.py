"""Runs that were made alike but for their seed: mean errors and deviations, with a row in the paper or without."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from resnets.report.measured import Measured, default_shortcut

TITLES = ("network", "data", "recipe", "iterations", "precision", "test error", "training error", "seeds")


def table(runs: Iterable[Measured]) -> list[tuple[str, ...]]:
    """Return the cells below `TITLES` of each network that was trained alike from several seeds, errors in percent."""
    groups: dict[tuple[object, ...], dict[int, Measured]] = {}
    for run in runs:
        alike = (run.network, run.shortcut, run.data, run.recipe, run.changes, run.iterations, run.precision)
        groups.setdefault(alike, {}).setdefault(run.seed, run)
    return [_cells(list(group.values())) for group in groups.values() if len(group) > 1]


def _cells(group: Sequence[Measured]) -> tuple[str, ...]:
    first = group[0]
    option = "" if first.shortcut == default_shortcut(first.network) else f", option {first.shortcut}"
    return (
        first.network + option,
        first.data,
        "; ".join((first.recipe, *first.changes)),
        f"{first.iterations:,}",
        first.precision,
        _spread([next(iter(run.errors.values())).top1 for run in group]),
        _spread([run.training_error for run in group]),
        f"{len(group)}",
    )


def _spread(errors: Sequence[float]) -> str:
    return f"{statistics.fmean(errors):.2f} ± {statistics.stdev(errors):.2f}"
