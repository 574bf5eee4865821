"""Test protocols of declared rows: read, and verified before anything is trained."""

from __future__ import annotations

import re

from resnets.data.loading import SplitKind
from resnets.errors import UsageError, nearest
from resnets.evaluation.protocols import PROTOCOLS, how_tested
from resnets.networks import complexity
from resnets.networks.dense import Dense
from resnets.specs import InputSpec, NetworkSpec

SCALES = r"[1-9][0-9]*(, [1-9][0-9]*)*"


def parse_protocol(protocol: str) -> tuple[str, list[int] | None]:
    """Return the name of a declared protocol, and the scales that it may name: `dense-multi-scale at 256, 384`.

    Raises: UsageError, if there is no such protocol.
    """
    name, at, scales = protocol.partition(" at ")
    if name not in PROTOCOLS:
        raise UsageError(f"unknown protocol {name!r}{nearest(name, PROTOCOLS)}; it must be {', '.join(PROTOCOLS)}")
    if not at:
        return name, None
    if not PROTOCOLS[name].dense or not re.fullmatch(SCALES, scales):
        raise UsageError(f"protocol {protocol!r}: scales are named as in 'dense-multi-scale at 256, 384'")
    return name, [int(scale) for scale in scales.split(", ")]


def require_possible(protocol: str, network: NetworkSpec, images: SplitKind, size: int, *, ensemble: bool) -> None:
    """Verify that a network, or an ensemble of such, can be tested by a declared protocol on images of a kind.

    `size` is the side of its input in pixels. The test at the end of a training is always possible.

    Raises: UsageError.
    """
    name, scales = parse_protocol(protocol)
    if not ensemble and protocol == ("center-crop" if network.type == "imagenet" else "single-view"):
        return
    how_tested(images == "photos", InputSpec(size=size, resize=size), protocol=name, scales=scales)
    if PROTOCOLS[name].dense:
        Dense(complexity.skeleton(network), size)
