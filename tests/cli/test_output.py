"""Commands whose output is lost: its reader ends, or its disk is full."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest

from resnets.cli import run

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full"),
    pytest.mark.filterwarnings("default:the run goes on without"),
]

TRAIN = ["train", "resnet8", "--data", "digits", "--batch-size", "16", "--device", "cpu"]


def nobody_reads() -> TextIO:
    """Return a pipe whose reader has ended, as with `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w")


def full_disk() -> TextIO:
    return open("/dev/full", "w")


def log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("lost", [nobody_reads, full_disk])
def test_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: Callable[[], TextIO]) -> None:
    """To its end, without its display, and the log says since when."""
    with lost() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run([*TRAIN, "--iterations", "4", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "result.json").exists()
    assert ["Display" in line.get("note", "") for line in log(tmp_path)] == [True, False, False, False]


def test_ctrl_c_that_also_ends_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `2>&1 | tee log`: the state is saved, and the exit code is that of the signal."""
    reading, writing = os.pipe()

    def press() -> None:
        metrics = tmp_path / "metrics.jsonl"
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < 2:
            time.sleep(0.02)
        os.close(reading)
        signal.raise_signal(signal.SIGINT)

    with open(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        presses = threading.Thread(target=press)
        presses.start()
        code = run([*TRAIN, "--iterations", "100000", "--evaluate-every", "1", "--out", str(tmp_path)])
        presses.join()
    assert code == 128 + signal.SIGINT
    (newest,) = (tmp_path / "checkpoints").iterdir()
    assert newest.stem == f"iteration-{log(tmp_path)[-1]['iteration']:08d}"


@pytest.mark.parametrize(("lost", "said"), [(nobody_reads, ""), (full_disk, "standard output")])
def test_what_is_only_printed_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lost: Callable[[], TextIO], said: str
) -> None:
    """A list that nobody gets is a failure; silent where the reader has had enough."""
    with lost() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(["list"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert bool(error) == bool(said)
