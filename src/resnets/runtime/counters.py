"""Counters that several processes share, in the store that they met at."""

from __future__ import annotations

import collections
import secrets

from torch.distributed import PrefixStore, Store, distributed_c10d  # type: ignore[attr-defined]

from resnets.runtime.processes import World


class SharedCounters:
    """Whole numbers, from 0 on, that each process adds to without waiting for the others; to be made by all at once."""

    def __init__(self, world: World) -> None:
        self.own: collections.Counter[str] = collections.Counter()
        self.store: Store | None = None
        if world.size > 1:
            token = world.broadcast_object(lambda: secrets.token_hex(8))
            self.store = PrefixStore(f"resnets/{token}", distributed_c10d._get_default_store())

    def add(self, name: str, amount: int) -> int:
        """Return a counter's value after adding to it."""
        if self.store is not None:
            value: int = self.store.add(name, amount)
            return value
        self.own[name] += amount
        return self.own[name]

    def value(self, name: str) -> int:
        """Return a counter's value."""
        return self.add(name, 0)
