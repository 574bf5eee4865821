"""Jobs on a real Slurm: one node with its controller and daemon, started by the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resnets.cli import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("slurmctld") and shutil.which("slurmd")), reason="Slurm is not installed"),
    pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="a daemon of Slurm is started by root"),
]

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs=4
PartitionName=test Nodes=ALL Default=YES
"""


TABLE_6 = ["reproduce", "table6", "--scale", "smoke"]


def wait_until(reached: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def nothing_is_queued() -> bool:
    return not subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Slurm of one node with the partition `test`, by which this process submits."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        controller, daemon = one.getsockname()[1], two.getsockname()[1]
    folder = tmp_path / "slurm"
    (folder / "spool").mkdir(parents=True)
    text = CONFIGURATION.format(host=socket.gethostname(), folder=folder, controller=controller, daemon=daemon)
    (folder / "slurm.conf").write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    started = []
    try:
        for name in ("slurmctld", "slurmd"):
            with open(folder / f"{name}.log", "w") as log:
                started.append(subprocess.Popen([name, "-D", "-c"], stdout=log, stderr=log))
        wait_until(lambda: "idle" in subprocess.run(["sinfo"], capture_output=True, text=True).stdout, 60)
        yield
    finally:
        subprocess.run(["scancel", "--signal=KILL", "--me"], check=False)
        for process in reversed(started):
            process.terminate()
            process.wait(30)


def test_preempted_jobs_resume(slurm: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At the end of its time, and where Slurm preempts it, a job saves, is requeued and resumes from there."""
    out = tmp_path / "run"
    asked = ["train", "resnet8", "--data", "digits", "--iterations", "1000", "--batch-size", "8", "--save-every", "20"]
    asked += ["--workers", "0", "--seeds", "0-1", "--out", str(out), "--cluster", "slurm"]
    assert run([*asked, "--partition", "nope"]) == 2
    assert "invalid partition" in capsys.readouterr().err
    assert run(asked) == 0
    jobs = ["1_0", "1_1"]
    for seed in range(2):
        wait_until(lambda seed=seed: list(Path(f"{out}-seed{seed}").glob("checkpoints/*")))
    subprocess.run(["scancel", "--signal=USR2", jobs[0]], check=True)  # as at the end of its time
    subprocess.run(["scontrol", "requeue", jobs[1]], check=True)  # as Slurm preempts
    logs = [tmp_path / "run-jobs" / f"{job}_0_log.out" for job in jobs]
    for log in logs:
        wait_until(lambda log=log: "everything is saved" in log.read_text())
    for log in logs:  # two minutes later, by Slurm's own delay
        wait_until(lambda log=log: "continued from iteration" in log.read_text())
    wait_until(nothing_is_queued)
    assert run(asked) == 0
    assert "of 2 seeds" in capsys.readouterr().out
    assert sys.executable in (tmp_path / "run-jobs" / "1_submission.sh").read_text()


@pytest.mark.parametrize(
    ("asked", "jobs", "page"),
    [
        (["study", "--data", "digits", "--depths", "8,14", "--budget", "2m"], 4, "study.html"),
        ([*TABLE_6, "--only", "resnet20", "--only", "resnet32", "--data", "digits"], 2, "site/index.html"),
    ],
)
def test_a_study_and_a_table_are_jobs(
    asked: list[str], jobs: int, page: str, slurm: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of their runs is a job; the same command prints the result once all have ended."""
    asked = [*asked, "--workers", "0", "--out", str(tmp_path / "out"), "--cluster", "slurm", "--partition", "test"]
    assert run(asked) == 0
    capsys.readouterr()
    wait_until(nothing_is_queued)
    assert run(asked) == 0
    assert page in capsys.readouterr().out and (tmp_path / "out" / page).exists()
    assert len(list((tmp_path / "out" / "jobs").glob("*_log.out"))) == jobs


def test_the_script_of_the_docs(slurm: None, tmp_path: Path) -> None:
    """Sent SIGUSR1, as before the end of its time, and preempted, it saves, goes back into the queue and resumes."""
    script = Path(__file__).parents[1] / "docs" / "slurm.sbatch"
    out, log = tmp_path / "out", tmp_path / "job.log"
    values = f"ALL,DATA=digits,OUT={out},PROCESSES=2"
    resources = ["--nodes=1", "--gpus-per-node=0", "--cpus-per-task=2", f"--output={log}", f"--export={values}"]
    subprocess.run(["sbatch", *resources, str(script)], check=True)
    wait_until(lambda: list(out.glob("checkpoints/*")))
    subprocess.run(["scancel", "--batch", "--signal=USR1", "1"], check=True)
    wait_until(lambda: log.read_text().count("everything is saved") == 1)
    wait_until(lambda: log.read_text().count("continued from iteration") == 1)
    subprocess.run(["scontrol", "requeue", "1"], check=True)
    wait_until(lambda: log.read_text().count("everything is saved") == 2)
    wait_until(lambda: log.read_text().count("continued from iteration") == 2)
