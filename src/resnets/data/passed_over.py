"""Files that lie among the images of a data set and are no part of it: each is named, and none is left out silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 6  # kinds, in a sentence


@dataclass(frozen=True)
class PassedOver:
    """A file, folder or member that was not read. `kind` says why, in the plural: hidden files, links."""

    kind: str
    where: str


def in_words(found: Sequence[PassedOver]) -> str:
    """Return how many there are of each kind, with one of them: hidden files (12, such as train/cat/._0.jpg)."""
    kinds: dict[str, list[str]] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append(one.where)
    listed = [
        f"{kind} ({len(places):,}, such as {places[0]})" if len(places) > 1 else f"{kind} ({places[0]})"
        for kind, places in kinds.items()
    ]
    rest = sum(map(len, list(kinds.values())[SHOWN:]))
    return "; ".join([*listed[:SHOWN], *([f"{rest:,} others"] if rest else [])])
