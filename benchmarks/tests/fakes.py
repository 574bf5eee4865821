"""Candidates for the tests: one that counts, and some that fail; run in their own processes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks.process_pool import process_pool
from benchmarks.worker import Candidate, Loop, Tick


def steady() -> Loop:
    """Do a step of 3 images in a hundredth of a second."""

    def loop(tick: Tick) -> None:
        while True:
            time.sleep(0.01)
            tick(3)

    return loop


def unprepared() -> Loop:
    raise ModuleNotFoundError("No module named 'nosuch'", name="nosuch")


def breaking() -> Loop:
    """Fail in the third step, with a message of several lines."""

    def loop(tick: Tick) -> None:
        tick(1)
        tick(1)
        raise RuntimeError("\nno compiler\nand much more")

    return loop


def falling_back() -> Loop:
    """Go on more slowly than it could, with a warning, as where a GPU's step cannot be recorded."""
    from resnets.networks.cuda_graph import FallbackWarning

    def loop(tick: Tick) -> None:
        tick(1)
        warnings.warn("no CUDA graph, and so slower", FallbackWarning, stacklevel=1)
        tick(1)

    return loop


def dying() -> Loop:
    """End the process without a word to the parent, as the system does where memory ends."""

    def loop(tick: Tick) -> None:
        tick(1)
        os.kill(os.getpid(), signal.SIGKILL)

    return loop


if __name__ == "__main__":  # start a candidate, print its process id and die
    with process_pool([Candidate("steady", "ours", steady)], Path(tempfile.gettempdir())) as workers:
        workers[0].get_ready()
        workers[0].pipe.send(60.0)
        print(workers[0].process.pid, flush=True)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
