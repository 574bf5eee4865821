"""Command of a job: it saves and is submitted again when its time is up or it is preempted."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.errors import RunError
from resnets.runtime.locks import Held, Lock

PLACE_SECONDS = 1.0  # between two looks for a free place


@dataclass
class JobCommand:
    """The command `resnets` with its arguments, as a user would type it.

    Called in a job by submitit, which calls `checkpoint` on SIGUSR2, the end of the job's time, and requeues it. On
    this machine (`places` is how many jobs run at once) it waits for a place, each of which has one of the `gpus` where
    there are any, and holds a lock of its number until it ends.
    """

    arguments: tuple[str, ...]
    folder: Path
    places: int | None = None
    gpus: tuple[str, ...] = ()
    pid: int | None = None

    def __call__(self) -> None:
        with self._place() as variables:
            self._run(variables)

    def checkpoint(self) -> Any:
        """End the command by SIGTERM, on which it saves, and return what is to be submitted again."""
        import submitit

        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            with suppress(ChildProcessError):  # the call that this one interrupts has waited for it
                os.waitpid(self.pid, 0)
            self.pid = None
        return submitit.helpers.DelayedSubmission(self)

    def _run(self, variables: dict[str, str]) -> None:
        stopped = False

        def stop(*_: object) -> None:
            nonlocal stopped
            stopped = True
            process.terminate()

        print(f"resnets {shlex.join(self.arguments)}", flush=True)  # in the log
        command = [sys.executable, "-m", "resnets", *self.arguments]
        # Slurm signals all processes of a job, and the command would end by a signal that is submitit's
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
        try:
            process = subprocess.Popen(command, env=os.environ | variables)
            self.pid = process.pid
            signal.signal(signal.SIGTERM, stop)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        code = process.wait()
        self.pid = None
        while stopped and self.places is None:
            signal.pause()  # a job that Slurm preempts or cancels waits for that: one that ends is not requeued
        if code != 0:
            cause = ", most likely because memory ran out" if code == -signal.SIGKILL else ""
            raise RunError(f"the command ended with {code}{cause}")

    @contextmanager
    def _place(self) -> Iterator[dict[str, str]]:
        """Wait for a place on this machine, and yield the variables that name its GPU."""
        if self.places is None:
            yield {}
            return
        own = os.environ["SUBMITIT_LOCAL_JOB_ID"]
        with Lock(lock_of(self.folder, own), wait=True), ExitStack() as held:  # another command may look at it
            place = self._free_place(held)
            place_of(self.folder, place).write_text(own)
            yield {"CUDA_VISIBLE_DEVICES": self.gpus[place % len(self.gpus)]} if self.gpus else {}

    def _free_place(self, held: ExitStack) -> int:
        assert self.places is not None
        while True:
            for place in range(self.places):
                with suppress(Held):
                    held.enter_context(Lock(self.folder / f"place-{place}.lock"))
                    return place
            time.sleep(PLACE_SECONDS)


def lock_of(folder: Path, job: str) -> Path:
    """Return the lock that a job of this machine holds until it ends."""
    return folder / f"{job}.lock"


def place_of(folder: Path, place: int | str) -> Path:
    """Return the file that names the job which has, or last had, a place."""
    return folder / f"place-{place}.job"
