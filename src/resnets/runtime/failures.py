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
LOOKUP_SECONDS = 60.0  # torch also looks up the name of an address; a server that does not answer takes 5 s or more
START_SECONDS = 60.0  # for process 0 to open its store


def _key(what: str) -> str:
    return f"resnets/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{what}"


def _rank() -> str:
    return os.environ.get("RANK", "0")


def _connection() -> TCPStore:
    """Return this process's own connection to the store, made at the first call that finds the store.

    Raises: OSError, RuntimeError, if nobody is there yet, or any more.
    """
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
    if address is None or not port.isdecimal():
        raise ConnectionError("these processes have no store")
    return _connect(address, int(port))


@cache  # but for what it raises
def _connect(address: str, port: int) -> TCPStore:
    socket.create_connection((address, port), CONNECT_SECONDS).close()  # torch would try on, with C++ frames
    timeout = timedelta(seconds=LOOKUP_SECONDS)
    store = TCPStore(address, port, is_master=False, timeout=timeout, wait_for_workers=False)
    store.set_timeout(timedelta(seconds=CONNECT_SECONDS))
    return store


@cache
def is_first_to_fail() -> bool:
    """Claim to be the process that failed first, and return whether it was; True without an answer."""
    try:
        store = _connection()
        store.set(_key(f"ended/{_rank()}"), "")
        return store.compare_set(_key("failed"), "", _rank()) == _rank().encode()
    except (OSError, RuntimeError):
        return True


def lost_process(size: int, reason: str) -> ProcessLost | FailedElsewhere:
    """Return the error of a process whose communication with the others failed: which of them was lost.

    Where the store was lost with process 0, each of the others finds out by itself, and only the second one says so.
    """
    ranks = range(size)
    try:
        store = _connection()
        before = [store.add(_key(f"alive/{rank}"), 0) for rank in ranks]
        time.sleep(3 * POLL_SECONDS)
        silent = [rank for rank in ranks if store.add(_key(f"alive/{rank}"), 0) == before[rank]]
        lost = [rank for rank in silent if str(rank) != _rank() and not store.check([_key(f"ended/{rank}")])]
    except (OSError, RuntimeError):
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            return ProcessLost(f"the launcher of these {size} processes was lost")
        return ProcessLost(_ended([0], size)) if _rank() == "1" else FailedElsewhere("process 0 was lost")
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
    if (store := _found(done)) is None:
        return
    while not done.wait(POLL_SECONDS):
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


def _found(done: threading.Event) -> TCPStore | None:
    """Return the connection to the store, for which process 0 has some time, or None."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return _connection()
        except (OSError, RuntimeError):
            if time.monotonic() > deadline or done.wait(POLL_SECONDS):
                return None


def _say(error: ProcessLost | FailedElsewhere) -> None:
    if isinstance(error, ProcessLost):
        with suppress(OSError):
            print(f"resnets: error: {error}", file=sys.stderr, flush=True)
