"""The first of several processes that fails reports why, and the others end within seconds, wherever they wait.

What they share is the key-value store that torch.distributed meets at (torchrun's own, where that starts them).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

from torch.distributed import TCPStore  # type: ignore[attr-defined]

POLL_SECONDS = 0.5
GRACE_SECONDS = 2.0  # for a process to end by itself when it hears of another's failure
CONNECT_SECONDS = 5.0


def _key() -> str:
    return f"resnets/failed/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def _rank() -> str:
    return os.environ.get("RANK", "0")


def _connect(seconds: float) -> TCPStore | None:
    """Return a connection of its own to the store, which may be waited on in a thread, or None."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
    if address is None or not port.isdecimal():
        return None
    try:
        return TCPStore(address, int(port), is_master=False, timeout=timedelta(seconds=seconds), wait_for_workers=False)
    except RuntimeError:  # nobody is there yet, or any more
        return None


@cache
def is_first_to_fail() -> bool:
    """Claim to be the process that failed first, and return whether it was; True without an answer."""
    store = _connect(CONNECT_SECONDS)
    try:
        return store is None or store.compare_set(_key(), "", _rank()) == _rank().encode()
    except RuntimeError:
        return True


@contextmanager
def ending_together() -> Iterator[None]:
    """End this process, within the block, seconds after another one failed, if it has not ended by then.

    It may wait for that one where Python hears no signal: in a kernel of NCCL's, or in reading a file.
    """
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(done,), name="resnets-failures", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()


def _watch(done: threading.Event) -> None:
    store = _connect(60.0)
    while store is not None and not done.wait(POLL_SECONDS):
        try:
            failed = store.check([_key()]) and store.get(_key()) != _rank().encode()
        except RuntimeError:  # the store has gone, with the process that keeps it or after everything is done
            return
        if failed and not done.wait(GRACE_SECONDS):
            os._exit(1)
