"""tools/gpu does on a CPU, in small, what it does on a GPU."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from observing import Crash, CrashAt

import resnets

GPU = Path(__file__).parents[1] / "tools" / "gpu"
HERE = ("environment", "captured_against_eager", "grouped_batch_norm", "step_times", "two_at_once", "profile")
ELSEWHERE = ("gpu_tests", "combo_kernels", "forced_layout")  # checks that start a process of their own
DECAY = "reproduction/runs/plain20-decay-weights-only"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back what a tool does on SIGTERM, which it may leave, as it ends with its process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def rehearse(tool: str, *arguments: object) -> int:
    """Run a tool as its command does, but in this process, and return its exit code."""
    loader = SourceFileLoader(f"gpu_{tool}", str(GPU / tool))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [tool, "--rehearse", *map(str, arguments)])
        return module.main()


def packed(folder: Path) -> dict[str, bytes]:
    """Return what the archives of a folder hold, by name."""
    found = {}
    for archive in sorted(folder.glob("*.tar*")):
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


def test_check(tmp_path: Path) -> None:
    """Each check that needs no other process passes, and its numbers are in one file."""
    assert rehearse("check", "--out", tmp_path, *(part for name in HERE for part in ("--only", name))) == 0
    found = json.loads((tmp_path / "check.json").read_text())
    assert found["failed"] == found["left_out"] == [] and found["rehearsal"]
    assert set(found["checks"]) == set(HERE)
    assert found["checks"]["captured_against_eager"]["execution"] == "eager"
    assert (tmp_path / "profile-resnet8.txt").exists()


@pytest.mark.slow
def test_commands(tmp_path: Path) -> None:
    """Both tools from the command line, with the checks and benchmarks that start processes of their own."""
    for tool in ("check", "run"):
        command = [sys.executable, GPU / tool, "--rehearse", "--out", tmp_path / tool]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "check" / "check.json").read_text())
    assert found["failed"] == found["left_out"] == []
    assert set(found["checks"]) == {*HERE, *ELSEWHERE}
    assert "results/speed/start-up.json" in packed(tmp_path / "run")


def interrupted(folder: Path) -> Path:
    """Leave the training whose batch norm does not decay after three iterations, as a run that is archived then."""
    digits = resnets.find_recipe("digits")
    recipe = digits.with_changes(name="digits-decay-weights-only", decay_all=False)
    run = folder / DECAY
    with pytest.raises(Crash):
        resnets.train(
            "plain20",
            "digits",
            recipe=recipe,
            iterations=5,
            out=run,
            device="cpu",
            save_every=1,
            observers=[CrashAt(3)],
        )
    return run


def test_run_and_a_later_call(tmp_path: Path) -> None:
    """Results and weights are packed; a call that starts from them only continues what is unfinished."""
    assert rehearse("run", "--out", tmp_path / "first", "--table", 0) == 0
    members = packed(tmp_path / "first")
    results = [name for name in members if name.startswith("reproduction/results/")]
    assert sorted(Path(name).name.partition("-")[0] for name in results) == ["costs.json", "plain20", "resnet20"]
    assert sum(name.endswith("weights.safetensors") for name in members) == 3

    run = interrupted(tmp_path)
    before = (run / "metrics.jsonl").read_text().splitlines()[:2]
    kept = [name for name in members if not name.startswith(DECAY)]
    for archive in (tmp_path / "first").glob("*.tar*"):
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path, [member for member in tar if member.name in kept], filter="data")
    newest = max((run / "checkpoints").glob("*.safetensors"))
    unfinished = [run / "run.json", run / "metrics.jsonl", newest]
    (tmp_path / "states").mkdir()
    with tarfile.open(tmp_path / "states" / "all.tar", "w") as tar:
        for path in [*(tmp_path / name for name in kept), *unfinished]:
            tar.add(path, path.relative_to(tmp_path))

    assert rehearse("run", "--out", tmp_path / "second", "--states", tmp_path / "states", "--table", 0) == 0
    again = packed(tmp_path / "second")
    trained = [name for name in results if not name.endswith("costs.json")]
    assert [again[name] for name in trained] == [members[name] for name in trained]
    after = again[f"{DECAY}/metrics.jsonl"].decode().splitlines()
    assert after[:2] == before and json.loads(after[-1])["iteration"] == 5


def test_run_is_ended_by_its_deadline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it was doing, what is there comes back in an archive."""
    rehearse("run", "--out", tmp_path, "--table", 0, "--deadline", 0)
    said = capsys.readouterr().out
    assert "the deadline came between two runs" in said or "stopped by SIGTERM" in said
    assert (tmp_path / "results.tar.gz").exists()
