"""Several runs of one command, here or as jobs: `--seeds` and `--cluster`."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from resnets.records.base import read, write
from resnets.records.jobs import SubmittedJob, SubmittedJobs
from resnets.records.runs import ClassifierResult
from resnets.runtime.cluster import visible_gpus
from resnets.runtime.job_command import JobCommand
from resnets.runtime.locks import Lock

pytestmark = pytest.mark.skipif(find_spec("submitit") is None, reason="resnets[cluster] is not installed")

Command = Callable[..., tuple[int, str, str]]
TRAIN = ("train", "resnet8", "--data", "digits", "--workers", 0)


def results(out: Path, seeds: int) -> list[ClassifierResult]:
    """Return the results of the runs with the first seeds."""
    found = [read(Path(f"{out}-seed{seed}") / "result.json", ClassifierResult) for seed in range(seeds)]
    assert all(found)
    return [result for result in found if result is not None]


def test_several_seeds_are_trained_one_after_another(tmp_path: Path, command: Command) -> None:
    """Each in its folder as `--seed` makes it, with mean and deviation at the end; --resume makes what is missing."""
    out = tmp_path / "run"
    asked = (*TRAIN, "--iterations", 3, "--batch-size", 16, "--out", out)
    assert command(*asked, "--seeds", "0")[0] == 0
    code, _, err = command(*asked, "--seeds", "0-1")
    assert code == 1 and "run-seed0" in err and "--resume" in err
    code, printed, err = command(*asked, "--seeds", "0-1", "--resume")
    assert code == 0 and "1 done" in printed
    errors = [result.test_error for result in results(out, 2)]
    assert f"{statistics.fmean(errors):.2f} ± {statistics.stdev(errors):.2f} %" in printed
    assert command(*TRAIN, "--iterations", 3, "--batch-size", 16, "--out", tmp_path / "alone", "--seed", 1)[0] == 0
    alone = read(tmp_path / "alone" / "result.json", ClassifierResult)
    assert alone is not None and alone.test_error == errors[1]
    assert alone.run.difference(results(out, 2)[1].run) is None


def test_a_seeds_folder_with_another_run_is_found_before_any_is_trained(tmp_path: Path, command: Command) -> None:
    """Of other settings, or of the same without --resume: the seeds before it are not trained either."""
    out = tmp_path / "run"
    asked = (*TRAIN, "--batch-size", 16, "--out")
    assert command(*asked, f"{out}-seed1", "--iterations", 2, "--seed", 1)[0] == 0
    for options, said in (((3, "--resume"), "recipe.iterations is 2, and 3"), ((2,), "add --resume")):
        code, _, err = command(*asked, out, "--seeds", "0-1", "--iterations", *options)
        assert code == 1 and "run-seed1" in err and said in err
    assert not Path(f"{out}-seed0").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--seeds", "4-2"), "4-2"),
        (("--seeds", "0,0"), "0,0"),
        (("--seeds", "0-999999999999"), "0-999999999999"),
        (("--seeds", "-1"), "-1"),
        (("--seeds", "a"), "'a'"),
        (("--seeds", "0-1", "--seed", 3), "--seed 3"),
        (("--seeds", "0-1", "--out", "."), "'.'"),
        (("--seeds", "0-1", "--out", ".."), "'..'"),
        (("--seeds", "0-1", "--out", "/"), "'/'"),
        (("--cluster", "local"), "--seeds"),
        (("--seeds", "0-1", "--at-once", 2), "--at-once"),
        (("--seeds", "0-1", "--cluster", "pbs"), "'pbs'"),
        (("--seeds", "0-1", "--cluster", "slurm", "--time", "8 hours"), "'8 hours'"),
        (("--seeds", "0-1", "--cluster", "slurm"), "sbatch"),
        (("--seeds", "0-1", "--cluster", "local", "--time", "8h"), "8h"),
        (("--seeds", "0-1", "--cluster", "local", "--partition", "gpu"), "gpu"),
        (("--seeds", "0-1", "--cluster", "local", "--at-once", 0), "at once is 0"),
    ],
)
def test_options_that_cannot_be(
    options: tuple[object, ...], named: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one line, before the data is read."""
    monkeypatch.setenv("PATH", str(tmp_path))  # without Slurm
    code, _, err = command("train", "resnet8", "--data", "folder:nowhere", *options)
    assert code == 2 and err.count("\n") == 1 and named in err


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for Slurm's commands: `queue` is what squeue shows, and `script` what sbatch was given."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    (folder / "queue").touch()
    stand_ins = {
        "sbatch": 'if grep -q partition=nope "$1"; then echo "sbatch: error: invalid partition: nope" >&2; exit 1; fi\n'
        f'cp "$1" {folder}/script; echo x >> {folder}/count; echo "Submitted batch job $(wc -l < {folder}/count)"',
        "squeue": f"cat {folder}/queue",
        "sacct": 'echo "JobID|State|NodeList"; echo "1_1|TIMEOUT|node"',
        "srun": "exit 1",
    }
    for name, script in stand_ins.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


