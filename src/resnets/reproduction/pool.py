"""Process pool of runs, each on a device of its own, observed in the process that started them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any

from resnets.errors import Interrupted, ResnetsError, RunError, first_line
from resnets.records.runs import LogLine, Result, RunRecord
from resnets.reproduction.planned_run import PlannedRun
from resnets.reproduction.run import train_and_test
from resnets.reproduction.run_list import check
from resnets.runtime.signals import StopRequest
from resnets.training.observers import Observer, Observers
from resnets.training.together import TRAINING_FAILURES

LOOK_SECONDS = 0.5  # between two looks whether a signal came


@dataclass
class _Worker:
    run: PlannedRun
    device: str
    process: Any  # multiprocessing's of the spawn context
    pipe: Connection
    observer: Observer
    ended: tuple[str, str] | None = None  # the kind of an error and its message, or ("", "")


class _Sender:
    """An observer that sends everything to the process that started this one; if that has ended, its run ends."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        self._send("started", run, iteration, notes)

    def logged(self, line: LogLine) -> None:
        self._send("logged", line)

    def finished(self, result: Result) -> None:
        self._send("finished", result)

    def closed(self) -> None:
        pass  # the process that listens closes its own

    def _send(self, what: str, *arguments: Any) -> None:
        try:
            self.pipe.send((what, arguments))
        except OSError:
            raise RunError("the process that started this run has ended") from None


def _work(pipe: Connection, run: PlannedRun, device: str, workers: int) -> None:
    os.setsid()  # Ctrl-C reaches the process that started this one, which passes it on once
    ended = ("", "")
    try:
        train_and_test(run, device=device, workers=workers, observers=[_Sender(pipe)])
    except Exception as error:
        ended = (type(error).__name__, first_line(error))
    pipe.send(("ended", ended))


def train_and_test_all(
    todo: Sequence[PlannedRun],
    devices: Sequence[str],
    *,
    workers: int,
    observe: Callable[[PlannedRun], Observer] | None,
    stop: StopRequest,
) -> tuple[list[str], list[tuple[str, str]]]:
    """Make all runs, one at a time on each device; return the names of those made, and of those that failed and why.

    Raises: Interrupted after a signal, once all have saved; RunError, if a process was killed or a folder is in use.
    """
    waiting, free = list(todo), list(devices)
    working: list[_Worker] = []
    made: list[str] = []
    failed: list[tuple[str, str]] = []
    broken: list[_Worker] = []
    stopping = False
    try:
        while working or (waiting and not (stopping or broken)):
            while waiting and free and not (stopping or broken):
                working.append(_start(waiting.pop(0), free.pop(0), workers, observe))
            for pipe in connection.wait([worker.pipe for worker in working], LOOK_SECONDS):
                worker = next(one for one in working if one.pipe is pipe)
                _listen(worker)
                if worker.ended is None:
                    continue
                working.remove(worker)
                free.append(worker.device)
                kind, message = worker.ended
                if not kind:
                    made.append(worker.run.name)
                elif kind in [error.__name__ for error in TRAINING_FAILURES]:
                    failed.append((worker.run.name, message))
                elif kind != Interrupted.__name__:
                    broken.append(worker)
            if stop.signum is not None and not stopping:
                stopping = True
                for worker in working:
                    worker.process.terminate()  # SIGTERM: save, then end
    finally:
        for worker in working:
            worker.process.kill()
            worker.process.join()
    check(stop)
    if broken:
        _, message = broken[0].ended or ("", "")
        raise RunError(f"{broken[0].run.name}: {message}")
    return made, failed


def _start(run: PlannedRun, device: str, workers: int, observe: Callable[[PlannedRun], Observer] | None) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, run, device, workers))
    process.start()
    theirs.close()
    return _Worker(run, device, process, ours, Observers([observe(run)] if observe else []))


def _listen(worker: _Worker) -> None:
    """Take one message of a worker; its end closes the observer."""
    try:
        what, arguments = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        what, arguments = "ended", (ResnetsError.__name__, f"its process was ended ({worker.process.exitcode})")
    if what == "ended":
        worker.ended = arguments
        worker.process.join()
        worker.pipe.close()
        worker.observer.closed()
    else:
        getattr(worker.observer, what)(*arguments)
