"""Findings about layer responses: what the paper reads off Figure 7, and whether a few images dominate them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from resnets.records.evaluations import LayerResponses, Response, mean_of
from resnets.report.runs import depth_of
from resnets.report.wording import labelled

OUTLIERS = 2  # a mean std of more than twice the median image's is that of a few images


def outliers(network: str, layers: Sequence[Response]) -> str | None:
    """Return a warning where a few images dominate a network's responses, None where they do not or is not known."""
    mean = mean_of(layers)
    if mean.median is None or mean.std <= OUTLIERS * mean.median:
        return None
    batch = "" if mean.batch_std is None else f", {mean.batch_std:.2f} by batch statistics"
    return (
        f"A few images dominate the responses of {network}: on average over the layers {mean.std:.2f} over all images "
        f"at once, {mean.median:.2f} of the median image{batch}."
    )


def findings(found: Sequence[LayerResponses]) -> tuple[str, ...]:
    """Return which networks a few images dominate, and what the paper reads off Figure 7.

    That is plain compared with residual, and depth with depth, by `std`. Of two networks of one name, as of two seeds,
    the first counts. () where there is nothing to compare.
    """
    named = {one.network: one for one in reversed(found)}
    warnings = (outliers(label, one.layers) for label, one in labelled(found))
    sentences = [warning for warning in warnings if warning]
    for name, residual in sorted(named.items(), key=lambda pair: depth_of(pair[0]) or 0):
        plain = named.get(f"plain{name.removeprefix('resnet')}")
        if name.startswith("resnet") and plain is not None:
            less = "less than" if residual.mean.std < plain.mean.std else "no less than"
            sentences.append(
                f"{name} responds {less} its plain counterpart: {residual.mean.std:.2f} against {plain.mean.std:.2f} "
                f"on average over the layers (in the paper residual networks respond less)."
            )
    residual_ones = [one for name, one in named.items() if name == f"resnet{depth_of(name)}"]
    if len(residual_ones) > 1:
        deeper = sorted(residual_ones, key=lambda one: depth_of(one.network) or 0)
        means = [one.mean.std for one in deeper]
        falls = all(later < earlier for earlier, later in itertools.pairwise(means))
        first, last = depth_of(deeper[0].network), depth_of(deeper[-1].network)
        sentences.append(
            f"From {first} to {last} layers the residual networks' mean response goes "
            f"{' -> '.join(f'{mean:.2f}' for mean in means)}: the deeper {'responds' if falls else 'does not respond'} "
            f"less (in the paper it does)."
        )
    return tuple(sentences)
