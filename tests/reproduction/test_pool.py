"""Runs in processes of their own, one on each device; here the devices are this machine's CPU, twice."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

import resnets
from resnets.errors import Interrupted
from resnets.records.base import read
from resnets.records.evaluations import ReproducedRun
from resnets.records.runs import LogLine, Result, RunRecord
from resnets.reproduction import run_list
from resnets.reproduction.planned_run import PlannedRun

pytestmark = [
    pytest.mark.slow,  # each process imports torch
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
]

TWO = {"only": ["resnet20", "resnet32"], "scale": "smoke", "data": "digits", "workers": 0}


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "devices_of", lambda name: ("cpu", "cpu"))


class Told:
    """An observer of one run."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.iterations: list[int] = []
        self.closes = 0

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        self.began_at = iteration

    def logged(self, line: LogLine) -> None:
        self.iterations.append(line.iteration)
        if line.iteration == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def finished(self, result: Result) -> None:
        self.result = result

    def closed(self) -> None:
        self.closes += 1


def test_runs_side_by_side_are_told_of_here(tmp_path: Path) -> None:
    told: dict[str, Told] = {}

    def observe(run: PlannedRun) -> Told:
        return told.setdefault(run.name, Told())

    result = resnets.reproduce("table6", out=tmp_path, observe=observe, **TWO)
    assert set(result.made) == set(told) and len(told) == 2
    for run in result.plan.runs:
        observer = told[run.name]
        assert observer.iterations == [1, 2, 3, 4, 5]
        assert observer.closes == 1
        record = read(run.file, ReproducedRun)
        assert record is not None and record.result == observer.result


def test_a_signal_here_stops_them_all_and_they_go_on(tmp_path: Path) -> None:
    """The signal may come too late for a run of five iterations; then that one is done."""
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        resnets.reproduce("table6", out=tmp_path, observe=lambda _: Told(stop_after=1), **TWO)
    result = resnets.reproduce("table6", out=tmp_path, resume=True, **TWO)
    assert len(result.made) + len(result.done_before) == 2
    assert {row.verdict.status for row in result.tables[0].rows} == {"reduced"}


def test_a_run_whose_folder_is_in_use_is_named(tmp_path: Path) -> None:
    import filelock

    plan = resnets.plan_reproduction("table6", out=tmp_path, **{k: TWO[k] for k in ("only", "scale", "data")})
    plan.runs[0].folder.mkdir(parents=True)
    with (
        filelock.FileLock(plan.runs[0].folder / "lock"),
        pytest.raises(resnets.RunError, match="resnet20-cifar-digits-smoke-seed0: .*another process is training"),
    ):
        resnets.reproduce("table6", out=tmp_path, **TWO)
