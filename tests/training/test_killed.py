"""Runs that are killed (SIGKILL) or stopped (SIGTERM, SIGINT) from outside lose nothing but seconds."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import victims
from small_runs import RECIPE, Tiny, checkpoint_name, differences, names_in
from torch.utils.data import TensorDataset, get_worker_info

import resnets
from resnets.errors import DataError, Interrupted, RunError
from resnets.runtime.locks import Held, Lock
from resnets.runtime.signals import StopRequest
from resnets.training.run_folder import RunFolder

Start = Callable[..., BaseProcess]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and looked into by /proc")


def wait_until(condition: Callable[[], bool], process: BaseProcess, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.is_alive(), f"the process ended with {process.exitcode}"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.002)


def wait_for(iterations: int, path: Path, process: BaseProcess) -> None:
    metrics = path / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= iterations, process)


def test_random_moments(whole: Path, tmp_path: Path, start: Start) -> None:
    """Killed at five random moments, and resumed each time, a run ends bit-identical to one that was left alone."""
    draw = random.Random(0)  # what the machine does meanwhile makes the moments random all the same
    for session in range(1, 6):
        process = start(victims.train_as_a_command, tmp_path)
        goal = 7 * session - draw.randrange(6)
        wait_for(goal, tmp_path, process)
        time.sleep(draw.random() * 0.02)  # an iteration with its checkpoint takes some 10 ms
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    victims.train(tmp_path)
    assert differences(whole, tmp_path) == []


@pytest.mark.parametrize("moment", victims.MOMENTS)
def test_while_a_checkpoint_is_written(whole: Path, tmp_path: Path, start: Start, moment: str) -> None:
    """Killed while a checkpoint is written, a run goes on from that one or the one before, and leaves no debris."""
    process = start(victims.train_until, tmp_path, moment)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    written = moment in ("just renamed", "older not yet removed")
    with RunFolder(tmp_path) as folder:
        record = folder.record()
        assert record is not None
        newest = folder.checkpoints.load(record.fingerprint())
        assert newest is not None and newest.skipped == ()
        assert newest.progress.iteration == (7 if written else 6)
    victims.train(tmp_path)
    assert differences(whole, tmp_path) == []
    assert names_in(tmp_path / "checkpoints") == [checkpoint_name(39), checkpoint_name(40)]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped(whole: Path, tmp_path: Path, start: Start, signum: int, code: int) -> None:
    """A signal from outside: the state is saved, the exit code is 128 + its number, and the run can go on."""
    process = start(victims.train_as_a_command, tmp_path)
    wait_for(3, tmp_path, process)
    assert process.pid is not None
    os.kill(process.pid, signum)
    process.join()
    assert process.exitcode == code
    assert "everything is saved" in (tmp_path / "error").read_text()
    with RunFolder(tmp_path) as folder:
        last = folder.logged()[-1].iteration
        assert folder.checkpoints.paths()[0].stem == f"iteration-{last:08d}"
    victims.train(tmp_path)
    assert differences(whole, tmp_path) == []


def test_second_signal(tmp_path: Path, start: Start) -> None:
    """While a first signal waits for a slow iteration to end, a second ends the process at once."""
    process = start(victims.train_slowly, tmp_path)
    wait_for(5, tmp_path, process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(timeout=0.3)
    assert process.is_alive()
    deadline = time.monotonic() + 10  # of the minute that the iteration takes
    while process.is_alive() and time.monotonic() < deadline:
        os.kill(process.pid, signal.SIGTERM)  # again, since two that come before a stalled process runs are one to it
        process.join(timeout=1)
    assert process.exitcode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("signum", "launched_by"),
    [(signal.SIGHUP, None), (signal.SIGTERM, "TORCHELASTIC_RUN_ID"), (signal.SIGTERM, "SUBMITIT_EXECUTOR")],
)
def test_one_signal_that_comes_twice(signum: int, launched_by: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a terminal that is closed, from torchrun and the cluster, or a job and Slurm: it ends nothing at once."""
    if launched_by is not None:
        monkeypatch.setenv(launched_by, "7")
    before = signal.signal(signum, signal.SIG_DFL)  # these tests may run below nohup
    try:
        with pytest.raises(Interrupted), StopRequest() as stop:
            signal.raise_signal(signum)
            signal.raise_signal(signum)
    finally:
        signal.signal(signum, before)
    assert stop.signum == signum


