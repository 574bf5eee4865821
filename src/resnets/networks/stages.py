"""The stages of a network: their maps by index, for heads on top of it, and their rows in Table 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from torch import Tensor, nn

from resnets.errors import UsageError, as_declared


class Staged(nn.Module):
    """A network that computes the maps of its stages one after the other, by `maps`."""

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of each stage, computed when they are requested; the last ones are those of `features`."""
        raise NotImplementedError

    @overload
    def features(self, x: Tensor) -> Tensor: ...

    @overload
    def features(self, x: Tensor, out_indices: Sequence[int]) -> tuple[Tensor, ...]: ...

    def features(self, x: Tensor, out_indices: Sequence[int] | None = None) -> Tensor | tuple[Tensor, ...]:
        """Return the last stage's maps; with `out_indices`, the maps of these stages in that order.

        Index i is the stage that `maps` yields as number i, from 0: there is what it is. Stages after the last one
        requested do not run.

        Shape: (N, in_channels, H, W) -> (N, C, H / s, W / s), as in `maps`
        Raises: UsageError, if there is no index, or no stage of an index.
        """
        if out_indices is not None:
            return select(self.maps(x), out_indices)
        for stage in self.maps(x):
            last = stage
        return last


def select(maps: Iterator[Tensor], out_indices: Sequence[int]) -> tuple[Tensor, ...]:
    """Return the maps of `out_indices`, in that order, of those that an iterator computes one after the other.

    Maps after the last one requested are not computed.

    Raises: UsageError, if there is no index, or no maps of an index.
    """
    wanted: tuple[int, ...] = as_declared("out_indices", out_indices, "Iterable[int]")
    found: dict[int, Tensor] = {}
    for number, x in enumerate(maps):
        if number in wanted:
            found[number] = x
        if found and found.keys() == set(wanted):
            return tuple(found[index] for index in wanted)
    raise UsageError(f"out_indices is {wanted}; it must be one or more numbers of 0 to {number}")


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
