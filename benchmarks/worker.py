"""The process of one candidate: it prepares, then works in rounds of the requested length."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection as pipes
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from resnets.records.benchmarks import Role
from resnets.specs import Precision

Tick = Callable[[int], None]
"""Called by a loop after each step, with the number of images of that step."""

Loop = Callable[[Tick], None]
"""Works for ever, one step after the other."""


@dataclass(frozen=True)
class Candidate:
    """One way of doing a row's work. `prepare` runs in a process of its own and must be picklable.

    With `each_step` a GPU is waited for after each step, so that the steps' times are latencies.
    """

    name: str
    role: Role
    prepare: Callable[[], Loop]
    device: str = "cpu"
    precision: Precision = "fp32"
    each_step: bool = False
    modules: tuple[str, ...] = ()  # imported first: they register networks and data


@dataclass(frozen=True)
class Ready:
    """What a prepared process says of itself."""

    threads: int
    allocator: str


@dataclass(frozen=True)
class Round:
    """What was done in one round. `core_seconds` are those that the process had on all cores together."""

    images: int
    seconds: float
    core_seconds: float
    steps: tuple[float, ...]  # seconds of each


@dataclass(frozen=True)
class Finished:
    """The last word of a candidate. Units: bytes."""

    peak_memory: int


@dataclass(frozen=True)
class Failed:
    """Why a candidate cannot go on."""

    reason: str


class _Stop(BaseException):
    """Ends a loop from within; no `except Exception` in it holds that up."""


class Clock:
    """The tick of a loop: it times the steps and, when a round is over, sends it and waits for the next request.

    A request is the length of a round in seconds, of at least one step; None ends the loop.
    """

    def __init__(self, pipe: Connection, synchronize: Callable[[], None], *, each_step: bool) -> None:
        self.pipe, self.synchronize, self.each_step = pipe, synchronize, each_step
        self._start_round()

    def _start_round(self) -> None:
        seconds = self.pipe.recv()
        if seconds is None:
            raise _Stop
        self.seconds: float = seconds
        self.images, self.steps = 0, list[float]()
        self.core = time.process_time()
        self.start = self.mark = time.perf_counter()

    def __call__(self, images: int) -> None:
        if self.each_step:
            self.synchronize()
        now = time.perf_counter()
        self.images += images
        self.steps.append(now - self.mark)
        self.mark = now
        if now - self.start < self.seconds:
            return
        self.synchronize()
        seconds, core = time.perf_counter() - self.start, time.process_time() - self.core
        self.pipe.send(Round(self.images, seconds, core, tuple(self.steps)))
        self._start_round()


def serve(pipe: Connection, candidate: Candidate, log: Path) -> None:
    """Run a candidate in this process, and send Ready, a Round for each request, Finished; or Failed."""
    multiprocessing.set_start_method(None, force=True)  # loaders start theirs as in a process that a user started
    _leave_the_terminal(log)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        import torch

        from benchmarks import machine
        from resnets.networks.cuda_graph import FallbackWarning

        warnings.simplefilter("error", FallbackWarning)  # what ran more slowly than it can is not measured
        device = torch.device(candidate.device)
        for module in candidate.modules:
            importlib.import_module(module)
        loop = candidate.prepare()
        pipe.send(Ready(torch.get_num_threads(), machine.allocator()))
        try:
            loop(Clock(pipe, lambda: machine.synchronize(device), each_step=candidate.each_step))
        except _Stop:
            pipe.send(Finished(machine.peak_memory(device)))
        else:
            pipe.send(Failed("it stopped by itself"))
    except EOFError:  # the parent has gone
        return
    except BaseException as error:
        pipe.send(Failed(_reason(error)))


def _reason(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error.name} is not installed"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _leave_the_terminal(log: Path) -> None:
    """Write to a file, and leave Ctrl-C to the parent, in a process group that ends as one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())


def _end_with_the_parent() -> None:
    parent: Any = parent_process()
    pipes.wait([parent.sentinel])
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # those that read its data as well
    os._exit(1)
