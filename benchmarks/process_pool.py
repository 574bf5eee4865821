"""Process pool of a row's candidates: each has its own process, and one at a time works, round by round."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any, Protocol

from benchmarks.worker import Candidate, Failed, Finished, Ready, Round, serve

PATIENCE = 900.0  # seconds for one answer, such as a first step that compiles
PAUSE = 0.1  # seconds between two rounds, in which the last loader refills its queue


@dataclass
class Record:
    """Measurements of one candidate's process. `failed` says why it was not, or not wholly, measured."""

    candidate: Candidate
    failed: str | None = None
    ready: Ready | None = None
    first_step: float | None = None  # seconds
    rounds: list[Round] = field(default_factory=list)
    peak_memory: int | None = None  # bytes


class Worker(Protocol):
    """One candidate at work."""

    record: Record

    def get_ready(self) -> None: ...

    def work(self, seconds: float) -> Round | None: ...

    def finish(self) -> None: ...


class ProcessWorker:
    """A candidate in a process of its own; what goes wrong there becomes `record.failed`."""

    def __init__(self, candidate: Candidate, scratch: Path, start_method: str = "spawn") -> None:
        self.record = Record(candidate)
        self.log = scratch / f"{candidate.name}.log"
        context: Any = get_context(start_method)
        self.pipe, self.theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.theirs, candidate, self.log))

    def start(self) -> None:
        """Start the process, which prepares at once."""
        self.process.start()
        self.theirs.close()

    def get_ready(self) -> None:
        answer = self._answer()
        if isinstance(answer, Ready):
            self.record.ready = answer

    def work(self, seconds: float) -> Round | None:
        if self.record.failed is not None or not self._ask(seconds):
            return None
        answer = self._answer()
        return answer if isinstance(answer, Round) else None

    def finish(self) -> None:
        if self.record.failed is None and self._ask(None):
            answer = self._answer()
            if isinstance(answer, Finished):
                self.record.peak_memory = answer.peak_memory

    def _ask(self, seconds: float | None) -> bool:
        try:
            self.pipe.send(seconds)
        except OSError:
            self.record.failed = self._last_words()
        return self.record.failed is None

    def _answer(self) -> object:
        found = connection.wait([self.pipe, self.process.sentinel], PATIENCE)
        if not found:
            self.record.failed = f"no answer within {PATIENCE:.0f} s"
            return None
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.record.failed = self._last_words()
            return None
        if isinstance(answer, Failed):
            self.record.failed = answer.reason
        return answer

    def _last_words(self) -> str:
        self.process.join(5)
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        said = next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        code = self.process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        return f"its process ended ({how}){': ' + said if said else ''}"

    def kill(self) -> None:
        """End the process and those that it started, and wait until it has gone."""
        self.pipe.close()
        if self.process.pid is None:  # a signal came before it was started
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError, AttributeError):
            self.process.kill()  # it has no group of its own yet, or never
        self.process.join()


@contextmanager
def process_pool(
    candidates: Sequence[Candidate], scratch: Path, start_method: str = "spawn"
) -> Iterator[list[ProcessWorker]]:
    """Start the processes of candidates, which prepare at the same time; on leaving, none is left."""
    workers: list[ProcessWorker] = []
    try:
        for candidate in candidates:
            workers.append(ProcessWorker(candidate, scratch, start_method))
            workers[-1].start()
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def interleave(workers: Sequence[Worker], *, rounds: int, seconds: float, notify: Callable[[str], None]) -> None:
    """Let candidates work in turns, A B C A B C ..., after a first step and a warm-up round that do not count."""
    for worker in workers:
        notify(f"{worker.record.candidate.name} prepares")
        worker.get_ready()
    on_a_gpu = any(worker.record.candidate.device.startswith("cuda") for worker in workers)
    notify("first steps")
    with ThreadPoolExecutor(len(workers) if on_a_gpu else 1) as pool:  # those that compile for a GPU do it together
        for worker, first in zip(workers, pool.map(lambda worker: worker.work(0.0), workers), strict=True):
            worker.record.first_step = None if first is None else first.seconds
    for number in range(rounds + 1):  # the first one warms up
        for worker in workers:
            notify(f"{worker.record.candidate.name}, {f'round {number} of {rounds}' if number else 'warm-up'}")
            time.sleep(PAUSE)
            done = worker.work(seconds)
            if number and done is not None:
                worker.record.rounds.append(done)
    for worker in workers:
        worker.finish()