SLURM = ("--cluster", "slurm", "--partition", "gpu", "--at-once", 2, "--time", "90m")


@pytest.mark.usefixtures("estimated")
@pytest.mark.parametrize(
    ("asked", "jobs", "shown"),
    [
        ((*TRAIN, "--iterations", 2, "--batch-size", 8, "--seeds", "0-1"), "out-jobs", "of 2 seeds"),
        (
            *(("reproduce", "table6", "--only", "resnet-20-layers", "--scale", "smoke", "--data", "digits"),),
            *("out/jobs", "The page:"),
        ),
        (
            ("study", "--data", "digits", "--networks", "plain8,resnet8", "--budget", "44s"),
            "out/jobs",
            "of training; budget",
        ),
    ],
    ids=["train", "reproduce", "study"],
)
def test_runs_as_jobs_of_slurm(
    asked: tuple[object, ...], jobs: str, shown: str, tmp_path: Path, slurm: Path, command: Command
) -> None:
    """One array is submitted, of commands as a user would type them; the same command shows its jobs, and once these
    are done the result.
    """
    asked = (*asked, *(["--seeds", 2] if asked[0] == "reproduce" else []), "--workers", 0, "--out", tmp_path / "out")
    code, printed, err = command(*asked, *SLURM)
    assert (code, err) == (0, "") and "2 submitted" in printed
    script = (slurm / "script").read_text()
    for option in ("array=0-1%2", "partition=gpu", "time=90", "requeue", "signal=USR2@120", "cpus-per-task=1"):
        assert f"#SBATCH --{option}\n" in script
    (slurm / "queue").write_text("1_0 RUNNING\n1_1 PENDING\n")
    code, printed, err = command(*asked, *SLURM)
    assert (code, err) == (0, "") and "1 running, 1 waiting" in printed
    record = read(tmp_path / jobs / "jobs.json", SubmittedJobs)
    assert record is not None and [job.id for job in record.jobs] == ["1_0", "1_1"]
    for job in record.jobs:
        assert "--resume" in job.command
        assert command(*job.command)[0] == 0
    (slurm / "queue").write_text("")
    code, printed, err = command(*asked, *SLURM)
    assert (code, err) == (0, "") and shown in printed


def test_jobs_that_failed(tmp_path: Path, slurm: Path, command: Command) -> None:
    """Why and in which log is said; --resume submits them again; the words of sbatch are one line."""
    asked = (*TRAIN, "--iterations", 2, "--seeds", "0-1", "--out", tmp_path / "out", "--cluster", "slurm")
    code, _, err = command(*asked, "--partition", "nope")
    assert code == 2 and err.count("\n") == 1 and "invalid partition: nope" in err
    assert command(*asked)[0] == 0
    log = tmp_path / "out-jobs" / "1_0_0_log.out"
    log.write_text("resnets: error: the disk is full\n")
    code, printed, err = command(*asked)
    assert code == 1 and "2 failed" in printed
    assert f"the disk is full; its log: {log}" in err and "timeout" in err
    code, printed, err = command(*asked, "--resume")
    assert (code, err) == (0, "") and "2 submitted" in printed
    (slurm / "queue").write_text("2_1 RUNNING\n2_0 COMPLETING\n")
    assert "2 running" in command(*asked)[1]
    (slurm / "squeue").write_text("#!/bin/sh\necho 'squeue: error: no controller' >&2; exit 1")
    code, _, err = command(*asked)
    assert code == 1 and "no controller" in err


