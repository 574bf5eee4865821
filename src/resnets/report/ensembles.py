"""Ensembles of classifiers, as `evaluate` tests them: their errors beside those of their members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resnets.report.measured import NotAResult
from resnets.specs import told_apart

TITLES = ("ensemble of", "data", "protocol", "images", "top-1 error", "top-5 error", "top-1 error of each alone")


@dataclass(frozen=True, kw_only=True)
class MeasuredEnsemble:
    """A test of an ensemble. Errors in percent, of `alone` the top-1 errors of the members in their order."""

    file: str
    members: tuple[str, ...]
    data: str
    protocol: str
    images: int
    top1: float
    top5: float
    interval: tuple[float, float]  # of `top1`, with 95 % confidence
    alone: tuple[float, ...]


def parse(file: str, content: Mapping[str, Any]) -> MeasuredEnsemble:
    """Return what a result file of `evaluate` tells of an ensemble.

    Raises: NotAResult, if it is none.
    """
    try:
        low, high = content["top1_interval"]
        return MeasuredEnsemble(
            file=file,
            members=tuple(str(member["network"]) for member in content["members"]),
            data=told_apart(
                str(content["data"]),
                digest=content.get("digest"),
                train=None,
                test=int(content["samples"]),
                classes=len(content["class_errors"]),
            ),
            protocol=str(content["protocol"]),
            images=int(content["samples"]),
            top1=float(content["top1_error"]),
            top5=float(content["top5_error"]),
            interval=(float(low), float(high)),
            alone=tuple(float(member["top1_error"]) for member in content["members"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAResult(f"a test of an ensemble that cannot be read ({error!r})") from None


def table(ensembles: Iterable[MeasuredEnsemble]) -> list[tuple[str, ...]]:
    """Return the cells below `TITLES` of each ensemble, errors in percent."""
    return [
        (
            ", ".join(one.members),
            one.data,
            one.protocol,
            f"{one.images:,}",
            f"{one.top1:.2f} ({one.interval[0]:.1f} to {one.interval[1]:.1f})",
            f"{one.top5:.2f}",
            ", ".join(f"{error:.2f}" for error in one.alone),
        )
        for one in ensembles
    ]
