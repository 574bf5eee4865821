"""Formats of numbers in reports: published ones as printed in the paper, ours with their significant digits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from resnets.paper.published import Published

NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table in words: the titles of its columns, its rows, each of which starts with its name, and its caption.

    The columns after the first hold numbers, but for those whose titles are in `words`.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: Collection[str] = ()


def published(number: Published) -> str:
    """Return a published number as the paper prints it, of parameters in millions."""
    if number.unit == "parameters":
        return f"{number.value / 1e6:g}M"
    if number.unit == "FLOPs":
        return f"{number.value / 1e9:g}e9"
    return number.printed


def measured(value: float, unit: str = "%", std: float | None = None) -> str:
    """Return one of our numbers, with the deviation of the runs where there is one."""
    if unit == "parameters":
        return f"{value:,.0f}"
    if unit == "FLOPs":
        return f"{value / 1e9:.3f}e9"
    if unit == "layers":
        return f"{value:.0f}"
    return f"{value:.2f}" + ("" if std is None else f" ± {std:.2f}")


def relative(difference: float, whole: float | None = None) -> str:
    """Return a signed difference in points, or in percent of a whole."""
    if whole is not None:
        return f"{100 * difference / whole:+.1f} %".replace("-", "−")
    return "0.00" if abs(difference) < 0.005 else f"{difference:+.2f}".replace("-", "−")


def machine(hardware: Mapping[str, Any]) -> str:
    """Return the GPU of a machine, else its processor."""
    return str(hardware.get("gpu") or hardware.get("processor", "an unknown machine"))


class _Shown(Protocol):
    """Something of a network, of a run or a file."""

    @property
    def network(self) -> str: ...

    @property
    def source(self) -> str: ...


S = TypeVar("S", bound=_Shown)


def labelled(found: Sequence[S]) -> list[tuple[str, S]]:
    """Return each with its network's name, and with the source where that occurs twice."""
    names = [one.network for one in found]
    return [(one.network if names.count(one.network) == 1 else f"{one.network} ({one.source})", one) for one in found]


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def quantity(value: float, name: str) -> str:
    """Return a benchmark's number: images/s, GiB of memory, or a share in percent."""
    if name == "peak memory":
        return f"{value / 2**30:.2f} GiB"
    if name == "matrix share":
        return f"{100 * value:.0f} %"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
