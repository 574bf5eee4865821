"""Files of other projects are read without running anything that they hold, and damage is said in one line."""

from __future__ import annotations

import argparse
import os
import pickle
import re
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnets.errors import WeightsError
from resnets.weights.import_weights import import_weights
from resnets.weights.readers import read_foreign

SUFFIXES = [".pth", ".pt", ".th", ".bin", ".tar", ".pkl", ".npz", ".h5", ".safetensors", ""]


class Hostile:
    """Touches a file when it is unpickled, by a call of one's choice."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


def hostile_objects(victim: Path) -> list[Any]:
    return [
        Hostile(Path.touch, victim),
        Hostile(os.system, f"touch '{victim}'"),
        Hostile(eval, f"open({str(victim)!r}, 'w')"),
        Hostile(exec, f"open({str(victim)!r}, 'w')"),
        Hostile(np.save, str(victim), 1),
        Hostile(getattr, Hostile(__import__, "pathlib"), "Path"),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_hostile_pickle_is_refused_in_every_disguise_and_never_run(tmp_path: Path, suffix: str) -> None:
    """Alone, next to weights and among them, as a bare pickle, in torch's format and in a NumPy archive."""
    path, victim = tmp_path / f"weights{suffix}", tmp_path / "victim"
    for hostile in hostile_objects(victim):
        for content in (hostile, {"state_dict": {"conv1.weight": hostile}}, {"model": {}, "args": hostile}):
            path.write_bytes(pickle.dumps(content))
            with pytest.raises(WeightsError) as caught:
                import_weights(path)
            assert "\n" not in str(caught.value)
            torch.save(content, path)
            with pytest.raises(WeightsError):
                import_weights(path)
        with open(path, "wb") as file:
            np.savez(file, **{"conv1/0": np.array([hostile], dtype=object)})
        with pytest.raises(WeightsError):
            import_weights(path)
    assert not victim.exists() and not victim.with_suffix(".npy").exists()


