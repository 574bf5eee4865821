"""A run that is killed and resumed ends bit-identical: the figures of docs/reliability.md."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import victims
from small_runs import differences

Start = Callable[..., BaseProcess]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked"),
]

KILLS = 60


def reached(path: Path) -> str:
    """Return how far a run had come when it was killed."""
    saved = [int(file.stem.partition("-")[2]) for file in path.glob("checkpoints/iteration-*")]
    return "at the start" if not saved else "in training" if max(saved) < victims.ITERATIONS else "at the end"


def resumed(path: Path, whole: Path) -> list[str]:
    """Resume a run to its end, and return what differs from one that was left alone."""
    victims.train(path)
    found = differences(whole, path)
    shutil.rmtree(path)
    return found


def test_killed_at_random_moments(whole: Path, tmp_path: Path, start: Start) -> None:
    """From its first file to its last, by SIGKILL from outside."""
    draw = random.Random(0)
    path, begun = tmp_path / "run", tmp_path / "begun"
    seconds, kills = 0.0, Counter[str]()
    while kills.total() < KILLS:
        process = start(victims.train_and_say, path, begun)
        while not begun.exists():
            time.sleep(0.001)
        began = time.monotonic()
        process.join(draw.uniform(0, seconds) if seconds else None)
        process.kill()
        process.join()
        begun.unlink()
        if process.exitcode == -signal.SIGKILL:
            kills[reached(path)] += 1
        else:  # the first, which is not killed, or one that was faster than those before
            seconds = min(seconds or 60.0, time.monotonic() - began)
        assert resumed(path, whole) == [], f"kill {kills.total()}"
    print(f"{kills.total()} kills at random moments of {seconds:.1f} s: {dict(kills)}")


def test_killed_at_durable_calls(whole: Path, tmp_path: Path, start: Start) -> None:
    """Just before and just after a file is synced, renamed or removed, or a folder made."""
    counted = tmp_path / "calls"
    start(victims.train_counting, tmp_path / "counted", counted).join()
    calls = counted.read_text().split()
    path, kills = tmp_path / "run", Counter[str]()
    for kill in range(KILLS):
        number = 1 + kill * (len(calls) - 1) // (KILLS - 1)  # the first, the last, and those evenly between
        process = start(victims.train_until_call, path, number, kill % 2 == 0)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert resumed(path, whole) == [], f"{'before' if kill % 2 == 0 else 'after'} call {number}"
        kills[calls[number - 1]] += 1
    print(f"{sum(kills.values())} kills at {len(calls)} durable calls: {dict(kills)}")
