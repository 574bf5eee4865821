"""Modes and hooks of modules for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import nn


@contextlib.contextmanager
def in_mode(network: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a network, and all of its parts, into a mode, and restore each part's own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]  # parts may be frozen in evaluation mode
    network.train(training)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Callable[[nn.Module, Any, Any], None]]]) -> Iterator[None]:
    """Call each hook after its module, with the module, its inputs and its output."""
    with contextlib.ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield
