"""Worker processes that fail or hang end the reading in one line."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data import loading as loading_of
from resnets.data.loading import loading
from resnets.errors import DataError


class Failing(Dataset[Any]):
    """Samples of 4 MB, of which the third cannot be given: for lack of memory, of address space,
    a connection is lost, it hangs, or its worker is killed.
    """

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Tensor:
        sample = torch.zeros(1_000_000)
        if index < 2:
            return sample
        match self.how:
            case "memory":
                raise MemoryError
            case "a connection":
                raise ConnectionResetError("of the bucket")
            case "address space":
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used, used))
            case "a kill":
                time.sleep(0.5)  # until the process that trains has all samples before, and waits
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                time.sleep(2)
        return sample


@pytest.mark.parametrize(
    ("how", "timeout", "message"),
    [
        ("memory", 60, "out of memory"),
        ("address space", 1, "(out of memory|lack address space)"),  # by what is asked for first
        ("a hanging disk", 1, "lack address space"),
    ],
)
def test_workers_that_give_no_sample_are_one_line(how: str, timeout: int, message: str) -> None:
    """Worker processes that stop giving samples are a DataError of one line, within seconds, and none is left."""
    before = set(multiprocessing.active_children())
    with pytest.raises(DataError, match=rf"^.*data-loading process.*{message}.*$"):
        list(loading(Failing(how), 1, batch_size=1, timeout=timeout))
    assert not set(multiprocessing.active_children()) - before


def test_a_worker_that_is_killed_is_missed_long_before_the_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing of it is on its way any more, so that no read of its samples fails."""
    monkeypatch.setattr(loading_of, "CHECK", 1.0)
    begin = time.monotonic()
    with pytest.raises(DataError, match="was killed"):
        list(loading(Failing("a kill"), 1, batch_size=1, timeout=60))
    assert time.monotonic() - begin < 60


def lost(*_: Any) -> Any:
    """Stand in for what fetches a tensor of a worker that is gone."""
    raise EOFError


def refused(*_: Any) -> Any:
    """Stand in for what connects to a worker that is gone."""
    raise ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize("gone", [lost, refused])
def test_a_worker_that_is_killed_while_it_passes_a_mini_batch_on(
    monkeypatch: pytest.MonkeyPatch, gone: Callable[..., Any]
) -> None:
    """Its announcement has arrived, and what it announced can no longer be fetched."""
    for name in ("rebuild_storage_fd", "rebuild_storage_filename"):
        monkeypatch.setattr(torch.multiprocessing.reductions, name, gone)
    with pytest.raises(DataError, match="was killed"):
        list(loading(Failing("memory"), 1, batch_size=1, timeout=60))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_samples_own_error_is_no_lost_worker(workers: int) -> None:
    """A dataset that reads from elsewhere may lose that connection; the error stays what it is."""
    with pytest.raises(ConnectionResetError, match="of the bucket"):
        list(loading(Failing("a connection"), workers, batch_size=1, timeout=60))


def test_an_abandoned_pass_leaves_no_worker() -> None:
    """Of a pass that is not read to its end, as of a training that is stopped, every worker ends with it."""
    before = set(multiprocessing.active_children())
    batches = loading(Failing("memory"), 2, batch_size=1)
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    batches.close()
    assert not set(multiprocessing.active_children()) - before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the processors of a process cannot be chosen here")
def test_more_workers_than_cores_are_no_warning() -> None:
    """The default of two workers is as good on one core, of which torch would warn."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert len(list(loading(torch.utils.data.TensorDataset(torch.arange(3)), 2, batch_size=1))) == 3
    finally:
        os.sched_setaffinity(0, cores)
