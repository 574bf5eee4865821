"""Records next to tar shards: their manifest and, until all are written, the plan and an index of each."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from resnets.records.base import Record
from resnets.specs import Spec
from resnets.specs.base import Natural

SplitName = Literal["train", "val", "validation"]
"""`val` is tested on."""


class ShardEntry(Spec, frozen=True, kw_only=True):
    """One shard; the lists have a number for each image, in the order of their bytes."""

    file: str
    bytes: Natural
    sha256: str
    samples: tuple[Natural, ...]
    labels: tuple[Natural, ...]
    offsets: tuple[Natural, ...]
    sizes: tuple[Natural, ...]
    crcs: tuple[Natural, ...]


class ShardIndex(Record, frozen=True, kw_only=True, tag="shard"):
    """A shard that is whole, and the plan by which it was written."""

    plan: str
    shard: ShardEntry


class ShardPlan(Record, frozen=True, kw_only=True, tag="shard plan"):
    """Which shards are being written, before there is a manifest."""

    plan: str
    shards: Natural


class SplitEntry(Spec, frozen=True, kw_only=True):
    """A split in the manifest."""

    digest: str
    samples: Natural
    shards: tuple[ShardEntry, ...]


class ShardManifest(Record, frozen=True, kw_only=True, tag="shards"):
    """The manifest of shards; `plan` identifies what they were written of."""

    plan: str
    name: str
    classes: tuple[str, ...]
    splits: dict[SplitName, SplitEntry]
    validation_share: Annotated[float, msgspec.Meta(gt=0, lt=100)] | None = None
    roles: str = ""
    published: bool = False
