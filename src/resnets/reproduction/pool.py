"""Process pool of runs, a process on each device, observed in the process that started them."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any

from resnets.data.sources import SOURCES
from resnets.errors import Interrupted, ResnetsError, RunError, first_line
from resnets.networks.registry import NETWORKS
from resnets.records.runs import LogLine, Result, RunRecord
from resnets.reproduction.planned_run import PlannedRun
from resnets.reproduction.run import train_and_test
from resnets.reproduction.run_list import check
from resnets.runtime.signals import StopRequest
from resnets.training.observers import Observer, Observers

LOOK_SECONDS = 0.5  # between two looks whether a signal came


@dataclass
class _Worker:
    runs: Sequence[PlannedRun]
    device: str
    process: Any  # multiprocessing's of the spawn context
    pipe: Connection
    observers: dict[str, Observers]  # by the name of the run
    ended: _End | None = None


@dataclass(frozen=True)
class _End:
    """How the runs of a process ended: why each failed, or the kind of the error that ended all, and its message."""

    failed: tuple[str | None, ...] = ()
    kind: str = ""
    message: str = ""


class _Sender(Observer):
    """An observer that sends all to the process that started this one, which closes its own; its run ends with that."""

    def __init__(self, pipe: Connection, run: PlannedRun) -> None:
        self.pipe = pipe
        self.run = run.name

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        self._send("started", run, iteration, notes)

    def logged(self, line: LogLine) -> None:
        self._send("logged", line)

    def finished(self, result: Result) -> None:
        self._send("finished", result)

    def _send(self, what: str, *arguments: Any) -> None:
        try:
            self.pipe.send((self.run, what, arguments))
        except OSError:
            raise RunError("the process that started this run has ended") from None


def _work(pipe: Connection, modules: Sequence[str], runs: Sequence[PlannedRun], device: str, workers: int) -> None:
    os.setsid()  # Ctrl-C reaches the process that started this one, which passes it on once
    try:
        for module in modules:
            with suppress(ImportError):  # a run that needs what it registers says so
                importlib.import_module(module)
        failed = train_and_test(runs, device=device, workers=workers, observe=lambda run: _Sender(pipe, run))
        end = _End(tuple(failed))
    except Exception as error:
        end = _End(kind=type(error).__name__, message=first_line(error))
    pipe.send(end)


def train_and_test_all(
    groups: Sequence[Sequence[PlannedRun]],
    devices: Sequence[str],
    *,
    workers: int,
    observe: Callable[[PlannedRun], Observer] | None,
    stop: StopRequest,
) -> list[tuple[PlannedRun, str | None]]:
    """Make all runs, one group at a time on each device; return each with None, or why it failed.

    Raises: Interrupted after a signal, once all have saved; RunError, if a process was killed or a folder is in use.
    """
    waiting, free = list(groups), list(devices)
    working: list[_Worker] = []
    ended: list[tuple[PlannedRun, str | None]] = []
    broken: list[str] = []
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
                if not worker.ended.kind:
                    ended += zip(worker.runs, worker.ended.failed, strict=True)
                elif worker.ended.kind != Interrupted.__name__:
                    broken.append(f"{', '.join(run.name for run in worker.runs)}: {worker.ended.message}")
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
        raise RunError(broken[0])
    return ended


def _start(
    runs: Sequence[PlannedRun], device: str, workers: int, observe: Callable[[PlannedRun], Observer] | None
) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    modules = [name for name in (*NETWORKS.owners(), *SOURCES.owners()) if name != "__main__"]  # runs of itself there
    process = context.Process(target=_work, args=(theirs, modules, runs, device, workers))
    process.start()
    theirs.close()
    return _Worker(
        runs, device, process, ours, {run.name: Observers([observe(run)]) for run in runs} if observe else {}
    )


def _listen(worker: _Worker) -> None:
    """Take one message of a worker; its end closes the observers."""
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        cause = ", most likely because memory ran out" if code == -signal.SIGKILL else ""
        message = _End(kind=ResnetsError.__name__, message=f"its process ended with {code}{cause}")
    if isinstance(message, _End):
        worker.ended = message
        worker.process.join()
        worker.pipe.close()
        for observer in worker.observers.values():
            observer.closed()
        return
    run, what, arguments = message
    if run in worker.observers:
        getattr(worker.observers[run], what)(*arguments)
