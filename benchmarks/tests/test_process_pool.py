"""Candidates take turns, and none of them can harm the others or outlive the run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import process_pool
from benchmarks.process_pool import Record, interleave
from benchmarks.tests import fakes
from benchmarks.worker import Candidate, Round

ROOT = Path(__file__).parents[2]


class Scripted:
    """A worker that notes when it is asked, and fails from its `failing`th round on."""

    def __init__(self, name: str, diary: list[str], failing: int = 99) -> None:
        self.record = Record(Candidate(name, "ours", fakes.steady))
        self.diary, self.failing, self.asked = diary, failing, 0

    def get_ready(self) -> None:
        self.diary.append(f"{self.record.candidate.name} ready")

    def work(self, seconds: float) -> Round | None:
        self.diary.append(f"{self.record.candidate.name} {seconds:g}")
        self.asked += 1
        return None if self.asked >= self.failing else Round(self.asked, seconds, seconds, (seconds,))

    def finish(self) -> None:
        self.diary.append(f"{self.record.candidate.name} finish")


def test_candidates_work_in_turns_after_a_first_step_and_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A B A B ..., never A A; the first step (0 s) and the warm-up round are not among the rounds."""
    monkeypatch.setattr(process_pool, "PAUSE", 0.0)
    diary: list[str] = []
    a, b = Scripted("A", diary), Scripted("B", diary, failing=4)
    interleave([a, b], rounds=3, seconds=2, notify=lambda text: None)
    assert diary == [
        *("A ready", "B ready"),
        *("A 0", "B 0"),
        *("A 2", "B 2") * 4,
        *("A finish", "B finish"),
    ]
    assert [work.images for work in a.record.rounds] == [3, 4, 5]
    assert [work.images for work in b.record.rounds] == [3]  # what failed is no round


def test_a_candidate_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    """One cannot be prepared, one breaks, one falls back to a slower way, one is killed: each says why in a line."""
    prepares = (fakes.steady, fakes.unprepared, fakes.breaking, fakes.falling_back, fakes.dying)
    those = [Candidate(prepare.__name__, "ours", prepare) for prepare in prepares]
    with process_pool.process_pool(those, tmp_path, "fork") as workers:  # which need not import torch again
        interleave(workers, rounds=2, seconds=0.05, notify=lambda text: None)
    records = {worker.record.candidate.name: worker.record for worker in workers}
    assert records["unprepared"].failed == "nosuch is not installed"
    assert records["breaking"].failed == "RuntimeError: no compiler"
    assert records["falling_back"].failed == "FallbackWarning: no CUDA graph, and so slower"
    assert records["dying"].failed == "its process ended (signal SIGKILL)"
    steady = records["steady"]
    assert steady.failed is None
    assert len(steady.rounds) == 2
    for work in steady.rounds:
        assert work.images == 3 * len(work.steps) > 0
        assert 0.05 <= work.seconds < 5
        assert work.seconds == pytest.approx(sum(work.steps), abs=0.01)
    assert steady.peak_memory is not None and steady.peak_memory > 2**20
    assert steady.ready is not None and steady.ready.threads >= 1
    assert all(not worker.process.is_alive() for worker in workers)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="a POSIX system")
def test_no_process_outlives_a_parent_that_is_killed() -> None:
    """The parent dies by SIGKILL in the middle of a round of a minute; the candidate's process goes at once."""
    command = [sys.executable, "-m", "benchmarks.tests.fakes"]
    parent = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None and parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.communicate("now\n", timeout=30)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status")
        if (status.exists() and "State:\tZ" in status.read_text()) or not _alive(pid):
            return
        time.sleep(0.05)
    pytest.fail("it is still there")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