@pytest.fixture
def sigterm_by_default() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_by_default")
def test_a_signal_between_two_runs_stops_the_next_one() -> None:
    """Several runs share a request: one that comes while none of them trains must not be lost to the next."""
    with pytest.raises(Interrupted), StopRequest() as outer:
        signal.raise_signal(signal.SIGTERM)
        with StopRequest() as inner:
            pass
        assert outer.signum == inner.signum == signal.SIGTERM


@pytest.mark.usefixtures("sigterm_by_default")
def test_a_signal_reaches_every_request() -> None:
    """One that comes in the innermost of three blocks is a request to all, and only the outermost raises."""
    with pytest.raises(Interrupted) as caught, StopRequest():
        with StopRequest() as middle, StopRequest():
            signal.raise_signal(signal.SIGTERM)
        assert middle.signum == signal.SIGTERM
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("sigterm_by_default")
def test_an_error_says_more_than_the_signal_before_it() -> None:
    """A block that was asked to stop and fails ends by its own error."""
    with pytest.raises(ZeroDivisionError), StopRequest():
        signal.raise_signal(signal.SIGTERM)
        raise ZeroDivisionError


@pytest.mark.usefixtures("sigterm_by_default")
def test_one_of_several_processes_does_not_end_by_itself() -> None:
    """It has finished what all do together, and the others may not have heard the signal."""
    with StopRequest(alone=False) as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.signum == signal.SIGTERM


class Deadly(TensorDataset):
    """Samples of which the 50th that a worker process reads kills it, as the system does when memory runs out."""

    classes = tuple(map(str, range(10)))
    read = 0

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        if self.read == 50 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


# torch's signal handler raises wherever the process is: within a fork, pytest reports what Python then ignores
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_data_loading_process_that_is_killed(tmp_path: Path) -> None:
    """The likely cause and the last checkpoint are named, and the run can go on."""
    images, labels = torch.rand(100, 1, 8, 8), torch.arange(100) % 10
    options = {"out": tmp_path, "recipe": RECIPE, "batch_size": 8, "device": "cpu", "save_every": 1}

    def train(workers: int) -> None:
        data = Deadly(images, labels), TensorDataset(images, labels)
        resnets.train(Tiny(), data, workers=workers, resume=True, **options)

    with pytest.raises(DataError, match=r"memory.*iteration-0000000\d"):
        train(workers=1)
    train(workers=0)
    assert (tmp_path / "result.json").exists()


def test_a_disk_without_locks(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a lock is held by one process too, and by none when that was killed."""
    victims.without_locks(monkeypatch.setattr)
    process = start(victims.hold_lock, tmp_path / "lock")
    wait_until(lambda: (tmp_path / "held").exists(), process)
    with pytest.raises(Held), Lock(tmp_path / "lock", renew_seconds=0.5):
        pass
    process.kill()
    process.join()
    with Lock(tmp_path / "lock", renew_seconds=0.5):
        assert (tmp_path / "lock.held").exists()
    assert not (tmp_path / "lock.held").exists()


def test_folder_of_another_process(tmp_path: Path, start: Start) -> None:
    """A folder is held by one process; killing it frees the folder, even if processes that it started live on."""
    process = start(victims.hold, tmp_path)
    wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "", process)
    child = int((tmp_path / "child").read_text())
    try:
        with pytest.raises(RunError, match=re.escape(str(tmp_path))), RunFolder(tmp_path):
            pass
        process.kill()
        process.join()
        os.kill(child, 0)  # still there
        with RunFolder(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
