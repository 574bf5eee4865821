"""A run that is interrupted anywhere and resumed ends exactly as one that was not, and this comparison can fail."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from observing import Crash, Recorder
from small_runs import Tiny, differences, job, lines, run
from torch import Tensor

from resnets.data.arrays import ArrayBatches
from resnets.errors import CheckpointError, Interrupted
from resnets.records.checkpoints import Progress
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState


def interrupt(path: Path, after: int, *, save_every: int = 1) -> None:
    with pytest.raises(Crash):
        run(job(crash_after=after, save_every=save_every), path)


def resume(path: Path, *, save_every: int = 1) -> None:
    # another process: other initial weights, and dropout begins with other random numbers
    run(job(save_every=save_every, process_seed=1), path)


@pytest.mark.parametrize("after", range(1, 12))
def test_any_iteration(reference: Path, tmp_path: Path, after: int) -> None:
    """A crash after any iteration, each of them saved: weights, momentum, sums and log are bit-identical."""
    interrupt(tmp_path, after)
    resume(tmp_path)
    assert differences(reference, tmp_path) == []


@pytest.mark.parametrize("after", [5, 6, 9, 11])
def test_steps_after_the_checkpoint_are_repeated(reference: Path, tmp_path: Path, after: int) -> None:
    """A crash some iterations after the newest checkpoint loses only time; the log is rewound to the checkpoint."""
    interrupt(tmp_path, after, save_every=5)
    resume(tmp_path, save_every=5)
    assert differences(reference, tmp_path) == []


def test_crash_after_crash(reference: Path, tmp_path: Path) -> None:
    """A run that dies after each of its iterations ends as one that never did."""
    for after in range(1, 12):
        interrupt(tmp_path, after)
    resume(tmp_path)
    assert differences(reference, tmp_path) == []


def test_before_the_first_checkpoint(reference: Path, tmp_path: Path) -> None:
    """A run that died before it saved anything starts again, its log too; those of earlier starts are kept."""
    for _ in range(2):
        interrupt(tmp_path, 4, save_every=100)
        assert [line.iteration for line in lines(tmp_path)] == [3]
    before, observer = (tmp_path / "metrics.jsonl").read_text(), Recorder()
    run(job(), tmp_path, observer)
    assert differences(reference, tmp_path) == []
    kept = (tmp_path / "metrics-earlier.jsonl").read_text()
    assert kept.endswith(before) and kept.count("\n") == 2
    assert any("metrics-earlier.jsonl" in note for note in observer.notes)


def test_checkpoints_on_a_disk_that_is_not_there(reference: Path, tmp_path: Path) -> None:
    """Behind a link to nowhere there may be checkpoints, so nothing is trained or lost; a result needs none."""
    path, disk = tmp_path / "run", tmp_path / "disk"
    interrupt(path, 7)
    (path / "checkpoints").rename(disk)
    (path / "checkpoints").symlink_to(disk)
    disk.rename(tmp_path / "elsewhere")
    before = (path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="disk"):
        resume(path)
    with pytest.raises(CheckpointError, match="disk"):
        RunFolder(path).started()
    assert (path / "metrics.jsonl").read_bytes() == before
    (tmp_path / "elsewhere").rename(disk)
    resume(path)
    assert differences(reference, path) == []
    disk.rename(tmp_path / "elsewhere")
    assert RunFolder(path).is_started()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal(reference: Path, tmp_path: Path, signum: int, code: int) -> None:
    """A signal, here while iteration 6 is shown, saves the next one, and has an exit code of its own."""
    before = signal.getsignal(signum)
    with pytest.raises(
        Interrupted, match=f"stopped by {signal.Signals(signum).name} after iteration 7; everything is saved"
    ) as e:
        run(job(save_every=100), tmp_path, Recorder(6, lambda: signal.raise_signal(signum)))
    assert e.value.exit_code == code
    assert signal.getsignal(signum) is before
    resume(tmp_path, save_every=100)
    assert differences(reference, tmp_path) == []


def test_signal_after_the_last_iteration(reference: Path, tmp_path: Path) -> None:
    """A signal during the last test stops what may follow, but not the run from finishing: little is left to do."""
    with pytest.raises(Interrupted, match="stopped by SIGTERM; what was running is finished"):
        run(job(), tmp_path, Recorder(12, lambda: signal.raise_signal(signal.SIGTERM)))
    assert differences(reference, tmp_path) == []


def test_clock_goes_on(tmp_path: Path) -> None:
    """The seconds of a resumed run include those before the interruption that its checkpoint knew of."""
    interrupt(tmp_path, 7)
    before = lines(tmp_path)[-1].seconds
    resume(tmp_path)
    seconds = [line.seconds for line in lines(tmp_path)]
    assert seconds == sorted(seconds) and seconds[3] > seconds[2] == before > 0


# ---------------------------------------------------------------- the comparison can fail

Tensors = dict[str, Tensor]


def _reset_statistics(state: TrainingState) -> None:
    assert isinstance(state.network, Tiny)
    state.network.bn.reset_running_stats()


def _shift_lr(state: TrainingState) -> None:
    lr = state.schedule.lr
    state.schedule.lr = lambda iteration: lr(iteration + 1)


def _zeroed(tensors: Tensors, prefix: str) -> Tensors:
    return {name: torch.zeros_like(t) if name.startswith(prefix) else t for name, t in tensors.items()}


def _with_schedule(progress: Progress, **changes: Any) -> Progress:
    return progress.with_changes(schedule=progress.schedule.with_changes(**changes))


# what is left out: when the run is interrupted, so that it matters; what is restored instead; what is done afterwards
Change = Callable[[Tensors, Progress], tuple[Tensors, Progress]]
MUTANTS: dict[str, tuple[int, Change, Callable[[TrainingState], None] | None]] = {
    "momentum": (4, lambda t, p: (_zeroed(t, "momentum."), p), None),
    "momentum of one layer": (4, lambda t, p: (_zeroed(t, "momentum.fc.bias"), p), None),
    "batch norm statistics": (4, lambda t, p: (t, p), _reset_statistics),
    "iteration, one too many": (4, lambda t, p: (t, p.with_changes(iteration=p.iteration + 1)), None),
    "iteration, one too few": (4, lambda t, p: (t, p.with_changes(iteration=p.iteration - 1)), None),
    "learning rate of the next iteration": (4, lambda t, p: (t, p), _shift_lr),
    "random state": (4, lambda t, p: (t | {"random.cpu": torch.random.get_rng_state()}, p), None),
    "sum of losses": (4, lambda t, p: (_zeroed(t, "meter.loss_sum"), p), None),
    "sum of errors": (4, lambda t, p: (_zeroed(t, "meter.wrong"), p), None),
    "number of images": (4, lambda t, p: (t, p.with_changes(images=2 * p.images)), None),
    "end of the warm-up": (4, lambda t, p: (t, _with_schedule(p, warming=True)), None),
    "when the warm-up ended": (4, lambda t, p: (t, _with_schedule(p, warmed_up_at=None)), None),
    "errors during the warm-up": (2, lambda t, p: (t, _with_schedule(p, errors=())), None),
}  # fmt: skip


@pytest.mark.parametrize("left_out", MUTANTS)
def test_broken_restore_is_caught(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """A restore that leaves one thing out does not pass the comparison; with it put back, it does."""
    after, change, afterwards = MUTANTS[left_out]
    restore = TrainingState.restore

    def broken(self: TrainingState, tensors: Tensors, progress: Progress) -> None:
        restore(self, *change(tensors, progress))
        if afterwards is not None:
            afterwards(self)

    interrupt(tmp_path, after)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "restore", broken)
        resume(tmp_path)
    assert differences(reference, tmp_path) != []


def test_order_from_the_start_is_caught(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run that sees the first epoch's images again does not pass the comparison."""
    batches = ArrayBatches.batches
    interrupt(tmp_path, 4)
    monkeypatch.setattr(ArrayBatches, "batches", lambda self, start, stop: batches(self, 0, stop - start))
    resume(tmp_path)
    assert differences(reference, tmp_path) != []
