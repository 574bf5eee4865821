"""Test protocols by name, and the choices that they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnets.errors import UsageError, nearest
from resnets.specs import CROP_SCALES, SCALES, InputSpec, TestConfig, TestProtocol

_VIEWS = "resnets.evaluation.multi_view"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A test protocol: which views of an image are run, of whose class probabilities the mean is taken.

    `images` are photos, or those of the network's size ("sized"). `views` names the function that cuts them out of a
    photo; without one the image itself is run. `flips` says when mirror images are run as well: never unless they are
    requested ("optional"), unless they are declined ("default") or in any case ("always"). `scales` are shorter sides
    of photos, for a network that takes 224 x 224; a fully convolutional network takes the whole of them ("dense"), and
    there they are a choice.
    """

    name: TestProtocol
    summary: str
    images: Literal["photos", "sized"] = "photos"
    views: str | None = None
    flips: Literal["optional", "default", "always"] = "optional"
    scales: tuple[int, ...] = ()
    dense: bool = False


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="single-view", summary="the image as it is (section 4.2)", images="sized"),
        Protocol(name="center-crop", summary="one crop, of the centre", views=f"{_VIEWS}:centre_view"),
        Protocol(
            name="ten-crop",
            summary="five crops and their mirror images (Tables 2 and 3)",
            views=f"{_VIEWS}:five_views",
            flips="always",
        ),
        Protocol(
            name="144-crop",
            summary="six views of three squares at four scales, and their mirror images (GoogLeNet in Table 4)",
            views=f"{_VIEWS}:square_views",
            flips="always",
            scales=CROP_SCALES,
        ),
        Protocol(
            name="dense-multi-scale",
            summary="the whole image at several scales (Tables 4 and 5)",
            views=f"{_VIEWS}:whole_views",
            flips="default",
            scales=SCALES,
            dense=True,
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of a name, of which the first letters are enough: `dense` is `dense-multi-scale`.

    Raises: UsageError, if there is none.
    """
    found = [protocol for known, protocol in PROTOCOLS.items() if name and known.startswith(name)]
    if len(found) != 1:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"unknown protocol {name!r}{nearest(name, PROTOCOLS)}; it must be one of {known}")
    return found[0]


def how_tested(
    photos: bool,
    input_spec: InputSpec | None,
    *,
    protocol: str | None = None,
    scales: Sequence[int] | None = None,
    flips: bool | None = None,
) -> TestConfig:
    """Return how images, which are photos or not, are tested for a network; None leaves a choice to the paper.

    Photos are tested by the centre crop, all else by the single view. Scales are the protocol's in proportion to the
    network's input, of dense testing the paper's: 224, 256, 384, 480 and 640 for one of 224 x 224.

    Raises: UsageError, if the protocol is not for such images, or has no such choice.
    """
    found = find_protocol(("center-crop" if photos else "single-view") if protocol is None else protocol)
    if photos != (found.images == "photos"):
        fitting = ", ".join(each.name for each in PROTOCOLS.values() if photos == (each.images == "photos"))
        images = "image files of any size" if photos else "images of the network's size"
        raise UsageError(f"{found.name} is not for {images}, which are tested by {fitting}")
    if found.flips == "always" and flips is False:
        raise UsageError(f"{found.name} has horizontal flips by its definition; omit --no-flips")
    if flips is None:
        flips = found.flips != "optional"
    if scales is not None and not found.dense:
        raise UsageError(f"scales are a choice of dense-multi-scale, and not of {found.name}")
    if not found.scales:
        return TestConfig(protocol=found.name, flips=flips)
    assert input_spec is not None
    chosen = tuple(round(scale * input_spec.size / 224) for scale in found.scales) if scales is None else tuple(scales)
    if not chosen or len({*chosen}) < len(chosen):
        raise UsageError(f"scales are {', '.join(map(str, chosen)) or 'none'}; they must be one or more, each once")
    if min(chosen) < input_spec.size:
        raise UsageError(f"scale {min(chosen)} is less than the {input_spec.size} pixels that the network takes")
    return TestConfig(protocol=found.name, flips=flips, scales=chosen)


def label(how: TestConfig, usual: TestConfig) -> str:
    """Return the protocol's name, and in what it is not the usual one: `dense-multi-scale at 256 without flips`."""
    scales = f" at {', '.join(map(str, how.scales))}" if how.scales != usual.scales else ""
    flips = "" if how.flips == usual.flips else " with flips" if how.flips else " without flips"
    return how.protocol + scales + flips
