"""tools/gpu does on a CPU, in small, what it does on a GPU."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import resnets

GPU = Path(__file__).parents[1] / "tools" / "gpu"


def rehearse(tool: str, *arguments: str | Path) -> str:
    command = [sys.executable, GPU / tool, "--rehearse", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_check(tmp_path: Path) -> None:
    """Each check runs and passes, and its numbers are in one file."""
    assert rehearse("check", "--out", tmp_path).splitlines()[-1] == "8 checks passed"
    found = json.loads((tmp_path / "check.json").read_text())
    assert found["failed"] == found["left_out"] == [] and found["rehearsal"]
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


class Stop(Exception):
    """Ends a training, as a lost machine does."""


class Stopping:
    """An observer that ends a training after its third iteration."""

    def started(self, *_: Any) -> None: ...

    def logged(self, line: dict[str, Any]) -> None:
        if line["iteration"] == 3:
            raise Stop

    def finished(self, *_: Any) -> None: ...

    def closed(self) -> None: ...


def test_run_goes_on_with_an_unfinished_training(tmp_path: Path) -> None:
    """From the checkpoint that an earlier call packed: what was logged before it stays to the last digit."""
    digits = resnets.find_recipe("digits")
    recipe = dataclasses.replace(digits, name="digits-decay-weights-only", decay_all=False)
    run = tmp_path / "reproduction" / "runs" / "plain20-decay-weights-only"
    options: dict[str, Any] = {"iterations": 5, "out": run, "device": "cpu", "save_every": 1}
    with pytest.raises(Stop):
        resnets.train("plain20", "digits", recipe=recipe, observers=[Stopping()], **options)
    before = (run / "metrics.jsonl").read_text().splitlines()[:2]
    states = tmp_path / "states"
    states.mkdir()
    newest = max((run / "checkpoints").glob("*.safetensors"))
    for name, files in (("results.tar.gz", [run / "run.json", run / "metrics.jsonl"]), ("tensors-0.tar", [newest])):
        with tarfile.open(states / name, "w") as tar:
            for path in files:
                tar.add(path, path.relative_to(tmp_path))

    rehearse("run", "--out", tmp_path / "out", "--states", states, "--table", "0")
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as tar:
        log = tar.extractfile(str((run / "metrics.jsonl").relative_to(tmp_path)))
        assert log is not None
        after = log.read().decode().splitlines()
    assert after[:2] == before and json.loads(after[-1])["iteration"] == 5


def test_run_is_ended_by_its_deadline(tmp_path: Path) -> None:
    """Whatever it was doing, what is there comes back in an archive."""
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
