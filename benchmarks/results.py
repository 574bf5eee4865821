"""Results of the rounds: speeds, ratios round by round with their range, compared with the targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.process_pool import Record
from benchmarks.rows import Row, Target
from benchmarks.worker import Round
from resnets.records.benchmarks import Claim, Quantity, Side, Verdict

# ---------------------------------------------------------------- arithmetic


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__trunc__() - 1)]


def speed(work: Round, row: Row) -> float:
    """Return a round's images/s: of training by the wall clock, of a pipeline per second of a core.

    Where single latencies matter, in inference, it is the batch over the median step.
    """
    if row.kind == "pipeline":
        return work.images / work.core_seconds
    if row.kind == "training":
        return work.images / work.seconds
    return row.batch / statistics.median(work.steps)


def side(record: Record, row: Row, *, flops: float | None, rates: dict[str, float]) -> Side:
    """Return what a candidate did; `flops` are those of one image."""
    name, role = record.candidate.name, record.candidate.role
    if record.failed is not None or not record.rounds:
        return Side(name=name, role=role, not_measured=record.failed or "no round was done")
    speeds = tuple(speed(work, row) for work in record.rounds)
    steps = [seconds for work in record.rounds for seconds in work.steps]
    median = statistics.median(speeds)
    rate = None if flops is None else flops * median
    ready = record.ready
    return Side(
        name=name,
        role=role,
        speeds=speeds,
        wall_clock_speeds=tuple(work.images / work.seconds for work in record.rounds),
        speed=median,
        step_seconds=statistics.median(steps),
        step_seconds_p99=percentile(steps, 99),
        steps=len(steps),
        first_step_seconds=record.first_step,
        peak_memory=record.peak_memory if row.processes == 1 else None,  # of one of them, which says little
        flops_per_second=rate,
        precision=record.candidate.precision if rate else None,
        share_of_matrix_rate=rate / rates[record.candidate.precision] if rate and rates else None,
        threads=ready.threads if ready else None,
        allocator=ready.allocator if ready else None,
    )


def verdict(value: float, target: Target) -> Verdict:
    """Return how a value compares with its target; of memory less is better."""
    sign = -1 if target.quantity == "peak memory" else 1
    if target.aim is not None and sign * value >= sign * target.aim:
        return "aim reached"
    return "reached" if sign * value >= sign * target.at_least else "NOT REACHED"


def claims(row: Row, sides: Sequence[Side]) -> tuple[Claim, ...]:
    """Return the comparisons of ours (the first side) with each peer, and with the row's targets.

    The row's own targets are over the first reference; over an expert the speed is to be at least the same.
    """
    ours, *peers = sides
    if ours.speed is None:
        return ()
    own = {target.quantity: target for target in row.targets}
    found: list[Claim] = []
    first = next((peer for peer in peers if peer.role == "reference"), None)
    for peer in peers:
        if peer.speed is None:
            continue
        target = Target("speed", 1.0) if peer.role == "expert" else own.get("speed") if peer is first else None
        ratios = tuple(mine / theirs for mine, theirs in zip(ours.speeds, peer.speeds, strict=True))
        found.append(_claim("speed", ratios, target, ours.speed, peer))
        if row.kind == "training" and peer is first and ours.peak_memory and peer.peak_memory:
            ratio = (ours.peak_memory / peer.peak_memory,)
            found.append(_claim("peak memory", ratio, own.get("peak memory"), ours.peak_memory, peer))
    if "images/s" in own:
        found.append(_claim("images/s", ours.speeds, own["images/s"], ours.speed))
    if "matrix share" in own and ours.share_of_matrix_rate is not None:
        share = tuple(speed / ours.speed * ours.share_of_matrix_rate for speed in ours.speeds)
        found.append(_claim("matrix share", share, own["matrix share"], ours.share_of_matrix_rate))
    return tuple(found)


def _claim(
    quantity: Quantity, values: tuple[float, ...], target: Target | None, ours: float, peer: Side | None = None
) -> Claim:
    median = statistics.median(values)
    theirs = None if peer is None else peer.peak_memory if quantity == "peak memory" else peer.speed
    return Claim(
        quantity=quantity,
        over=None if peer is None else peer.name,
        role=None if peer is None else peer.role,
        ours=ours,
        theirs=theirs,
        values=values,
        median=median,
        lowest=min(values),
        highest=max(values),
        at_least=None if target is None else target.at_least,
        aim=None if target is None else target.aim,
        verdict=None if target is None else verdict(median, target),
    )
