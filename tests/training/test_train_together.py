"""Trainings that take turns in one process: each ends as it would alone, and none holds up the others."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import several
import small_runs
import torch
from observing import Crash, CrashAt, Recorder
from small_runs import differences, lines

from resnets.errors import Interrupted, RunError, TrainingError
from resnets.training.run_folder import RunFolder

Start = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all networks, each trained alone."""
    folder = tmp_path_factory.mktemp("alone")
    for name in several.NETWORKS:
        several.train(folder, [name])
    return folder


def test_each_ends_as_it_would_alone(alone: Path, tmp_path: Path) -> None:
    """Weights, momentum, random state, log and result are bit-identical, with dropout, other seeds and an average."""
    several.train(tmp_path, several.NETWORKS)
    for name in several.NETWORKS:
        assert differences(alone / name, tmp_path / name) == []
    record = RunFolder(tmp_path / "resnet8").record()
    assert record is not None
    assert record.provenance[-1].execution == f"eager, {len(several.NETWORKS)} trainings at once"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
def test_killed_and_resumed_in_other_company(alone: Path, tmp_path: Path, start: Start) -> None:
    """Killed at random moments, then resumed in pairs, alone and all together, each ends bit-identical."""
    draw = random.Random(0)
    names = list(several.NETWORKS)
    for companies in ([names], [names[:2], names[2:]], [names[:1], names[1:3], names[3:]]):
        for company in companies:
            before = {name: _logged(tmp_path / name) for name in company}
            process = start(several.train, tmp_path, company)
            while process.is_alive() and all(_logged(tmp_path / name) <= before[name] for name in company):
                time.sleep(0.002)
            time.sleep(draw.random() * 0.02)
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
    several.train(tmp_path, names)
    for name in names:
        assert differences(alone / name, tmp_path / name) == []


def test_a_signal_saves_all(alone: Path, tmp_path: Path) -> None:
    """After SIGTERM each has saved its newest iteration; resumed together they end as they would alone."""
    observer = Recorder(6, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted) as caught:
        several.train(tmp_path, several.NETWORKS, observers={"plain8": observer})
    assert caught.value.exit_code == 128 + signal.SIGTERM
    for name in several.NETWORKS:
        assert RunFolder(tmp_path / name).checkpoints.paths()[0].name in map(small_runs.checkpoint_name, (6, 7))
    several.train(tmp_path, several.NETWORKS)
    for name in several.NETWORKS:
        assert differences(alone / name, tmp_path / name) == []


def test_a_loss_that_is_not_finite_ends_one_alone(alone: Path, tmp_path: Path) -> None:
    """The one whose loss is not finite has its error as its outcome, with the iteration; the others end as alone."""
    outcomes = several.train(tmp_path, ["resnet8", "broken", "plain8"])
    assert isinstance(outcomes[1], TrainingError) and "iteration 4:" in str(outcomes[1])
    for name in ("resnet8", "plain8"):
        assert differences(alone / name, tmp_path / name) == []


def test_another_error_stops_all(tmp_path: Path) -> None:
    """A folder that is in use is no failure of a training: the others save and stop, and the error is raised."""
    with RunFolder(tmp_path / "plain8"), pytest.raises(RunError, match="plain8"):
        several.train(tmp_path, ["resnet8", "plain8", "tiny"])
    for name in ("resnet8", "tiny"):
        assert _logged(tmp_path / name) <= 2 and RunFolder(tmp_path / name).checkpoints.paths()


def test_a_crash_closes_all(tmp_path: Path) -> None:
    """An exception from outside the package closes the others: their folders are free again, their observers closed."""
    watching = Recorder()
    with pytest.raises(Crash):
        several.train(tmp_path, ["resnet8", "plain8"], observers={"resnet8": CrashAt(6), "plain8": watching})
    assert watching.closings == 1
    several.train(tmp_path, ["resnet8", "plain8"])


def test_the_process_keeps_its_random_numbers(tmp_path: Path) -> None:
    """Trainings that took turns leave torch's random state as it was."""
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    several.train(tmp_path, ["resnet8", "tiny"])
    assert torch.equal(torch.random.get_rng_state(), before)


def _logged(path: Path) -> int:
    return lines(path)[-1].iteration if lines(path) else 0