def test_the_refusal_says_what_to_do(tmp_path: Path) -> None:
    """The error names the function that the pickle needs, and how to save weights alone."""
    path = tmp_path / "weights.pth"
    torch.save({"model": Hostile(os.system, "true")}, path)
    with pytest.raises(WeightsError, match=r"posix.system"):
        read_foreign(path)
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Hostile(os.system, "true")))
    with pytest.raises(WeightsError, match="posix.system"):
        read_foreign(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 64, b"text", b"PK\3\4" + b"\0" * 100, b"\x89HDF\r\n\x1a\n", b"\x80\x02."]
)
def test_what_is_no_weights_file_is_said_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    """Whatever its ending, the error starts with the path and is one line."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    """A tenth, a half or most of a file is an error in each format."""
    tensors = {"conv1.weight": torch.randn(16, 3, 3, 3)}
    torch.save(tensors, tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", **{"conv1/0": tensors["conv1.weight"].numpy()})
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"conv1_w": tensors["conv1.weight"].numpy()}))
    for name in ("a.pth", "a.npz", "a.pkl"):
        whole = (tmp_path / name).read_bytes()
        assert read_foreign(tmp_path / name)[0]
        for share in (0.1, 0.5, 0.9):
            (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(WeightsError):
                read_foreign(tmp_path / name)


def test_a_missing_file_a_folder_and_a_protobuf_are_said(tmp_path: Path) -> None:
    """Each is an error that says which it is."""
    with pytest.raises(WeightsError, match=r"none.pth: "):
        read_foreign(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path))):
        read_foreign(tmp_path)
    (tmp_path / "a.caffemodel").touch()
    with pytest.raises(WeightsError, match="HDF5"):
        read_foreign(tmp_path / "a.caffemodel")


@pytest.mark.parametrize("entry", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_checkpoints_of_trainers_are_read(tmp_path: Path, entry: str | None, prefix: str) -> None:
    """With what they keep next to the weights: the optimiser's tensors, numbers, and a Namespace of arguments."""
    path, tensor = tmp_path / "checkpoint.pth", torch.randn(2, 3)
    state: Any = OrderedDict({f"{prefix}conv1.weight": tensor, f"{prefix}fc.bias": tensor[0]})
    optimiser = {"state": {0: {"momentum_buffer": tensor}}, "param_groups": [{"lr": 0.1}]}
    checkpoint = {entry: state, "optimizer": optimiser, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    torch.save(state if entry is None else checkpoint, path)
    tensors, about = read_foreign(path)
    assert list(tensors) == ["conv1.weight", "fc.bias"] and torch.equal(tensors["conv1.weight"], tensor)
    assert about == {"file": "checkpoint.pth"}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("factory", [bool, dict, float, int, list, set, str, tuple])
def test_what_trainers_collect_is_read_by_any_protocol(tmp_path: Path, factory: Any, protocol: int) -> None:
    """Default dictionaries, sets and complex numbers next to the weights are harmless, as protocol 2 names them too."""
    path, history = tmp_path / "checkpoint.pth", defaultdict(factory, {"loss": 1.0})
    kept = {"history": history, "seen": {(1, 2)}, "frozen": frozenset({1}), "root": 1j}
    torch.save({"state_dict": {"fc.bias": torch.ones(2)}, **kept}, path, pickle_protocol=protocol)
    assert list(read_foreign(path)[0]) == ["fc.bias"]


def averaged(state: dict[str, torch.Tensor], by: float) -> dict[str, torch.Tensor]:
    """Return what torch's AveragedModel keeps of a state."""
    return {"n_averaged": torch.tensor(7), **{f"module.{key}": tensor + by for key, tensor in state.items()}}


@pytest.mark.parametrize("entry", ["model_ema", "state_dict_ema", None])
def test_which_of_plain_and_averaged_weights_are_taken_is_said(tmp_path: Path, entry: str | None) -> None:
    """The plain ones, unless averaged ones are requested or nothing else is there; the notes name the entry."""
    path, state = tmp_path / "checkpoint.pth", {"conv1.weight": torch.zeros(2, 3, 3, 3), "fc.bias": torch.zeros(2)}
    both = averaged(state, 1.0)
    torch.save(both if entry is None else {"epoch": 1, "model": state, entry: both}, path)
    tensors, about = read_foreign(path)
    (note,) = about["notes"]
    assert list(tensors) == ["conv1.weight", "fc.bias"]
    assert float(tensors["fc.bias"][0]) == (1.0 if entry is None else 0.0)
    assert "averaged" in note and (entry or "") in note
    tensors, _ = read_foreign(path, averaged=True)
    assert list(tensors) == ["conv1.weight", "fc.bias"] and float(tensors["fc.bias"][0]) == 1.0


def test_other_entries_with_weights_are_named(tmp_path: Path) -> None:
    """A number next to the weights is none; averaged weights that are not there are not made up."""
    path, state = tmp_path / "checkpoint.pth", {"conv1.weight": torch.zeros(2, 3, 3, 3)}
    torch.save({"state_dict": state, "net": state, "best": torch.tensor(1.0)}, path)
    assert ["net" in note for note in read_foreign(path)[1]["notes"]] == [True]
    torch.save({"state_dict": state, "best": torch.tensor(1.0)}, path)
    assert "notes" not in read_foreign(path)[1]
    with pytest.raises(WeightsError):
        read_foreign(path, averaged=True)


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    """As those of Detectron's time: protocol 2, byte strings for names."""
    path = tmp_path / "old.pkl"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(pickle.dumps(OrderedDict({"conv1_w": array}), protocol=2))
    assert torch.equal(read_foreign(path)[0]["conv1_w"], torch.from_numpy(array))


def test_an_hdf5_link_out_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """Links and external storage are left out, so that no other file is read."""
    h5py = pytest.importorskip("h5py")
    secret, path = tmp_path / "secret.bin", tmp_path / "a.h5"
    secret.write_bytes(b"\1" * 16)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data/conv1/0"] = np.ones(3)
    with h5py.File(path, "w") as file:
        file["data/conv1/1"] = np.ones(2)
        file["data/link"] = h5py.ExternalLink("other.h5", "/data/conv1/0")
        file.create_dataset("data/conv1/2", (4,), "f4", external=[(str(secret), 0, 16)])
    assert list(read_foreign(path)[0]) == ["data/conv1/1"]
