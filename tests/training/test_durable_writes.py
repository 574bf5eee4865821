"""Files are written whole or not at all, durably, and a full disk is one clear error that costs nothing older."""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from small_runs import checkpoint_name, differences, files, job, run, tiny_state

from resnets.errors import RunError
from resnets.records.headers import ClassifierHeader
from resnets.specs import InputSpec
from resnets.training.checkpoint import Checkpoints
from resnets.training.run_folder import RunFolder
from resnets.weights import tensor_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="open files are looked into by /proc")


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _files_end_at(size: int) -> Iterator[None]:
    """Let every write beyond a size fail, as on a full disk, after a part of the file has been written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk(interrupted: Path, reference: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """One clear error that names the file; the older checkpoints are intact and nothing half-written is left."""
    before = files(interrupted)
    original = getattr(os, call)

    def fails(*arguments: object) -> None:
        name = str(Path(f"/proc/self/fd/{arguments[0]}").readlink()) if call == "fsync" else str(arguments[0])
        _full() if checkpoint_name(8) in name else original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(RunError, match=r"00008\S+: .*No space left on device.*00007"):
            run(job(), interrupted)
    after = files(interrupted)
    assert {name: after[name] for name in after if "checkpoints" in name} == {
        name: before[name] for name in before if "checkpoints" in name
    }
    run(job(process_seed=1), interrupted)
    assert differences(reference, interrupted) == []


def test_write_that_breaks_off(interrupted: Path, reference: Path) -> None:
    """A checkpoint of which only a part can be written leaves no trace."""
    before = files(interrupted)
    with (
        _files_end_at(8_000),
        pytest.raises(RunError, match=rf"{checkpoint_name(8)}: failed to write \(File too large\)"),
    ):
        run(job(), interrupted)
    new = files(interrupted).keys() - before.keys()
    assert all(name.startswith("tensorboard") for name in new) and not before.keys() - files(interrupted).keys()
    run(job(process_seed=1), interrupted)
    assert differences(reference, interrupted) == []


@pytest.mark.filterwarnings("ignore:the run goes on without its observer TensorBoard")
def test_log_that_breaks_off(interrupted: Path, reference: Path) -> None:
    """A line of the log of which only a part can be written is an error too, and is repeated on resumption."""
    size = (interrupted / "metrics.jsonl").stat().st_size
    with _files_end_at(size + 30), pytest.raises(RunError, match="metrics.jsonl: "):
        run(job(save_every=100), interrupted)
    assert not (interrupted / "metrics.jsonl").read_text().endswith("\n")
    run(job(process_seed=1), interrupted)
    assert differences(reference, interrupted) == []


def test_order_of_a_durable_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is on the disk before it gets its name, its name before the older files go, all by fsync."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(tiny_state(1), "run")
    checkpoints.save(tiny_state(2), "run")
    calls: list[str] = []
    fsync, replace, unlink = os.fsync, os.replace, Path.unlink

    def noted_fsync(file: int) -> None:
        calls.append(f"fsync {Path(f'/proc/self/fd/{file}').readlink().name}")
        fsync(file)

    def noted_replace(source: Path, target: Path) -> None:
        calls.append(f"rename {source.name} {target.name}")
        replace(source, target)

    def noted_unlink(path: Path, missing_ok: bool = False) -> None:
        calls.append(f"remove {path.name}")
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    checkpoints.save(tiny_state(3), "run")
    partial = f".{checkpoint_name(3)}.partial"
    assert calls == [
        f"fsync {partial}",
        f"rename {partial} {checkpoint_name(3)}",
        "fsync checkpoints",
        f"remove {checkpoint_name(1)}",
    ]


def test_the_log_is_on_the_disk_before_a_checkpoint_that_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines are not synced one by one, which a GPU would wait for, but none is missing below a checkpoint, nor is
    the log's name in its folder."""
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def noted_fsync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        logged = path.read_bytes().count(b"\n") if path.name == "metrics.jsonl" else 0
        synced.append(("folder" if path == tmp_path else path.name, logged))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    run(job(save_every=6), tmp_path)
    logged = [lines for name, lines in synced if name == "metrics.jsonl"]
    names = [name for name, _ in synced if name.startswith((".iteration", "metrics"))]
    at = [name for name, _ in synced].index("metrics.jsonl")
    assert synced[at + 1][0] == "folder"
    assert logged == [3, 6]  # after iterations 3, 5, 6 and 9, 10, 12
    assert names[:2] == ["metrics.jsonl", f".{checkpoint_name(6)}.partial"]
    assert names[2:] == ["metrics.jsonl", f".{checkpoint_name(12)}.partial"]


def test_new_folders_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new folder's name is synced in its parent; what was there is left as it is."""
    synced: list[Path] = []
    fsync = os.fsync

    def noted_fsync(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink())
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    with RunFolder(tmp_path / "runs" / "one"):
        assert synced == [tmp_path, tmp_path / "runs"]
    with RunFolder(tmp_path / "runs" / "one"):
        assert len(synced) == 2


def test_permissions(tmp_path: Path) -> None:
    """Files have the permissions that the process's umask gives, not those of temporary files."""
    before = os.umask(0o027)
    try:
        path = Checkpoints(tmp_path / "checkpoints").save(tiny_state(), "run")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


def test_round_trip(tmp_path: Path) -> None:
    """What is read is what was written, of every type and memory layout; a view's neighbours are not written."""
    weights = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    tensors = {
        "a": weights,
        "b": weights.transpose(0, 1),
        "c": torch.tensor(True),
        "d": torch.randn(3).to(torch.bfloat16),
        "e": torch.zeros(0, 4),
        "f": torch.arange(1_000_000)[5:9],
        "g": torch.tensor(-(2**62)),
    }
    path = tmp_path / "x.safetensors"
    header = ClassifierHeader(
        classes=("ü", "\u2028"), input=InputSpec(size=1, resize=1, mean=(0.1 + 0.2, 1 / 3, 1e-300))
    )
    tensor_file.write_tensors(path, tensors, header)
    read, found = tensor_file.read_tensors(path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) and read[name].dtype == tensors[name].dtype for name in tensors)
    assert found == header
    assert path.stat().st_size < 10_000


def test_error_names_a_valid_checkpoint(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a resumed run fails, it is the checkpoint it came from that is named, not a damaged newer one."""
    (interrupted / "checkpoints" / checkpoint_name(7)).write_bytes(b"")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(RunError, match=f"the last valid checkpoint is .*{checkpoint_name(6)}"):
        run(job(), interrupted)
