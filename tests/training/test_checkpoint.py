"""Checkpoints are whole or absent, verified when read, and a damaged one costs the step before it at most."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from observing import Recorder
from small_runs import Tiny, checkpoint_name, differences, files, job, names_in, run, tiny_state

from resnets.errors import CheckpointError, TrainingError
from resnets.records.base import as_json
from resnets.training.checkpoint import Checkpoints
from resnets.weights import tensor_file


def _flip(content: bytes, where: float) -> bytes:
    damaged = bytearray(content)
    damaged[min(len(content) - 1, int(where * len(content)))] ^= 0b100
    return bytes(damaged)


def _in_header(text: str) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        return _flip(content, (content.index(text.encode()) + 0.5) / len(content))

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "one byte more": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"this is not a checkpoint",
    "bit flipped in the length of the header": lambda content: _flip(content, 0),
    "bit flipped in a tensor's name": _in_header("network.conv.weight"),
    "bit flipped in a type": _in_header("F32"),
    "bit flipped in the key of the digest": _in_header("sha256"),
    "bit flipped in the key of the description": _in_header("resnets"),
    "bit flipped in the iteration": _in_header("iteration"),
    "bit flipped at 50%": lambda content: _flip(content, 0.5),
    "bit flipped at 70%": lambda content: _flip(content, 0.7),
    "bit flipped at 90%": lambda content: _flip(content, 0.9),
    "last bits flipped": lambda content: _flip(content, 1.0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest(interrupted: Path, reference: Path, damage: str) -> None:
    """The one before is used, this is said, and the run still ends bit-identical."""
    newest = interrupted / "checkpoints" / checkpoint_name(7)
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    recorder = Recorder()
    run(job(process_seed=1), interrupted, recorder)
    assert recorder.notes[0].startswith(f"not used: {newest}: ")
    assert recorder.notes[1:] == [f"continued from iteration 6 ({checkpoint_name(6)})"]
    assert differences(reference, interrupted) == []


@pytest.mark.parametrize("damage", ["empty", "half", "bit flipped at 90%"])
def test_none_valid(interrupted: Path, damage: str) -> None:
    """Where checkpoints exist and none verifies, the run is refused and nothing is changed."""
    for iteration in (6, 7):
        path = interrupted / "checkpoints" / checkpoint_name(iteration)
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = files(interrupted)
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints in .* is valid .*nothing was changed"):
        run(job(), interrupted)
    assert files(interrupted) == before


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_fails_to_be_read(interrupted: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int) -> None:
    """An error of the disk or the system is no damage: nothing is changed, and the newest checkpoint is used later."""
    newest = interrupted / "checkpoints" / checkpoint_name(7)
    before = files(interrupted)
    call = {"file": (Path, "read_bytes"), "folder": (os, "listdir")}[what]
    original = getattr(*call)

    def fails(path: Path) -> Any:
        if Path(path) in (newest, newest.parent):
            raise OSError(number, os.strerror(number))
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(*call, fails)
        with pytest.raises(CheckpointError, match=f"{newest if what == 'file' else newest.parent}: "):
            run(job(), interrupted)
    assert files(interrupted) == before
    recorder = Recorder()
    run(job(process_seed=1), interrupted, recorder)
    assert recorder.notes == [f"continued from iteration 7 ({checkpoint_name(7)})"]


def test_damaged_newest_is_replaced(tmp_path: Path) -> None:
    """A newest that is damaged goes when an earlier iteration is saved, and does not push a valid one out."""
    checkpoints = Checkpoints(tmp_path)
    valid = checkpoints.save(tiny_state(5), "run")
    checkpoints.save(tiny_state(8), "run").write_bytes(b"")
    found = checkpoints.load("run")
    assert found is not None and found.path == valid
    assert checkpoints.paths() == [tmp_path / checkpoint_name(8), valid]
    checkpoints.save(tiny_state(6), "run")
    assert checkpoints.paths() == [tmp_path / checkpoint_name(6), valid]


def test_checkpoint_of_another_run(interrupted: Path) -> None:
    """A checkpoint copied from a run with another recipe, seed or data carries another fingerprint: it is not used."""
    other = job(seed=6)
    before = files(interrupted)
    with pytest.raises(CheckpointError, match="iteration-"):
        run(other, interrupted)
    assert files(interrupted) == before


def test_checkpoint_of_another_network(interrupted: Path, tmp_path: Path) -> None:
    """A valid checkpoint that is not of this network is refused: which file and which tensors."""

    class Wide(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 6, (1, 9), padding=(0, 4))  # as many parameters

    Wide.__name__ = Tiny.__name__

    before = files(interrupted)
    with pytest.raises(CheckpointError, match=rf"{checkpoint_name(7)}: .*conv.weight \(6, 1, 3, 3\)"):
        run(job(network=Wide), interrupted)
    assert files(interrupted) == before


@pytest.mark.parametrize("missing", ["momentum.fc.weight", "meter.wrong", "random.cpu", "network.bn.running_mean"])
def test_checkpoint_without_a_tensor(interrupted: Path, missing: str) -> None:
    """A valid file that lacks a part of the state is refused, not made up for."""
    path = interrupted / "checkpoints" / checkpoint_name(7)
    tensors, header = tensor_file.read_tensors(path)
    del tensors[missing]
    tensor_file.write_tensors(path, tensors, header)
    with pytest.raises(CheckpointError, match=re.escape(missing.removeprefix("network."))):
        run(job(), interrupted)


def test_checkpoint_with_a_wrong_field(interrupted: Path) -> None:
    """A header that is not of this kind is refused, and its field named."""
    for iteration in (6, 7):
        path = interrupted / "checkpoints" / checkpoint_name(iteration)
        tensors, read = tensor_file.read_tensors(path)
        header = as_json(read)
        header["progress"]["schedule"]["warming"] = "yes"
        tensor_file.write_tensors(path, tensors, header)
    with pytest.raises(CheckpointError, match=r"`bool`.*`str`.*`\$.progress.schedule.warming`"):
        run(job(), interrupted)


def test_safetensors_of_another_program(interrupted: Path) -> None:
    """A file with a checkpoint's name but without its description, and so without a digest, is not trusted."""
    tensors, _ = tensor_file.read_tensors(interrupted / "checkpoints" / checkpoint_name(7))
    (interrupted / "checkpoints" / checkpoint_name(8)).write_bytes(tensor_file.safetensors.torch.save(tensors))
    recorder = Recorder()
    run(job(), interrupted, recorder)
    assert recorder.notes[0].endswith(f"{checkpoint_name(8)}: is not a checkpoint of this run")


