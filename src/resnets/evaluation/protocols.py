"""Test protocols by their names, with the choices that they leave made for a data set and a network's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from resnets.data.datasets import ImageFiles, Images
from resnets.errors import UsageError, nearest
from resnets.specs import SCALES, HowTested, InputConvention, TestProtocol

PROTOCOLS: tuple[TestProtocol, ...] = get_args(TestProtocol)


def find_protocol(name: str) -> TestProtocol:
    """Return the protocol of a name, of which a beginning is enough: `dense` is `dense-multi-scale`.

    Raises: UsageError, if there is none.
    """
    found = [protocol for protocol in PROTOCOLS if name and protocol.startswith(name)]
    if len(found) != 1:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"unknown protocol {name!r}{nearest(name, PROTOCOLS)}; it must be one of {known}")
    return found[0]


def how_tested(
    split: Images,
    convention: InputConvention | None,
    *,
    protocol: str | None = None,
    scales: Sequence[int] | None = None,
    flips: bool | None = None,
) -> HowTested:
    """Return how a split is tested, for a network with this input; None leaves a choice to the paper.

    Photos are tested by the centre crop, all else by the single view. `scales` of dense testing are the paper's in
    proportion to the network's input: 224, 256, 384, 480 and 640 for one of 224 x 224.

    Raises: UsageError, if the protocol is not for such images, or has no such choice.
    """
    photos = isinstance(split, ImageFiles)
    name = find_protocol(protocol) if protocol is not None else "center-crop" if photos else "single-view"
    if photos and name == "single-view":
        raise UsageError(
            f"single-view tests images that are of the network's size; photos of any size are tested by "
            f"{', '.join(PROTOCOLS[1:])}"
        )
    if not photos and name != "single-view":
        raise UsageError(
            f"{name} is for photos, which are larger than the network's input; these images are tested by single-view "
            f"(with flips, by their mirror images too)"
        )
    if name == "ten-crop" and flips is False:
        raise UsageError("ten-crop is five crops and their mirror images: it has flips by its name")
    if scales is not None and name != "dense-multi-scale":
        raise UsageError(f"scales are a choice of dense-multi-scale, and not of {name}")
    if name != "dense-multi-scale":
        return HowTested(protocol=name, flips=name == "ten-crop" if flips is None else flips)
    assert convention is not None
    chosen = tuple(round(scale * convention.size / 224) for scale in SCALES) if scales is None else tuple(scales)
    if not chosen or len({*chosen}) < len(chosen):
        raise UsageError(f"scales are {', '.join(map(str, chosen)) or 'none'}; they must be one or more, each once")
    if min(chosen) < convention.size:
        raise UsageError(f"scale {min(chosen)} is less than the {convention.size} pixels that the network takes")
    return HowTested(protocol=name, flips=flips is not False, scales=chosen)


def label(how: HowTested, usual: HowTested) -> str:
    """Return the protocol's name, and in what it is not the usual one: `dense-multi-scale at 256 without flips`."""
    scales = f" at {', '.join(map(str, how.scales))}" if how.scales != usual.scales else ""
    flips = "" if how.flips == usual.flips else " with flips" if how.flips else " without flips"
    return how.protocol + scales + flips
