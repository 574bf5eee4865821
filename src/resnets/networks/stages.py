"""The stages of a network: their maps by index, for heads on top of it, and their rows in Table 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor, nn

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


@dataclass
class Row:
    """A row of Table 1: its name, the modules that it counts, and its layers in the paper's notation."""

    name: str
    modules: list[str]
    layers: str


def conv_in_words(conv: nn.Module) -> str:
    """Return a convolution in the paper's notation: `3x3, 64`."""
    assert isinstance(conv, nn.Conv2d)
    height, width = conv.kernel_size
    return f"{height}x{width}, {conv.out_channels}"
