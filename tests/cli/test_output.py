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
from PIL import Image

from resnets.cli import run
from resnets.cli.display import print_table
from resnets.cli.output import note, standard_streams

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


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], closed: str
) -> None:
    """As by `>&-` and `2>&-`: what is asked whether it is a terminal is none, and no note takes the place of JSON."""
    picture = tmp_path / "0.png"
    Image.new("RGB", (32, 32)).save(picture)
    monkeypatch.setattr(sys, closed, None)
    assert run(["explain", "resnet20-cifar10", str(picture), "--out", str(tmp_path / "seen")]) == 0
    assert any((tmp_path / "seen").iterdir()) and getattr(sys, closed) is None
    with standard_streams():
        note("what nobody needs")
    assert ("nobody" in capsys.readouterr().err) == (closed == "stdout")


def test_a_number_is_never_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a narrow terminal words are folded, and a table of numbers is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "40")
    numbers = [str(12345 + number) for number in range(10)]
    print_table(("true class", *map(str, range(10))), [("a class with a long name", *numbers)])
    shown = capsys.readouterr().out
    assert all(f" {number} " in shown for number in numbers) and "a class with" in shown
