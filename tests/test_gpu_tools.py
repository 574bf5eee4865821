"""tools/gpu does on a CPU, in small, what it does on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

GPU = Path(__file__).parents[1] / "tools" / "gpu"


def rehearse(tool: str, *arguments: str | Path) -> str:
    command = [sys.executable, GPU / tool, "--rehearse", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_check(tmp_path: Path) -> None:
    """Each check runs and passes, and its numbers are in one file."""
    assert rehearse("check", "--out", tmp_path).splitlines()[-1] == "all checks passed"
    found = json.loads((tmp_path / "check.json").read_text())
    assert found["failed"] == [] and found["rehearsal"]
    assert set(found["checks"]) == {
        "environment",
        "captured_against_eager",
        "grouped_batch_norm",
        "step_times",
        "profile",
        "gpu_tests",
        "combo_kernels",
        "forced_layout",
    }
    assert found["checks"]["captured_against_eager"]["execution"] == "eager"
    assert (tmp_path / "profile-resnet8.txt").exists()


def test_run(tmp_path: Path) -> None:
    """Speeds, results, weights; a call that starts from these archives trains nothing again."""
    rehearse("run", "--out", tmp_path / "first")
    members = packed(tmp_path / "first")
    results = [name for name in members if name.startswith("reproduction/results/")]
    assert [Path(name).name.partition("-")[0] for name in results] == ["costs.json", "plain20", "resnet20"]
    assert "results/speed/start-up.json" in members
    assert sum(name.endswith("weights.safetensors") for name in members) == 3

    rehearse("run", "--out", tmp_path / "second", "--states", tmp_path / "first", "--table", "0")
    again = packed(tmp_path / "second")
    assert [again[name] for name in results[1:]] == [members[name] for name in results[1:]]


def test_run_is_ended_by_its_deadline(tmp_path: Path) -> None:
    """What is in progress is saved, and comes back in an archive."""
    said = rehearse("run", "--out", tmp_path, "--table", "0", "--deadline", "0")
    assert "the deadline came between two runs" in said or "stopped by SIGTERM" in said
    assert (tmp_path / "results.tar.gz").exists()


def packed(folder: Path) -> dict[str, Any]:
    """Return what the archives of a folder hold, by name: JSON as it is read, of tensors nothing."""
    found = {}
    for archive in folder.glob("*.tar*"):
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = json.load(file) if member.name.endswith(".json") else None
    return dict(sorted(found.items()))
