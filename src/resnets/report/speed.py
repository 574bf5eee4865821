"""Results of `python -m benchmarks --json`, as lines of a table: ours next to each peer's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnets.report.measured import NotAResult


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One comparison of a benchmark with a peer, or one figure of ours (`over` is None).

    Units: images/s, or bytes of peak memory; `matrix share` is a fraction. `ratio` is ours over theirs.
    """

    row: str
    what: str
    quantity: str
    over: str | None
    ours: float
    theirs: float | None
    ratio: float | None
    lowest: float | None
    highest: float | None
    at_least: float | None
    aim: float | None
    verdict: str | None

    @property
    def is_memory(self) -> bool:
        """Whether less is better."""
        return self.quantity == "peak memory"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A file of `python -m benchmarks`: its comparisons, and what they were measured on."""

    file: str
    comparisons: tuple[Comparison, ...]
    rounds: int
    data: Mapping[str, str]
    machine: Mapping[str, Any]


def parse(file: str, content: Mapping[str, Any]) -> Benchmark:
    """Return the benchmark that a file's content describes.

    Raises: NotAResult.
    """
    try:
        return Benchmark(
            file=file,
            comparisons=tuple(_comparison(row, claim) for row in content["rows"] for claim in row["claims"]),
            rounds=int(content["rounds"]),
            data=dict(content["data"]),
            machine=dict(content["machine"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAResult(f"a benchmark that cannot be read ({error!r})") from None


def _comparison(row: Mapping[str, Any], claim: Mapping[str, Any]) -> Comparison:
    alone = claim["over"] is None
    return Comparison(
        row=row["row"],
        what=row["what"],
        quantity=claim["quantity"],
        over=claim["over"],
        ours=float(claim["median"] if alone else claim["ours"]),
        theirs=None if alone else float(claim["theirs"]),
        ratio=None if alone else float(claim["median"]),
        lowest=None if alone else float(claim["lowest"]),
        highest=None if alone else float(claim["highest"]),
        at_least=claim["at_least"],
        aim=claim["aim"],
        verdict=claim["verdict"],
    )
