"""Observers are called as a run proceeds and cannot harm it; TensorBoard is one of them, and optional."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from observing import Crash, CrashAt, Recorder
from small_runs import checkpoint_name, differences, job, lines, names_in, run

from resnets.records.runs import LogLine


def test_observers_are_closed(reference: Path, tmp_path: Path) -> None:
    """Every observer is closed, whichever of them fails and how; the run can go on afterwards."""

    class FailsToClose(Recorder):
        def closed(self) -> None:
            super().closed()
            raise Crash

    first, failing, last = Recorder(), FailsToClose(), CrashAt(3)
    with pytest.raises(Crash):
        run(job(), tmp_path, first, failing, last)
    assert (first.closings, failing.closings, last.closings) == (1, 1, 1)
    run(job(process_seed=1), tmp_path)
    assert differences(reference, tmp_path) == []


def test_tensorboard(tmp_path: Path) -> None:
    """Every logged number is an event; those of a session that was lost are hidden."""
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
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.warns(UserWarning, match="the package tensorboard is missing") as said:
        run(job(), tmp_path)
    assert len(said) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_that_cannot_write(tmp_path: Path) -> None:
    """Where the events cannot be written, a run says so and needs them no further."""
    (tmp_path / "tensorboard").write_text("a file, not a folder")
    with pytest.warns(UserWarning, match="TensorBoard"):
        run(job(), tmp_path)


def test_an_observer_that_loses_its_output(tmp_path: Path) -> None:
    """The run goes on without it, notes that in the next line of its log, and closes it at the end."""
    losing, other = CrashAt(5, BrokenPipeError), Recorder()
    with pytest.warns(UserWarning, match="CrashAt"):
        run(job(), tmp_path, losing, other)
    assert [line.iteration for line in losing.lines] == [3, 5]
    assert losing.closings == 1
    assert other.lines == lines(tmp_path)
    assert [line.iteration for line in other.lines if line.note is not None] == [6]


def test_a_line_is_shown_after_its_iteration_is_saved(tmp_path: Path) -> None:
    """What fails while it is shown loses nothing."""
    with pytest.raises(Crash):
        run(job(), tmp_path, CrashAt(6))
    assert names_in(tmp_path / "checkpoints") == [checkpoint_name(5), checkpoint_name(6)]


def test_a_folder_of_events_that_vanishes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Costs the events and nothing else: no thread prints a traceback."""

    class Removes(Recorder):
        def logged(self, line: LogLine) -> None:
            shutil.rmtree(tmp_path / "tensorboard", ignore_errors=True)

    run(job(), tmp_path, Removes())
    assert (tmp_path / "result.json").exists()
    assert capfd.readouterr() == ("", "")