def test_two_are_kept(tmp_path: Path) -> None:
    """Only the newest two remain, in number and not by name or date; what is no checkpoint is left alone."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    for iteration in (8, 9, 99_999_999, 100_000_000):
        checkpoints.save(tiny_state(iteration), "run")
    assert [path.stem for path in checkpoints.paths()] == ["iteration-100000000", "iteration-99999999"]
    assert (tmp_path / "checkpoints" / "notes.txt").read_text() == "mine"


def test_temporary_files(tmp_path: Path) -> None:
    """What a killed process was writing is never taken for a checkpoint, and goes with the next save."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    path = checkpoints.save(tiny_state(3), "run")
    partial = path.with_name(f".{checkpoint_name(4)}.partial")
    partial.write_bytes(path.read_bytes())
    assert checkpoints.paths() == [path]
    found = checkpoints.load("run")
    assert found is not None and found.path == path and found.skipped == ()
    checkpoints.save(tiny_state(5), "run")
    assert names_in(path.parent) == [checkpoint_name(3), checkpoint_name(5)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["fc.weight", "conv.bias", "bn.running_var", "bn.running_mean"])
def test_not_finite(tmp_path: Path, name: str, value: float) -> None:
    """Weights and batch norm statistics that are not finite are never written."""
    checkpoints = Checkpoints(tmp_path)
    state = tiny_state(3)
    with torch.no_grad():
        state.network.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(TrainingError, match=f"iteration 3: {name} "):
        checkpoints.save(state, "run")
    assert names_in(tmp_path) == []
