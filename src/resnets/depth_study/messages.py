"""What a study says: its plan before the runs, and what stands around its curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resnets import durations
from resnets.depth_study.page import Table
from resnets.records.runs import Provenance
from resnets.records.studies import Recommendation, StudyPlan, StudyRow


def tell_plan(plan: StudyPlan, tell: Callable[[str], None]) -> None:
    """Tell what is trained on what, and what it takes."""
    count = len(plan.networks)
    tell(
        f"{plan.data}: {plan.training_images:,} images to train on, {plan.validation_images:,} {_held_out(plan)}, "
        f"{plan.classes} classes"
    )
    tell(
        f"{count} network{'s' if count > 1 else ''}, {plan.iterations:,} iterations of {plan.batch_size} images each "
        f"({plan.epochs:.1f} epochs; as many for each, so that none has an advantage), recipe {plan.recipe}, "
        f"seed {plan.seed}"
    )
    each = ", ".join(f"{network.network} {durations.in_words(network.seconds)}" for network in plan.networks)
    tell(
        f"Estimated: {durations.in_words(plan.seconds)} of training in a budget of {durations.show(plan.budget)} "
        f"({each})"
    )


def _held_out(plan: StudyPlan) -> str:
    return "of its own to validate on" if plan.split == "all" else f"held out to validate on ({plan.split})"


def tested(rows: Sequence[StudyRow], found: Recommendation, plan: StudyPlan) -> tuple[str, ...]:
    """Return the recommended network's error on the test images, if there is such a network."""
    return tuple(
        f"On the {plan.test_images:,} test images, which had no part in the choice, {row.network} has an error of "
        f"{row.test_error:.2f} %."
        for row in rows
        if row.network == found.network
    )


def note(plan: StudyPlan, origin: Provenance) -> str:
    """Return what a page says below its table: data, length, budget, versions and hardware."""
    versions, hardware = origin.versions, origin.hardware
    return (
        f"{plan.data}: {plan.training_images:,} images to train on, {plan.validation_images:,} {_held_out(plan)}; "
        f"{plan.iterations:,} iterations of {plan.batch_size} images for each network (recipe {plan.recipe}, seed "
        f"{plan.seed}), as many as fit in {durations.show(plan.budget)}; resnets {versions['resnets']}, torch "
        f"{versions['torch']}, on {hardware.get('gpu', hardware['processor'])}. Seconds are of the whole run, memory "
        f"is estimated; study.json next to this page has every number"
    )


def table(rows: Sequence[StudyRow]) -> Table:
    """Return the titles of the columns, and the cells of each row."""
    titles = ("network", "parameters", "training\nerror", "validation\nerror (95 %)", "seconds", "memory")
    return titles, [
        (
            row.network,
            f"{row.parameters:,}",
            f"{row.training_error:.2f} %",
            f"{row.validation_error:.2f} % ({row.interval[0]:.1f}–{row.interval[1]:.1f})",
            f"{row.seconds:,.1f}" if row.seconds < 1000 else f"{row.seconds:,.0f}",
            f"{row.memory / 2**30:.1f} GiB",
        )
        for row in rows
    ]
