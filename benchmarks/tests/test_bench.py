"""`python -m benchmarks` as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from resnets.data.sources import SOURCES
from resnets.networks.registry import NETWORKS
from resnets.records import base
from resnets.records.benchmarks import Benchmark

ROOT = Path(__file__).parents[2]


MODULE = """
import numpy as np
from torch import nn
import resnets

def small(num_classes=10, in_channels=3):
    pool, flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3, 2), nn.ReLU(), pool, flatten, nn.Linear(4, num_classes))

def noise():
    images = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), np.uint8)
    split = resnets.ImageArrays(images, np.arange(300) % 10)
    return resnets.DataSplits(name="noise-for-bench", train=split, test=split, classes=tuple("0123456789"))

resnets.register_network("small-for-bench", small, input_size=32)
resnets.register_data("noise-for-bench", noise)
"""


def test_a_run_prints_its_tables_and_writes_all_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's network on their data, measured for real: every process imports the module that registers them.

    The record has both sides and the ratio of their speeds.
    """
    (tmp_path / "networks_for_bench.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "speed.json"
    options = ["--quick", "--rounds", "1", "--round-seconds", "0.1", "--device", "cpu", "--json", str(file)]
    network = ["--import", "networks_for_bench", "--network", "small-for-bench", "--data", "noise-for-bench"]
    with NETWORKS.scoped(), SOURCES.scoped():
        assert main([*network, *options]) == 0
    out = capsys.readouterr().out
    assert "small-for-bench" in out and "left out by --quick" in out
    found = base.read(file, Benchmark)
    assert found is not None and found.rounds == 1 and found.machine.allocator
    (row,) = found.rows
    assert [(side.name, side.not_measured) for side in row.sides] == [("resnets", None), ("plain PyTorch", None)]
    assert (row.claims[0].quantity, row.claims[0].over) == ("speed", "plain PyTorch")
    assert "small-for-bench" in row.what and row.sides[0].flops_per_second
    assert all(len(side.speeds) == 1 and side.step_seconds and side.threads and side.allocator for side in row.sides)
    assert found.data == {"images": "noise-for-bench, 300 training images"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--only", "resnet20"], 2, "unknown row 'resnet20' (did you mean resnet20-"),
        (["--only", "resnet152-imagenet", "--device", "cpu"], 2, "on a GPU only"),
        (["--network", "resnet2O"], 2, "unknown network 'resnet2O'"),
        (["--network", "resnet20", "--only", "start-up"], 2, "start-up"),
        (["--network", "resnet20", "--data", "nothing"], 2, "'nothing'"),
        (["--import", "no_such_module"], 2, "no_such_module"),
        (["--rounds", "0"], 2, "rounds is 0"),
        (["--json", "/"], 2, "/: a folder; name a file in it"),
        (["--only", "cifar-pipeline", "--data", "cifar10:/no/such/folder"], 1, "no folder /no/such/folder"),
        (["--only", "photo-pipeline", "--photos", "/no/such/folder"], 1, "no folder /no/such/folder"),
    ],
)
def test_bad_usage_is_one_clear_line_before_anything_is_measured(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code, the wrong value, and one line on standard error."""
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("python -m benchmarks: error: ") and err.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux")
def test_a_signal_ends_every_process_and_leaves_no_file(tmp_path: Path) -> None:
    """SIGTERM while the candidates prepare: one line, the code of the signal, no process and no file left."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cifar-pipeline"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "1 of 1: cifar-pipeline\n"
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        assert len(children) >= 2
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == "python -m benchmarks: stopped by SIGTERM; nothing is left of it\n"
    assert list(tmp_path.iterdir()) == []
    deadline = time.monotonic() + 10  # multiprocessing's own helper takes a moment to see that its parent has gone
    while any(map(_runs, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, children))


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()  # a zombie waits for whoever adopts it
    except OSError:
        return False


def test_help_names_the_peers(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has the peers and the options that choose among them."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for word in ("torchvision", "timm", "--quick", "--only", "--photos"):
        assert word in out


@pytest.mark.slow
def test_several_processes_next_to_one(tmp_path: Path) -> None:
    """The row's first side trains in two processes, of which none is left; both are measured."""
    file = tmp_path / "speed.json"
    assert main(["--only", "resnet20-processes", "--rounds", "1", "--round-seconds", "0.1", "--json", str(file)]) == 0
    found = base.read(file, Benchmark)
    assert found is not None
    (row,) = found.rows
    assert [side.not_measured for side in row.sides] == [None, None]
    assert [(claim.quantity, claim.over) for claim in row.claims] == [("speed", "resnets, one process")]
