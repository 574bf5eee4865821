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


def wait_until(reached: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.5)


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
    wait_until(lambda: not subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout)
    assert run(asked) == 0
    assert "of 2 seeds" in capsys.readouterr().out
    assert sys.executable in (tmp_path / "run-jobs" / "1_submission.sh").read_text()
