"""Record of an audit of a data set: `resnets data check --out`."""

from __future__ import annotations

from resnets.records.base import Record
from resnets.specs import Spec
from resnets.specs.base import Natural

Range = tuple[Natural, Natural, Natural]
"""The smallest, the median and the largest."""


class Finding(Spec, frozen=True, kw_only=False):
    """One thing that was found: its kind is one of `resnets.data.audit.KINDS`."""

    kind: str
    split: str
    file: str
    detail: str


class SplitSummary(Spec, frozen=True, kw_only=True):
    """What a split holds. Units: pixels; `class_sizes` in images."""

    images: Natural
    bytes: Natural
    classes: Natural
    class_sizes: Range
    widths: Range
    heights: Range


class Audit(Record, frozen=True, kw_only=True, tag="audit"):
    """What was found in a data set, the worst first; `would_fail` is whether training on it would fail.

    `counts` are the findings of each kind, `notes` what the source took for granted.
    """

    source: str
    name: str
    classes: Natural
    splits: dict[str, SplitSummary]
    findings: tuple[Finding, ...]
    would_fail: bool
    counts: dict[str, Natural]
    notes: tuple[str, ...] = ()
