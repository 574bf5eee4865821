"""The arithmetic of the benchmark: speeds, ratios round by round, and verdicts that claim no more than was measured."""

from __future__ import annotations

import pytest

from benchmarks import rows
from benchmarks.process_pool import Record
from benchmarks.results import Side, claims, percentile, side, speed, verdict
from benchmarks.rows import CPU, CUDA, Row, Target, choose
from benchmarks.worker import Candidate, Role, Round
from resnets.errors import UsageError

ROW = Row(
    name="net",
    what="a net",
    kind="training",
    network="resnet20",
    batch=10,
    targets=(Target("speed", 2.0, 2.5), Target("peak memory", 0.6, 0.5), Target("images/s", 30)),
)


def a_side(name: str, role: Role, *speeds: float, memory: int | None = None, reason: str | None = None) -> Side:
    middle = sorted(speeds)[len(speeds) // 2] if speeds else None
    return Side(name=name, role=role, speeds=speeds, speed=middle, peak_memory=memory, not_measured=reason)


def test_ratios_are_taken_round_by_round() -> None:
    """The median of the ratios (2, 3, 1 -> 2) is not the ratio of the medians (20 / 10) by chance: ours 20, 60, 10."""
    ours = a_side("ours", "ours", 20, 60, 10, memory=60)
    baseline = a_side("CIFAR baseline", "reference", 10, 20, 10, memory=100)
    other = a_side("other", "reference", 5, 5, 5)
    expert = a_side("CIFAR baseline, expert", "expert", 40, 60, 8)
    found = {(claim.over, claim.quantity): claim for claim in claims(ROW, (ours, baseline, other, expert))}
    over_baseline = found["CIFAR baseline", "speed"]
    assert over_baseline.values == (2, 3, 1)
    assert (over_baseline.median, over_baseline.lowest, over_baseline.highest) == (2, 1, 3)
    assert (over_baseline.at_least, over_baseline.aim, over_baseline.verdict) == (2.0, 2.5, "reached")
    assert found["CIFAR baseline", "peak memory"].median == pytest.approx(0.6)
    assert found["CIFAR baseline", "peak memory"].verdict == "reached"
    assert found["other", "speed"].verdict is None  # the targets are over the first reference
    assert found["CIFAR baseline, expert", "speed"].values == (0.5, 1, 1.25)
    assert found["CIFAR baseline, expert", "speed"].verdict == "reached"  # never slower
    assert found[None, "images/s"].verdict == "NOT REACHED"  # 20 of 30


def test_what_was_not_measured_is_not_claimed() -> None:
    """A side that failed has no part in a claim."""
    ours = a_side("ours", "ours", 20, 60, 10)
    missing = a_side("CIFAR baseline", "reference", reason="no compiler")
    assert [claim.over for claim in claims(ROW, (ours, missing))] == [None]
    assert claims(ROW, (a_side("ours", "ours", reason="it broke"), ours)) == ()


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        (Target("speed", 2.2, 2.6), 2.1999, "NOT REACHED"),
        (Target("speed", 2.2, 2.6), 2.2, "reached"),
        (Target("speed", 2.2, 2.6), 2.6, "aim reached"),
        (Target("speed", 4), 100, "reached"),
        (Target("peak memory", 0.6, 0.5), 0.6001, "NOT REACHED"),
        (Target("peak memory", 0.6, 0.5), 0.55, "reached"),
        (Target("peak memory", 0.6, 0.5), 0.5, "aim reached"),
    ],
)
def test_verdicts(target: Target, value: float, expected: str) -> None:
    """A value reaches its target, its aim or neither, and equality counts."""
    assert verdict(value, target) == expected


def test_speeds_of_each_kind() -> None:
    """Training by the wall clock, a pipeline per second of a core, inference by the median step."""
    work = Round(images=30, seconds=2.0, core_seconds=1.5, steps=(0.5, 0.5, 1.0))
    assert speed(work, ROW) == 15
    assert speed(work, Row(name="p", what="", kind="pipeline", batch=10)) == 20
    assert speed(work, Row(name="i", what="", kind="inference", batch=10)) == 20


def test_a_side_is_its_rounds() -> None:
    """Speed is the median of the rounds, and a failure in any of them is recorded."""
    record = Record(Candidate("a", "ours", lambda: lambda tick: None, precision="fp32"))
    record.rounds = [Round(10, 1.0, 1.0, (1.0,)), Round(10, 0.5, 0.5, (0.5,)), Round(10, 2.0, 2.0, (2.0,))]
    found = side(record, ROW, flops=7.0, rates={"bf16": 140.0, "fp32": 70.0})
    assert found.speeds == (10, 20, 5)
    assert (found.speed, found.step_seconds, found.step_seconds_p99, found.steps) == (10, 1.0, 2.0, 3)
    assert (found.flops_per_second, found.precision, found.share_of_matrix_rate) == (70, "fp32", 1.0)
    record.failed = "it broke in the last round"
    assert side(record, ROW, flops=None, rates={}).not_measured == record.failed


def test_percentiles() -> None:
    """A percentile is one of the values."""
    values = list(range(1, 201))
    assert percentile(values, 99) == 198
    assert percentile(values, 100) == 200
    assert percentile([3.0], 99) == 3.0


def test_rows_are_chosen_by_name() -> None:
    """Rows are chosen by name and device; an unknown name is an error with the nearest."""
    assert choose((), gpu=False, quick=False) == CPU
    assert {row.name for row in choose((), gpu=False, quick=True)} < {row.name for row in CPU}
    assert [row.name for row in choose(("start-up", "resnet20-cifar"), gpu=True, quick=True)] == [
        "resnet20-cifar",
        "start-up",
    ]
    with pytest.raises(UsageError, match="did you mean resnet20-cifar"):
        choose(("resnet20",), gpu=False, quick=False)
    with pytest.raises(UsageError, match="on a GPU only"):
        choose(("resnet56-cifar",), gpu=False, quick=False)


def test_names_are_unique_and_the_targets_complete() -> None:
    """Each row has a name of its own, and a target for its speed."""
    for table in (rows.CPU, rows.CUDA):
        assert len({row.name for row in table}) == len(table)
    for row in CPU:
        assert row.kind == "start-up" or any(target.quantity == "speed" for target in row.targets)
    assert next(t for t in CUDA[0].targets if t.quantity == "images/s").at_least == pytest.approx(34_133, abs=1)


def test_a_share_is_of_the_rate_of_the_precision_used() -> None:
    """On a processor without native bf16 its rate is tiny, and ours and the experts compute in float32."""
    rates = {"bf16": 1.0, "fp32": 100.0}
    for precision, share in (("fp32", 0.5), ("bf16", 50.0)):
        record = Record(Candidate("a", "ours", lambda: lambda tick: None, precision=precision))
        record.rounds = [Round(10, 1.0, 1.0, (1.0,))]
        assert side(record, ROW, flops=5.0, rates=rates).share_of_matrix_rate == share
