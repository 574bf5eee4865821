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
from resnets.networks.registry import NETWORKS
from resnets.records import base
from resnets.records.benchmarks import Benchmark

ROOT = Path(__file__).parents[2]


def test_a_run_prints_its_tables_and_writes_all_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cheapest row, which has no peer, measured for real in its own process."""
    file = tmp_path / "speed.json"
    assert main(["--quick", "--only", "start-up", "--rounds", "1", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "start-up" in out and "left out by --quick" in out
    found = base.read(file, Benchmark)
    assert found is not None and found.rounds == 1 and found.machine.allocator
    ((row,), (side,)) = found.rows, found.rows[0].sides
    assert row.kind == "start-up" and side.not_measured is None and len(side.speeds) == 1
    assert side.step_seconds and side.threads and side.allocator


MODULE = """
from torch import nn
import resnets

def small(num_classes=10, in_channels=3):
    pool, flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3, 2), nn.ReLU(), pool, flatten, nn.Linear(4, num_classes))

resnets.register_network("small-for-bench", small, input_size=32)
"""


def test_a_network_of_a_user_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process imports the module that registers it; the record has both sides and the ratio of their speeds."""
    (tmp_path / "networks_for_bench.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "speed.json"
    options = ["--quick", "--rounds", "1", "--round-seconds", "0.1", "--device", "cpu", "--json", str(file)]
    network = ["--import", "networks_for_bench", "--network", "small-for-bench", "--data", "digits"]
    with NETWORKS.scoped():
        assert main([*network, *options]) == 0
    found = base.read(file, Benchmark)
    assert found is not None
    (row,) = found.rows
    assert [(side.name, side.not_measured) for side in row.sides] == [("resnets", None), ("plain PyTorch", None)]
    assert (row.claims[0].quantity, row.claims[0].over) == ("speed", "plain PyTorch")
    assert "small-for-bench" in row.what and row.sides[0].flops_per_second
    assert found.data == {"images": "digits, 1,437 training images"}


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
    """SIGTERM while the contenders prepare: one line, the code of the signal, no process and no file left."""
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
