"""The claim to have failed first is answered by a store that is slow to reach, and without reaching it again."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from resnets.errors import ProcessLost
from resnets.runtime import failures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="how a full queue of connections delays others")


@pytest.fixture
def store() -> TCPStore:
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], None]]:
    """Make this process a rank whose store is at a port, and one that has no connection yet."""

    def become(rank: int, port: int) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        failures.is_first_to_fail.cache_clear()

    yield become
    failures.is_first_to_fail.cache_clear()
    failures._connect.cache_clear()


def slow_way_to(store: TCPStore) -> int:
    """Return a port at which the second to connect to a store waits a second, as where a name server is silent."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)  # one connection fits, until it is accepted

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)

    def serve() -> None:
        time.sleep(0.7)  # by then the second has been turned away, which it tries again after a second
        while True:
            here, _ = listener.accept()
            there = socket.create_connection(("127.0.0.1", store.port))
            for way in ((here, there), (there, here)):
                threading.Thread(target=pass_on, args=way, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_a_store_that_is_slow_to_reach_answers(
    store: TCPStore, as_rank: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first to claim was the first, though connecting takes longer than one waits for a store that is gone."""
    monkeypatch.setattr(failures, "CONNECT_SECONDS", 0.4)
    as_rank(1, slow_way_to(store))
    assert failures.is_first_to_fail()
    as_rank(0, slow_way_to(store))
    assert not failures.is_first_to_fail()


def test_a_connection_is_made_once(store: TCPStore, as_rank: Callable[[int, int], None]) -> None:
    """A process that watches for failures of others claims its own over the same connection."""
    as_rank(1, store.port)
    before = store.num_keys()
    with failures.ending_together():
        deadline = time.monotonic() + 30
        while store.num_keys() == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert failures.is_first_to_fail()
    assert failures._connect.cache_info().misses == 1


def test_another_store_is_connected_to(store: TCPStore, as_rank: Callable[[int, int], None]) -> None:
    """A process that joins others anew, at another port, asks the store that is there."""
    as_rank(0, store.port)
    assert failures.is_first_to_fail()
    second = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    second.set("resnets/0/failed", "1")
    as_rank(0, second.port)
    assert not failures.is_first_to_fail()


def test_without_a_store(as_rank: Callable[[int, int], None]) -> None:
    """Each is the first to fail, as far as it knows, and process 1 says that process 0 was lost."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    as_rank(1, port)
    assert failures.is_first_to_fail()
    lost = failures.lost_process(2, "gloo")
    assert isinstance(lost, ProcessLost) and str(lost).startswith("rank 0 of 2 was lost")
