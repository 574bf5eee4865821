"""Runs as jobs of a cluster: submitit submits, requeues and logs them, on Slurm or in processes of this machine."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from resnets.durations import parse
from resnets.errors import ANOTHER_FOLDER, RunError, UsageError, import_extra, nearest
from resnets.files import make_folder, writing
from resnets.records import base
from resnets.records.jobs import Kind, SubmittedJob, SubmittedJobs
from resnets.runtime.job_command import JobCommand, lock_of, place_of
from resnets.runtime.locks import Held, Lock

TIME = "8h"  # of a job on Slurm, which continues after it
SIGNAL_SECONDS = 120  # before the end of that, in which a run saves
REQUEUES = 1_000_000  # of a job whose time is up: it continues each time
NO_LIMIT = 60 * 24 * 365  # minutes, on this machine
LOGGING = "SUBMITIT_LOG_LEVEL"
ERRORS = ("resnets: error: ", "resnets.errors.RunError: ")  # in logs: of the command, and of its job

State = Literal["submitted", "waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class RunState:
    """The state of a run, the number of its job and the job's log, and why it failed, with the log."""

    state: State
    job: str = ""
    log: Path | None = None
    why: str = ""

    @property
    def in_progress(self) -> bool:
        """Whether a job of the run waits or runs."""
        return self.state not in ("done", "failed")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where jobs run, and their limits. Raises: UsageError, if there is no such cluster, or it has no such limit.

    Units: `time` is a length of time such as 8h; `cores` are those of each job.
    """

    kind: Kind
    partition: str | None = None
    at_once: int | None = None
    time: str | None = None
    cores: int = 1

    def __post_init__(self) -> None:
        kinds = get_args(Kind)
        if self.kind not in kinds:
            raise UsageError(f"cluster is {self.kind!r}{nearest(self.kind, kinds)}; it must be slurm or local")
        for name in ("partition", "time"):
            if self.kind == "local" and getattr(self, name) is not None:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}, and jobs of this machine have none: --cluster slurm"
                )
        if self.at_once is not None and self.at_once < 1:
            raise UsageError(f"at once is {self.at_once}; it must be 1 or more jobs")
        parse(self.time or TIME, "time")
        import_submitit()
        if self.kind == "slurm" and shutil.which("sbatch") is None:
            raise UsageError("there is no sbatch here; submit where Slurm is, or use --cluster local")


class Jobs:
    """The jobs of a folder, which holds their logs; the folder is shared by all machines of the cluster."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder.absolute(), cluster
        self.file = self.folder / "jobs.json"

    def bring_forward(
        self,
        groups: Sequence[Sequence[str]],
        command: Callable[[tuple[str, ...]], Sequence[str]],
        is_done: Callable[[str], bool],
        started: Collection[str] = (),
        *,
        resume: bool,
    ) -> dict[str, RunState]:
        """Submit the runs that no job has had yet, and return the states of all.

        With `resume` those whose job ended before they were done are submitted again.

        Args:
            groups: names of runs, those in one are made by one job.
            command: returns the arguments of the command that makes runs.
            is_done: returns whether a run is done.
            started: runs that have checkpoints.

        Raises: UsageError, if the cluster takes no such jobs; RunError, if its queue cannot be read, or a run was
            started without a job and is not to be resumed.
        """
        with writing(self.folder):
            make_folder(self.folder)
        with Lock(self.folder / "lock", wait=True):
            earlier = self._earlier()
            states = {}
            for run in itertools.chain(*groups):
                found = earlier.get(run)
                if is_done(run):  # after the queue was read: a job may just have ended
                    states[run] = RunState("done") if found is None else RunState("done", found.job, found.log)
                elif found is not None and not (resume and found.state == "failed"):
                    states[run] = found
                elif run in started and not resume:
                    raise RunError(f"{run} was started: add --resume to continue it, or {ANOTHER_FOLDER}")
            left = [tuple(run for run in group if run not in states) for group in groups]
            submitted = self._submit([(runs, tuple(command(runs))) for runs in left if runs])
        states |= {run: RunState("submitted", job.id, self._log(job)) for job in submitted for run in job.runs}
        return {run: states[run] for run in itertools.chain(*groups)}

    # ---------------------------------------------------------------- submitted before

    def _recorded(self) -> tuple[SubmittedJob, ...]:
        found = base.read(self.file, SubmittedJobs)
        return () if found is None else found.jobs

    def _earlier(self) -> dict[str, RunState]:
        """Return the states of the runs by their last jobs; one whose job has ended has failed, unless it is done."""
        last = {run: job for job in self._recorded() for run in job.runs}
        in_queue = self._in_queue({job.cluster for job in last.values()})
        return {run: self._state(job, in_queue) for run, job in last.items()}

    def _state(self, job: SubmittedJob, in_queue: dict[str, State]) -> RunState:
        log = self._log(job)
        if job.id in in_queue:
            return RunState(in_queue[job.id], job.id, log)
        reason = _reason(log) or f"its job ended ({self._job(job).state.lower()})"
        return RunState("failed", job.id, log, f"{reason}; its log: {log}")

    def _in_queue(self, kinds: set[Kind]) -> dict[str, State]:
        """Return which jobs wait or run. A Slurm without accounting, which submitit asks, knows it of no other."""
        found: dict[str, State] = {}
        if "local" in kinds:
            running = {path.read_text() for path in self.folder.glob(place_of(self.folder, "*").name)}
            for job in (job.id for job in self._recorded() if job.cluster == "local"):
                lock = lock_of(self.folder, job)
                if _is_held(lock) or (not lock.exists() and _is_starting(job)):
                    found[job] = "running" if job in running else "waiting"
        if "slurm" in kinds:
            lines = _output("squeue", "--me", "--array", "--noheader", "--format=%i %T").splitlines()
            for job, _, state in (line.strip().partition(" ") for line in lines):
                found[job] = "waiting" if state.strip() in ("PENDING", "CONFIGURING", "REQUEUED") else "running"
        return found

    def _job(self, job: SubmittedJob) -> Any:
        submitit = import_submitit()
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns where there is no accounting
        return (submitit.SlurmJob if job.cluster == "slurm" else submitit.LocalJob)(self.folder, job.id)

    def _log(self, job: SubmittedJob) -> Path:
        return Path(self._job(job).paths.stdout)

    # ---------------------------------------------------------------- submission

    def _submit(self, todo: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> list[SubmittedJob]:
        if not todo:
            return []
        kind, gpus = self.cluster.kind, visible_gpus()
        places = (self.cluster.at_once or max(1, len(gpus))) if kind == "local" else None
        commands = [JobCommand(arguments, self.folder, places, gpus) for _, arguments in todo]
        jobs = _submitted(self._executor(), commands)
        found = [
            SubmittedJob(runs=runs, cluster=kind, id=job.job_id, command=arguments)
            for (runs, arguments), job in zip(todo, jobs, strict=True)
        ]
        base.write(self.file, SubmittedJobs(jobs=(*self._recorded(), *found)))
        return found

    def _executor(self) -> Any:
        submitit = import_submitit()
        minutes = math.ceil(parse(self.cluster.time or TIME) / 60)
        executor = submitit.AutoExecutor(self.folder, cluster=self.cluster.kind, slurm_max_num_timeout=REQUEUES)
        if self.cluster.kind == "local":
            # as by nohup: neither Ctrl-C nor the end of this command ends them, and they do not hold its output
            setup = ["exec > /dev/null 2>&1 < /dev/null", "trap '' HUP INT"]
            executor.update_parameters(timeout_min=NO_LIMIT, stderr_to_stdout=True, local_setup=setup)
            return executor
        executor.update_parameters(
            name="resnets",
            timeout_min=minutes,
            cpus_per_task=self.cluster.cores,
            stderr_to_stdout=True,
            slurm_partition=self.cluster.partition,
            slurm_array_parallelism=self.cluster.at_once,
            slurm_signal_delay_s=min(SIGNAL_SECONDS, 30 * minutes),
            slurm_additional_parameters={"requeue": True},
            slurm_setup=["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"],
        )
        return executor


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs of this machine that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    return tuple(map(str, range(count))) if named is None else tuple(named.split(",")[:count])


def import_submitit() -> Any:
    """Return submitit without its logging, whose configuration closes all handlers of the process.

    Raises: UsageError, naming the extra, if it is not installed.
    """
    own = os.environ.get(LOGGING)
    os.environ[LOGGING] = "NOCONFIG"
    try:
        return import_extra("submitit", "cluster")
    finally:
        del os.environ[LOGGING]
        if own is not None:
            os.environ[LOGGING] = own


def _submitted(executor: Any, commands: Sequence[JobCommand]) -> Sequence[Any]:
    """Submit commands, as an array where there are several. Raises: UsageError, with what sbatch says."""
    submitit = import_submitit()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # which submitit prints as well
            return list(executor.submit_array(commands))
    except submitit.core.utils.FailedJobError as error:
        lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in str(error).splitlines()]
        raise UsageError(f"sbatch: {'; '.join(filter(None, lines))}") from None


def _is_starting(job: str) -> bool:
    """Return whether a job of this machine, whose number is that of its process, has not come to its lock yet."""
    try:
        os.kill(int(job), 0)
    except OSError:
        return False
    return True


def _is_held(file: Path) -> bool:
    if not file.exists():
        return False
    try:
        with Lock(file):
            return False
    except Held:
        return True


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise RunError(f"{command[0]}: there is no such command here; jobs of Slurm are known where it is") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or f"it ended with {error.returncode}").splitlines()[0]
        raise RunError(f"{command[0]}: {reason.removeprefix(f'{command[0]}: ')}") from None


def _reason(log: Path) -> str:
    """Return the last error in a log: the command's own, or else how it ended; "" where there is none."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        for start in ERRORS:
            if found := [line.removeprefix(start) for line in lines if line.startswith(start)]:
                return found[-1]
    return ""
