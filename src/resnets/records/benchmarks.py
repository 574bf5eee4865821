"""Record of `python -m benchmarks`: speed and memory compared with torchvision and timm."""

from __future__ import annotations

from typing import Literal

from resnets.records.base import Record
from resnets.records.runs import Provenance
from resnets.specs import Spec

Kind = Literal["training", "inference", "pipeline", "start-up"]
Quantity = Literal["speed", "peak memory", "images/s", "matrix share"]
Role = Literal["ours", "reference", "expert"]
Verdict = Literal["aim reached", "reached", "NOT REACHED"]


class Side(Spec, frozen=True, kw_only=True):
    """What one candidate did. `speeds` are images/s of each round; a figure that does not apply is None.

    Units: seconds, bytes, and FLOPs (two for each multiply-add; a training step counts three forward passes).
    """

    name: str
    role: Role
    not_measured: str | None = None  # why
    speeds: tuple[float, ...] = ()
    wall_clock_speeds: tuple[float, ...] = ()
    speed: float | None = None  # the median
    step_seconds: float | None = None  # the median of all steps
    step_seconds_p99: float | None = None
    steps: int = 0
    first_step_seconds: float | None = None
    peak_memory: int | None = None
    flops_per_second: float | None = None
    precision: Literal["bf16", "fp32"] | None = None
    share_of_matrix_rate: float | None = None  # of this precision
    threads: int | None = None
    allocator: str | None = None


class Claim(Spec, frozen=True, kw_only=True):
    """One comparison, or one figure of ours (`over` is None), with its target; `values` are those of each round.

    Units: of `ours` and `theirs` images/s, or bytes of peak memory; `matrix share` is a fraction. `values`, and their
    median, are ours over theirs where there is a peer.
    """

    quantity: Quantity
    over: str | None
    role: Role | None  # of the peer
    ours: float
    theirs: float | None
    values: tuple[float, ...]
    median: float
    lowest: float
    highest: float
    at_least: float | None = None  # at most, of memory
    aim: float | None = None
    verdict: Verdict | None = None

    @property
    def is_memory(self) -> bool:
        """Whether less is better."""
        return self.quantity == "peak memory"


class BenchmarkRow(Spec, frozen=True, kw_only=True):
    """One row: its candidates, ours first, and what follows."""

    row: str
    what: str
    kind: Kind
    sides: tuple[Side, ...]
    claims: tuple[Claim, ...]
    load: tuple[float, ...]  # of the machine, before it started


class Machine(Provenance, frozen=True, kw_only=True):
    """Where a benchmark ran, with what else affects speed."""

    memory_bytes: int | None = None
    environment: dict[str, str]  # variables that are set
    allocator: str


class Benchmark(Record, frozen=True, kw_only=True, tag="benchmark"):
    """A whole run. `matrix_rates` are FLOPs per second by type; `left_out` is what `--quick` did not measure."""

    rows: tuple[BenchmarkRow, ...]
    rounds: int
    round_seconds: float
    matrix_rates: dict[str, float]
    data: dict[str, str]
    left_out: tuple[str, ...]
    seconds: float
    machine: Machine
