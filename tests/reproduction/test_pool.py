"""Runs in processes of their own, one on each device; here the devices are this machine's CPU, twice."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from observing import Recorder

import resnets
from resnets.errors import Interrupted
from resnets.records.base import read
from resnets.records.evaluations import ReproducedRun
from resnets.reproduction import run_list
from resnets.reproduction.planned_run import PlannedRun

pytestmark = [
    pytest.mark.slow,  # each process imports torch
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
]


def terminate() -> None:
    """Send SIGTERM to this process."""
    os.kill(os.getpid(), signal.SIGTERM)


TWO = {"only": ["resnet20", "resnet32"], "scale": "smoke", "data": "digits", "workers": 0}


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "devices_of", lambda name: ("cpu", "cpu"))


def test_runs_side_by_side_are_observed_here(tmp_path: Path) -> None:
    """Both runs' iterations, results and ends reach their observers in this process."""
    observers: dict[str, Recorder] = {}

    def observe(run: PlannedRun) -> Recorder:
        return observers.setdefault(run.name, Recorder())

    result = resnets.reproduce("table6", out=tmp_path, observe=observe, **TWO)
    assert set(result.made) == set(observers) and len(observers) == 2
    for run in result.plan.runs:
        observer = observers[run.name]
        assert [line.iteration for line in observer.lines] == [1, 2, 3, 4, 5]
        assert observer.closings == 1
        record = read(run.file, ReproducedRun)
        assert record is not None and record.result == observer.result


def test_a_signal_here_stops_them_all_and_they_go_on(tmp_path: Path) -> None:
    """The signal may come too late for a run of five iterations; then that one is done."""
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        resnets.reproduce("table6", out=tmp_path, observe=lambda _: Recorder(after=1, do=terminate), **TWO)
    result = resnets.reproduce("table6", out=tmp_path, resume=True, **TWO)
    assert len(result.made) + len(result.done_before) == 2
    assert {row.verdict.status for row in result.tables[0].rows} == {"reduced"}


def test_a_run_whose_folder_is_in_use_is_named(tmp_path: Path) -> None:
    """A folder that another process trains in is a RunError with the run's name."""
    import filelock

    plan = resnets.plan_reproduction("table6", out=tmp_path, **{k: TWO[k] for k in ("only", "scale", "data")})
    plan.runs[0].folder.mkdir(parents=True)
    with (
        filelock.FileLock(plan.runs[0].folder / "lock"),
        pytest.raises(resnets.RunError, match="resnet20-cifar-cifar10_digits-smoke-seed0: "),
    ):
        resnets.reproduce("table6", out=tmp_path, **TWO)
