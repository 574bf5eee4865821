"""Networks with their costs and published numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Unpack

from resnets.errors import public, showing_settings
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.paper import published
from resnets.paper.compared_networks import SIZES, PublishedSize
from resnets.paper.published import Published
from resnets.records.costs import StageCost
from resnets.specs import NetworkSettings, NetworkSpec


@dataclass(frozen=True)
class NetworkSummary:
    """One line of `resnets list`. `macs` are multiply-adds for one image of `input_size` pixels a side."""

    name: str
    depth: int
    parameters: int
    macs: int
    input_size: int
    published: Published | None


@public
def list_networks() -> list[NetworkSummary]:
    """Return every network with its depth, parameters, multiply-adds and the paper's figure."""
    return [_summary(name, registry.find_family(name)) for name in registry.names()]


@cache
def _summary(name: str, family: registry.Family) -> NetworkSummary:  # a name may be registered again
    spec = family.declare(name)
    cost = complexity.measure(complexity.skeleton(spec))
    return NetworkSummary(
        name=name,
        depth=spec.depth or cost.depth,
        parameters=cost.parameters,
        macs=cost.macs,
        input_size=spec.input_size,
        published=published.for_network(name),
    )


@dataclass(frozen=True)
class Description:
    """A network's declaration, the rows of its column in Table 1, and what each layer costs.

    `published` is what its authors print of its size, where the paper compares with it.
    """

    spec: NetworkSpec
    stages: tuple[StageCost, ...]
    cost: Complexity
    published: PublishedSize | None = None


@public
@showing_settings(others=registry.option_names)
def describe(name: str, **options: Unpack[NetworkSettings]) -> Description:
    """Return what a network is made of and what it costs, without building its weights.

    Args:
        name: of a network, as `resnets list` shows.
        num_classes, in_channels, shortcut, stride, residual_layers, bn_group, initialization: as in `create`, which has
            the options of other networks too.

    Raises: UsageError, as `create`.
    Paper: Table 1.
    """
    spec = registry.declare(name, **options)
    network = complexity.skeleton(spec)
    sizes = (one for one in SIZES if one.network == spec.name)
    published = next((one for one in sizes if registry.declare(one.network, **one.options) == spec), None)
    return Description(spec, complexity.stages(network), complexity.measure(network), published)
