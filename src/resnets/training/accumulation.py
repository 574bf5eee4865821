"""A mini-batch taken in parts, so that it fits in memory: the same gradient, and the same batch-norm statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.errors import UsageError


def require_parts(network: nn.Module, batch_size: int, parts: int) -> None:
    """Check that a mini-batch in so many parts trains as it does whole.

    Raises: UsageError, if the parts are not equal, or would cut a group of images that share batch-norm statistics.
    """
    if parts < 1 or batch_size % parts:
        raise UsageError(f"accumulate is {parts}; it must be a divisor of the batch size, which is {batch_size}")
    if parts == 1:
        return
    part = batch_size // parts
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            group = min(getattr(module, "group", None) or batch_size, batch_size)
            if part % group:
                raise UsageError(
                    f"accumulate is {parts}: parts of {part} images would cut the {group} that share batch-norm "
                    f"statistics; of {batch_size} images there can be {batch_size // group} parts at most"
                )


class Parts:
    """Lets the running statistics of a network move once for all parts of a mini-batch, as they do for the whole."""

    def __init__(self, network: nn.Module, parts: int) -> None:
        self.norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self.parts = parts

    @contextmanager
    def part(self, number: int) -> Iterator[None]:
        """Take a part, counted from 0.

        The last part moves them by m / parts, with m the momentum, and each earlier one by as much more as later ones
        take away from it again: together by m towards the mean of all.
        """
        momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            if norm.momentum is not None:
                share = norm.momentum / self.parts
                norm.momentum = share / (1 - (self.parts - 1 - number) * share)
        try:
            yield
        finally:
            for norm, momentum in zip(self.norms, momenta, strict=True):
                norm.momentum = momentum
                if number and norm.num_batches_tracked is not None:
                    norm.num_batches_tracked -= 1  # the whole is one batch
