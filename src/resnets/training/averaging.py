"""The exponential moving average of a network's weights, which fast recipes test and keep in the weights' stead."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A copy of a network whose weights and batch-norm statistics follow it, a little at each iteration.

    The decay is at most (1 + t) / (10 + t) after t iterations, so that the initial weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        own, theirs = _tensors(self.network), _tensors(network)
        pairs = list(zip(own, theirs, strict=True))
        self.averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self.copied = [pair for pair in pairs if not pair[0].is_floating_point()]  # counters

    @torch.no_grad()
    def update(self, iterations: int) -> None:
        """Follow the network after so many iterations."""
        decay = min(self.decay, (1 + iterations) / (10 + iterations))
        own, theirs = ([pair[which] for pair in self.averaged] for which in (0, 1))
        get_ema_multi_avg_fn(decay)(own, theirs, iterations)
        if self.copied:
            torch._foreach_copy_([mine for mine, _ in self.copied], [other for _, other in self.copied])


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
