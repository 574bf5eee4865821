"""Recommendation of one of several networks, with reasons, from the numbers of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnets.quantities import plural
from resnets.records.counts import noise
from resnets.records.studies import Recommendation, StudyRow
from resnets.report.wording import listed

FALLING = 3.0  # points that training error falls in a quarter of the run: then the network has not converged
MAJORITY_SHARE = 0.9  # of the majority-class error; above this a network has hardly learnt
OVERFITTING = 10.0  # points from training to validation error


def alike(one: StudyRow, other: StudyRow) -> bool:
    """Return whether two validation errors differ by no more than chance."""
    bound = noise(one.validation_error, one.validation_images, other.validation_error, other.validation_images)
    return abs(one.validation_error - other.validation_error) <= bound


# ---------------------------------------------------------------- the choice


def recommend(rows: Sequence[StudyRow], *, majority_class_error: float, first_drop: int, longer: str) -> Recommendation:
    """Return the shallowest network whose validation error is within noise of the best, with reasons.

    `rows` are in the order of the study, `majority_class_error` is that of always predicting the commonest class,
    `first_drop` is the iteration at which the learning rate was first lowered (half of all, with a linear
    decay), and `longer` a budget that would show more.
    """
    best = min(rows, key=lambda row: (row.validation_error, row.depth, not row.residual))
    depth = min(row.depth for row in rows if alike(row, best))
    there = [row for row in rows if row.depth == depth and alike(row, best)]
    chosen = min(there, key=lambda row: (row.validation_error, not row.residual))
    cautions = tuple(
        _cautions(rows, chosen, majority_class_error=majority_class_error, first_drop=first_drop, longer=longer)
    )
    if majority_class_error > 0 and best.validation_error > MAJORITY_SHARE * majority_class_error:
        headline = (
            f"Too early to recommend a network: the best, {best.network}, has a validation error of "
            f"{_error(best)}, and the majority-class error is {_percent(majority_class_error)}. Try --budget "
            f"{longer}."
        )
        return Recommendation(None, headline, (), cautions)
    reasons = (_why(chosen, best, rows), *_depth(rows, chosen), *_shortcuts(rows))
    return Recommendation(chosen.network, f"Recommended: {chosen.network}.", reasons, cautions)


def _why(chosen: StudyRow, best: StudyRow, rows: Sequence[StudyRow]) -> str:
    shown = f"Its validation error is {_error(chosen)}"
    if chosen is not best:
        times = best.seconds / chosen.seconds if chosen.seconds else 1.0
        cost = f"takes {times:.1f} times as long" if times >= 1.05 else f"has {best.depth} layers"
        return (
            f"{shown}. The lowest is {best.validation_error:.2f} %, of {best.network}, which {cost}; that "
            f"difference is within noise, and this is the shallowest network for which it is."
        )
    shallower = [row for row in rows if row.depth < chosen.depth]
    if shallower:
        return f"{shown}, the lowest of all, and that of every shallower network is higher by more than noise."
    is_least = any(row.depth > chosen.depth for row in rows)
    return f"{shown}, the lowest of all{', with the fewest layers' if is_least else ''}."


def _depth(rows: Sequence[StudyRow], chosen: StudyRow) -> Iterator[str]:
    """Yield the effect of depth on the validation error of networks of the chosen kind."""
    same = sorted((row for row in rows if row.residual is chosen.residual), key=lambda row: row.depth)
    if chosen.residual is None or same[0].depth == same[-1].depth:
        return
    first, last, best = same[0], same[-1], min(same, key=lambda row: row.validation_error)
    steps = " -> ".join(f"{row.validation_error:.2f}" for row in same)
    kind = "residual" if chosen.residual else "plain"
    goes = f"From {first.depth} to {last.depth} layers the validation error of {kind} networks is {steps} %: "
    if all(alike(row, best) for row in same):
        yield goes + "these differences are within noise, so more depth is not worth its time here."
    elif not alike(first, best):
        yield goes + f"{best.depth} layers are better than {first.depth} by more than noise, so depth is worth it here."
    else:
        worse = "" if alike(best, last) else f", and {last.depth} layers are worse by more than noise"
        yield goes + f"beyond {chosen.depth} layers the gain is within noise{worse}."


def _shortcuts(rows: Sequence[StudyRow]) -> Iterator[str]:
    """Yield the effect of shortcuts at the greatest depth trained with and without them."""
    pairs = [
        (one, other)
        for one in rows
        for other in rows
        if one.depth == other.depth and other.residual is True and one.residual is False
    ]
    if not pairs:
        return
    plain, residual = max(pairs, key=lambda pair: pair[0].depth)
    errors = f"{residual.validation_error:.2f} % against {plain.validation_error:.2f} % without them"
    at = f"With shortcuts the validation error at {plain.depth} layers is {errors}"
    if alike(plain, residual):
        yield f"{at}, a difference within noise."
    else:
        yield f"{at}: they {'help' if residual.validation_error < plain.validation_error else 'do harm'} here."


def _cautions(
    rows: Sequence[StudyRow], chosen: StudyRow, *, majority_class_error: float, first_drop: int, longer: str
) -> Iterator[str]:
    if majority_class_error == 0:
        yield "All validation images are of one class: an answer is right without learning, so errors compare nothing."
    stuck = [row for row in rows if row.training_error > MAJORITY_SHARE * majority_class_error]
    falling = [row for row in rows if row not in stuck and not has_converged(row, first_drop)]
    if falling:
        yield (
            f"The budget was too short for {_these(falling, rows)} to converge: training error was still falling after "
            f"{plural(first_drop, 'iteration')}. With more time errors will be lower, and more depth may help; try "
            f"--budget {longer}."
        )
    if stuck:
        yield (
            f"{_these(stuck, rows)} hardly learnt: training error is still near the majority-class error, "
            f"{_percent(majority_class_error)}."
        )
    gap = chosen.validation_error - chosen.training_error
    if gap > OVERFITTING and chosen not in falling:
        yield (
            f"The validation error of {chosen.network} is {gap:.0f} points above its training error: more images or "
            f"more augmentation are likely to help more than another network."
        )
    yield (
        f"Each network was trained once, and the intervals are of the {chosen.validation_images:,} validation images "
        f"alone: errors also vary with --seed."
    )


def _these(some: Sequence[StudyRow], rows: Sequence[StudyRow]) -> str:
    """Return the names of some networks, or a phrase for all."""
    whole = len(some) == len(rows) > 1
    return "all of the networks" if whole else listed([row.network for row in some])


def has_converged(row: StudyRow, first_drop: int) -> bool:
    """Return whether training error had about stopped falling when the learning rate was first lowered.

    It fell by at most 3 points in the second half of the iterations before the drop. After the drop any curve is flat.
    False for a curve with fewer than two points before the drop.
    """
    before = [point for point in row.curve if point[0] <= first_drop]
    if len(before) < 2:
        return False
    half = min(before[:-1], key=lambda point: abs(point[0] - before[-1][0] / 2))
    return half[1] - before[-1][1] <= FALLING


def _percent(error: float) -> str:
    return f"{error:.0f} %" if error >= 10 else f"{error:.1f} %"


def _error(row: StudyRow) -> str:
    low, high = row.interval
    return f"{row.validation_error:.2f} % (95 % interval {low:.1f} to {high:.1f} %, {row.validation_images:,} images)"
