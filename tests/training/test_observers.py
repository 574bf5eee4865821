"""Observers are told of a run and cannot harm it; TensorBoard is one of them, and optional."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from small_runs import Crash, CrashAt, Recorder, differences, job, lines, run


def test_observers_are_closed(tmp_path: Path) -> None:
    """Every observer is closed, whichever of them fails and how; the run can go on afterwards."""

    class FailsToClose(Recorder):
        def closed(self) -> None:
            super().closed()
            raise Crash

    first, failing, last = Recorder(), FailsToClose(), CrashAt(3)
    with pytest.raises(Crash):
        run(job(), tmp_path / "a", first, failing, last)
    assert (first.closings, failing.closings, last.closings) == (1, 1, 1)
    run(job(process_seed=1), tmp_path / "a")
    run(job(), tmp_path / "b")
    assert differences(tmp_path / "a", tmp_path / "b") == []


def test_tensorboard(tmp_path: Path) -> None:
    """Every logged number is an event; those of a stretch that was lost are hidden."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(Crash):
        run(job(crash_after=7, save_every=4), tmp_path)
    time.sleep(1)  # TensorBoard orders its files by the second that their names begin with
    run(job(process_seed=1), tmp_path)
    events = accumulators.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [3, 5, 6, 9, 10, 12]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([line.loss for line in lines(tmp_path)])
    assert [event.step for event in events.Scalars("test_error")] == [5, 10, 12]


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, a run says so once and needs it no further."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.warns(UserWarning, match="the package tensorboard is missing") as said:
        run(job(), tmp_path)
    assert len(said) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_that_cannot_write(tmp_path: Path) -> None:
    """Where the events cannot be written, a run says so and needs them no further."""
    (tmp_path / "tensorboard").write_text("a file, not a folder")
    with pytest.warns(UserWarning, match="no further events are written"):
        run(job(), tmp_path)
