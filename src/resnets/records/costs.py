"""Record of what networks cost, by their own count: costs.json."""

from __future__ import annotations

from resnets.records.base import Record
from resnets.records.runs import Provenance
from resnets.specs import Shortcut, Spec


class StageCost(Spec, frozen=True, kw_only=True):
    """A row of Table 1: `conv2_x`, height and width of its output, its layers in the paper's notation, their cost."""

    name: str
    output_size: tuple[int, int]
    layers: str
    parameters: int
    macs: int


class Cost(Spec, frozen=True, kw_only=True):
    """What a network costs; MACs are multiply-adds of one image. `shortcut` is None for the network's default.

    `data` is what it is trained on in a row of a table that is not the paper's: of its classes and channels the network
    then is, else of as many as by default.
    """

    network: str
    shortcut: Shortcut | None = None
    data: str | None = None
    depth: int
    parameters: int
    macs: int
    stages: tuple[StageCost, ...] = ()


class Costs(Record, frozen=True, kw_only=True, tag="costs"):
    """What the networks of the paper's tables cost."""

    networks: tuple[Cost, ...]
    provenance: Provenance
