"""The files of docs/ that start runs on clusters do what docs/cluster.md says, as far as can be tried without one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.main import get_command

from resnets.cli import app

DOCS = Path(__file__).parents[1] / "docs"
SBATCH = DOCS / "slurm.sbatch"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def test_syntax_and_directives() -> None:
    """bash reads it; Slurm reads directives above the first command only, each once, and these are needed here."""
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
    lines = SBATCH.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [line for line in lines[:first_command] if line.startswith("#SBATCH")]
    assert len(directives) == sum(line.startswith("#SBATCH") for line in lines)
    found = dict(re.fullmatch(r"#SBATCH --([a-z-]+)=?(\S*)", line).groups() for line in directives)  # type: ignore[union-attr]
    assert len(found) == len(directives)
    assert found["ntasks-per-node"] == "1"  # torchrun starts the processes
    assert re.fullmatch(r"B:USR1@\d+", found["signal"])  # B: to this script, which traps it
    assert {"nodes", "gpus-per-node", "time", "requeue", "open-mode"} <= set(found)


@pytest.mark.parametrize(("signum", "requeued", "code"), [(signal.SIGUSR1, True, 0), (signal.SIGTERM, False, 143)])
def test_saves_and_goes_back_into_the_queue(tmp_path: Path, signum: int, requeued: bool, code: int) -> None:
    """With stand-ins for Slurm's commands: the run is sent SIGTERM and waited for, and then the job is requeued."""
    stand_ins = {
        "srun": 'echo "$@" > command; trap "sleep 0.3; touch saved; exit 143" USR2; touch running; '
        "while true; do sleep 0.05; done",  # whose processes are sent SIGUSR2 here, lest srun itself be sent SIGTERM
        "scancel": '[ "$1 $2" = "--signal=TERM 7.0" ] && pkill -USR2 -f "$(dirname $0)/srun"',
        "scontrol": 'if [ "$1" = show ]; then printf "one\\ntwo\\n"; else ls saved && echo "$@" > requeued; fi',
    }
    for name, script in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    variables = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "one,two", "SLURM_NNODES": "2", "OUT": "o", "DATA": "d"}
    process = subprocess.Popen(
        ["bash", str(SBATCH)],
        cwd=tmp_path,
        env=os.environ | variables | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "running").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if not requeued:  # Slurm signals all processes of a preempted job
            subprocess.run(["pkill", "-USR2", "-f", str(tmp_path / "srun")], check=True)
        process.send_signal(signum)
        assert process.wait(30) == code
    finally:
        process.kill()
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "requeued").exists() == requeued
    command = (tmp_path / "command").read_text()
    assert "--rdzv-endpoint=one:29500 --rdzv-id=7-0 -m resnets train" in command


@pytest.mark.parametrize("name", ["slurm.sbatch", "kubernetes.yaml", "cluster.md"])
def test_commands_are_known(name: str) -> None:
    """Each `resnets train` and `evaluate` in these files has options that there are."""
    text = (DOCS / name).read_text().replace("\\\n", " ")
    command = get_command(app)
    found = re.findall(r"resnets (train|evaluate) (\S[^\n]*)", text)
    assert found
    for verb, rest in found:
        known = {option for parameter in command.commands[verb].params for option in parameter.opts}  # type: ignore[attr-defined]
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest.split("`")[0])) <= known
