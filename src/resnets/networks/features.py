"""A network's intermediate maps by index, for detectors, segmentation and other heads on top of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from torch import Tensor

from resnets.errors import UsageError


def select(maps: Iterator[Tensor], out_indices: Sequence[int], count: int) -> tuple[Tensor, ...]:
    """Return the maps of `out_indices`, in that order, of the `count` that an iterator computes one after the other.

    Maps after the last one requested are not computed.

    Raises: UsageError, if there is no index, or one outside 0 ... count - 1.
    """
    if not out_indices or not all(0 <= index < count for index in out_indices):
        raise UsageError(f"out_indices is {tuple(out_indices)}; it must be one or more numbers of 0 to {count - 1}")
    found = {index: x for index, x in enumerate(islice(maps, max(out_indices) + 1)) if index in out_indices}
    return tuple(found[index] for index in out_indices)
