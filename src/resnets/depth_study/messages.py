"""Sentences of a study: its plan before the runs, and the text around its curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resnets import durations
from resnets.quantities import plural, training_length
from resnets.records.runs import Provenance
from resnets.records.studies import Recommendation, StudyPlan, StudyRow
from resnets.report.single_page import origin
from resnets.report.wording import Grid


def notify_plan(plan: StudyPlan, notify: Callable[[str], None]) -> None:
    """Report what is trained on what data, and the estimated time."""
    notify(
        f"{plan.data}: {plural(plan.training_images, 'training image')}, {plan.validation_images:,} {_held_out(plan)}, "
        f"{plural(plan.classes, 'class')}"
    )
    notify(
        f"{plural(len(plan.networks), 'network')}, each for "
        f"{training_length(plan.iterations, plan.batch_size, plan.training_images)}, recipe {plan.recipe}, "
        f"seed {plan.seed}"
    )
    each = ", ".join(f"{network.network} {durations.in_words(network.seconds)}" for network in plan.networks)
    notify(
        f"Estimated: {durations.in_words(plan.seconds)} of training within a budget of {durations.show(plan.budget)} "
        f"({each})"
    )


def _held_out(plan: StudyPlan) -> str:
    return "for validation" if plan.split == "all" else f"held out for validation ({plan.split})"


def tested(rows: Sequence[StudyRow], found: Recommendation, plan: StudyPlan) -> tuple[str, ...]:
    """Return the recommended network's error on the test images, if there is such a network."""
    return tuple(
        f"On the {plural(plan.test_images, 'test image')}, which had no part in the choice, {row.network} has an error "
        f"of {row.test_error:.2f} %."
        for row in rows
        if row.network == found.network
    )


def note(plan: StudyPlan, made: Provenance) -> str:
    """Return the note below the table of a page: data, length, budget, versions and hardware."""
    return (
        f"{plan.data}: {plural(plan.training_images, 'training image')}, {plan.validation_images:,} {_held_out(plan)}; "
        f"{plural(plan.iterations, 'iteration')} of {plan.batch_size} images per network (recipe {plan.recipe}, seed "
        f"{plan.seed}), the most that fit in {durations.show(plan.budget)}; {origin(made)}. Seconds are of the whole "
        f"run, memory is estimated; study.json next to this page has every number"
    )


def table(rows: Sequence[StudyRow]) -> Grid:
    """Return the errors, the size, the time and the memory of each network."""
    return Grid(
        titles=("network", "parameters", "training\nerror", "validation\nerror (95 %)", "seconds", "memory"),
        rows=[
            (
                row.network,
                f"{row.parameters:,}",
                f"{row.training_error:.2f} %",
                f"{row.validation_error:.2f} % ({row.interval[0]:.1f}–{row.interval[1]:.1f})",
                f"{row.seconds:,.1f}" if row.seconds < 1000 else f"{row.seconds:,.0f}",
                f"{row.memory / 2**30:.1f} GiB",
            )
            for row in rows
        ],
    )