def test_jobs_of_this_machine_have_the_gpus_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has one of those that CUDA_VISIBLE_DEVICES names, and none that the command was not given."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert visible_gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5c2f")
    (tmp_path / "show.py").write_text("import os; open('gpu', 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "1")
    before = signal.getsignal(signal.SIGTERM)
    try:
        with Lock(tmp_path / "place-0.lock"):  # another job
            JobCommand(("--import", "show", "list", "recipes"), tmp_path, places=2, gpus=visible_gpus())()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "gpu").read_text() == "GPU-5c2f"


@pytest.mark.parametrize(
    ("process", "shown"), [(os.getpid(), "1 waiting"), (2**22 + 1, "1 failed")], ids=["starts", "gone"]
)
def test_a_job_of_this_machine_that_starts_has_not_ended(
    tmp_path: Path, command: Command, process: int, shown: str
) -> None:
    """A busy machine may take minutes to start it; one whose process is gone without a trace has failed."""
    job = SubmittedJob(runs=("out-seed0",), cluster="local", id=str(process), command=())
    write(tmp_path / "out-jobs" / "jobs.json", SubmittedJobs(jobs=(job,)))
    asked = (*TRAIN, "--iterations", 20, "--seeds", "0", "--out", tmp_path / "out", "--cluster", "local")
    assert shown in command(*asked)[1]


def descendants(process: int) -> list[int]:
    """Return the processes that one started, and those that they started, in this order."""
    try:
        children = [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [one for child in children for one in descendants(child)]


def wait_until(reached: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Popen:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in /proc")
def test_jobs_of_this_machine_that_are_interrupted(tmp_path: Path, command: Command) -> None:
    """The command returns at once. A preempted job resumes by itself; of a killed one the log is named, and --resume
    makes it to its end.
    """
    out = tmp_path / "run"
    asked = (*TRAIN, "--iterations", 300, "--batch-size", 8, "--save-every", 20, "--seeds", "0-1", "--out", out)
    cluster = ("--cluster", "local", "--at-once", 2)
    code, printed, err = command(*asked, *cluster)
    assert (code, err) == (0, "")
    jobs = [int(one) for one in re.findall(r"submitted +│ +(\d+)", printed)]
    try:
        for seed in range(2):
            wait_until(lambda seed=seed: list(Path(f"{out}-seed{seed}").glob("checkpoints/*")))
        preempted, killed = (descendants(job) for job in jobs)
        os.kill(preempted[-2], signal.SIGUSR2)  # as submitit does where a job's time is up
        os.kill(killed[-1], signal.SIGKILL)
        code, printed, _ = command(*asked, *cluster)
        assert "running" in printed
        wait_until(lambda: not any(map(descendants, jobs)))
        code, printed, err = command(*asked, *cluster)
        log = tmp_path / "run-jobs" / f"{jobs[1]}_0_log.out"
        assert code == 1 and str(log) in err and "resnets train resnet8" in log.read_text()
        assert "Requeued" in log.with_name(f"{jobs[0]}_0_log.out").read_text()
        assert "ended with -9" in err and "1 done, 1 failed" in printed and "1 seed" in printed
        code, printed, _ = command(*asked, *cluster, "--resume")
        assert code == 0 and "1 done, 1 submitted" in printed
        jobs.append(int(re.findall(r"submitted +│ +(\d+)", printed)[0]))
        wait_until(lambda: not descendants(jobs[-1]))
    finally:
        for process in (one for job in jobs for one in descendants(job)):
            os.kill(process, signal.SIGKILL)
    code, printed, err = command(*asked, *cluster)
    assert (code, err) == (0, "") and "of 2 seeds" in printed
    assert [len(result.run.provenance) for result in results(out, 2)] == [1, 1]  # on one machine throughout


def test_the_logging_of_a_process_stays_as_it_is() -> None:
    """submitit's own configuration would close every handler, those of a program that calls resnets too."""
    program = (
        "import logging, os; from resnets.runtime.cluster import import_submitit; closed = []; "
        "logging.Handler.close = closed.append; handler = logging.NullHandler(); import_submitit(); "
        "raise SystemExit(bool(closed or os.environ.get('SUBMITIT_LOG_LEVEL')))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
