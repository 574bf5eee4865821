"""The first of several processes that fails reports why, and the others end within seconds, wherever they wait.

What they share is the key-value store that torch.distributed meets at: torchrun's own, where that starts them, else
that of process 0. In it each process counts on for as long as it lives, so that one that was killed can be named.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from resnets.errors import FailedElsewhere, ProcessLost

POLL_SECONDS = 0.5
GRACE_SECONDS = 2.0  # for a process to end by itself when it hears of another's failure
STORE_GRACE_SECONDS = 5.0  # likewise, when the store is gone, which is no failure where all was done
CONNECT_SECONDS = 5.0
START_SECONDS = 60.0  # for process 0 to open its store


def _key(what: str) -> str:
    return f"resnets/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{what}"


def _rank() -> str:
    return os.environ.get("RANK", "0")


def _connect() -> TCPStore | None:
    """Return a connection of its own to the store, which may be waited on in a thread, or None."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
    if address is None or not port.isdecimal():
        return None
    try:
        socket.create_connection((address, int(port)), CONNECT_SECONDS).close()  # torch would try on, with C++ frames
        timeout = timedelta(seconds=CONNECT_SECONDS)
        return TCPStore(address, int(port), is_master=False, timeout=timeout, wait_for_workers=False)
    except (OSError, RuntimeError):  # nobody is there yet, or any more
        return None


@cache
def is_first_to_fail() -> bool:
    """Claim to be the process that failed first, and return whether it was; True without an answer."""
    store = _connect()
    try:
        if store is None:
            return True
        store.set(_key(f"ended/{_rank()}"), "")
        return store.compare_set(_key("failed"), "", _rank()) == _rank().encode()
    except RuntimeError:
        return True


def lost_process(size: int, reason: str) -> ProcessLost | FailedElsewhere:
    """Return the error of a process whose communication with the others failed: which of them was lost.

    Where the store was lost with process 0, each of the others finds out by itself, and only the second one says so.
    """
    store = _connect()
    if store is None:
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            return ProcessLost(f"the launcher of these {size} processes was lost")
        return ProcessLost(_ended([0], size)) if _rank() == "1" else FailedElsewhere("process 0 was lost")
    ranks = range(size)
    try:
        before = [store.add(_key(f"alive/{rank}"), 0) for rank in ranks]
        time.sleep(3 * POLL_SECONDS)
        silent = [rank for rank in ranks if store.add(_key(f"alive/{rank}"), 0) == before[rank]]
        lost = [rank for rank in silent if str(rank) != _rank() and not store.check([_key(f"ended/{rank}")])]
    except RuntimeError:
        lost = []
    return ProcessLost(_ended(lost, size) if lost else f"another of {size} processes was lost ({reason})")


def _ended(ranks: list[int], size: int) -> str:
    which = (
        f"rank {ranks[0]} of {size} was" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))} of {size} were"
    )
    return f"{which} lost: ended without an error of its own, as when the system kills it for lack of memory"


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
    store, deadline = _connect(), time.monotonic() + START_SECONDS
    while store is None and time.monotonic() < deadline and not done.wait(POLL_SECONDS):
        store = _connect()
    while store is not None and not done.wait(POLL_SECONDS):
        try:
            store.add(_key(f"alive/{_rank()}"), 1)
            failed = store.check([_key("failed")]) and store.get(_key("failed")) != _rank().encode()
        except RuntimeError:  # the store has gone, with the process that keeps it or after everything is done
            if not done.wait(STORE_GRACE_SECONDS):
                _say(lost_process(int(os.environ.get("WORLD_SIZE", "0")), "the store has gone"))
                os._exit(1)
            return
        if failed and not done.wait(GRACE_SECONDS):
            os._exit(1)


def _say(error: ProcessLost | FailedElsewhere) -> None:
    if isinstance(error, ProcessLost):
        with suppress(OSError):
            print(f"resnets: error: {error}", file=sys.stderr, flush=True)
