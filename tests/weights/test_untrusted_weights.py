"""Weights files that were made to do harm, or were damaged: each is refused in one line, in time and within memory."""

from __future__ import annotations

import io
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from fuzzing import COUNTS, fuzz

from resnets.errors import WeightsError
from resnets.weights.readers import read_foreign

# ---------------------------------------------------------------- made to do harm

TYPE = b"cnumpy\ndtype\n(U\x02%sK\x00K\x01tRq\x01(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btRq\x02(K\x01%sh\x01%sT%s%stb"
LATE = b"0h\x01(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"  # the type's state, changed afterwards


def array(kind: bytes, shape: bytes, data: bytes) -> bytes:
    return TYPE % kind + b"0" + ARRAY % (shape, b"I00\n", struct.pack("<I", len(data)), data) + b"q\x03"


def tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int, count: int = 4) -> bytes:
    """Return a pickle of a tensor in a storage of four floats, with sizes of one's choice."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ%stQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage % struct.pack("<i", count)
    pieces = b"".join(pickle.dumps(piece, 2)[2:-1] for piece in (offset, size, stride))
    return b"\x80\x02}X\x01\x00\x00\x00w" + rebuilt + pieces + b"\x89}tRs."


W = b"\x80\x02}X\x01\x00\x00\x00w"  # the start of {"w": ...}
COLLIDING = b"".join(b"\x8a\x0b" + ((2**61 - 1) * n).to_bytes(11, "little") + b"N" for n in range(100))
PAIRS, COPY = b"(K\x01K\x02l" * 5_000, b"ccollections\nOrderedDict\nh\x01\x85R"
PICKLES = {
    "an array of objects": W + array(b"O8", b"K\x01\x85", b"A" * 8) + b"s.",
    "a type that changes later": W + array(b"f8", b"K\x01\x85", b"A" * 8) + LATE + b"0h\x03s0N.",
    "an array larger than its bytes": W + array(b"f8", b"J\xff\xff\xff\x7f\x85", b"A" * 8) + b"s.",
    "a key nested 50,000 deep": b"\x80\x02})" + b"\x85" * 50_000 + b"K\x01s.",
    "a list nested 50,000 deep": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "a memo of 32 GB": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a text of a petabyte": b"\x80\x04\x8d" + (10**15).to_bytes(8, "little") + b"x.",
    "a dict of itself": b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.",
    "keys that collide": b"\x80\x02}(" + COLLIDING + b"u.",
    "a dict copied 3,000 times": b"\x80\x02](](" + PAIRS + b"eq\x010(" + COPY * 3_000 + b"l.",
    "attributes of a class": b"\x80\x02ccollections\nOrderedDict\nN}X\x07\x00\x00\x00__new__K\x01s\x86b.",
    "a call of 50,000 arguments": b"\x80\x02ccollections\nCounter\n(" + b"N" * 50_000 + b"tR.",
}
TENSORS = {
    "a tensor beyond its storage": tensor((4,), (1,), 1),
    "a tensor before its storage": tensor((2,), (1,), -2),
    "a tensor of negative strides": tensor((2,), (-1,), 1),
    "a tensor of a petabyte in four numbers": tensor((2**50,), (0,), 0),
    "a tensor of a negative size": tensor((-4, -1), (1, 1), 0),
    "a tensor of a size of 10,000 digits": tensor((10**10_000,) * 8, (0,) * 8, 0),
    "a storage larger than its bytes": tensor((4,), (1,), 0, 5),
    "a storage of a negative size": tensor((4,), (1,), 0, -4),
}


def torch_zip(pickled: bytes, method: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in {"data.pkl": pickled, "data/0": bytes(16), **entries}.items():
            archive.writestr(f"archive/{name}", data)
    return content.getvalue()


READ = """
import resource, sys
from pathlib import Path
from resnets.errors import WeightsError
from resnets.weights.readers import read_foreign

resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux that of the process that started this one
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_foreign(path)
        print(path.name, "READ")
    except WeightsError as error:
        print(path.name, "refused" if "\\n" not in str(error) else "in several lines")
print("all", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000)
"""


def test_no_file_ends_the_process_or_takes_its_memory(tmp_path: Path) -> None:
    """Pickles that are known to crash NumPy or Python, as such and in torch's two formats."""
    for number, content in enumerate(PICKLES.values()):
        (tmp_path / f"{number}.pkl").write_bytes(content)
        (tmp_path / f"{number}.pth").write_bytes(torch_zip(content))
        (tmp_path / f"{number}.th").write_bytes(old_start() + content)
    for number, content in enumerate(TENSORS.values()):
        (tmp_path / f"tensor{number}.pth").write_bytes(torch_zip(content))
    files = len(list(tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == files + 1, done.stderr
    assert [line for line in lines[:-1] if not line.endswith(" refused")] == [] and lines[-1] == "all True"


def old_start() -> bytes:
    """Return what a file of torch before 1.6 starts with: its magic number, its version, its system."""
    content = io.BytesIO()
    torch.save({}, content, _use_new_zipfile_serialization=False)
    start = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001))
    assert content.getvalue().startswith(start)
    return start + pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)


def expanding(suffix: str, size: int) -> bytes:
    """Return a small file that declares so many bytes of content."""
    content = io.BytesIO()
    if suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(content, "w") as file:
            file.create_dataset("w", (size // 8,), "f8")  # and no number is written
        return content.getvalue()
    if suffix == ".npz":
        np.savez_compressed(content, w=np.zeros(50_000))
    else:
        content.write(torch_zip(b"\x80\x02}.", zipfile.ZIP_DEFLATED))
    whole = bytearray(content.getvalue())
    at = whole.index(b"PK\1\2") + 24
    whole[at : at + 4] = size.to_bytes(4, "little")
    return bytes(whole)


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".h5"])
def test_content_that_is_much_larger_than_its_file_is_refused_by_what_it_declares(tmp_path: Path, suffix: str) -> None:
    """Sizes are read before anything is unpacked."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(expanding(suffix, 600_000_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(WeightsError, match=r"declares 600,0\d\d,"):
        read_foreign(path)


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".npz", ".h5", ".safetensors"])
def test_a_file_of_holes_is_refused(tmp_path: Path, suffix: str) -> None:
    """A sparse file of 3 GB is refused by its size in each format."""
    path = tmp_path / f"weights{suffix}"
    with open(path, "wb") as file:
        file.write(b"\x80\x02")
        file.truncate(3 * 10**9)
    with pytest.raises(WeightsError, match=r"3,000,000,000 bytes"):
        read_foreign(path)


# ---------------------------------------------------------------- damaged


@pytest.mark.parametrize("old", [False, True])
def test_tensors_of_every_type_are_what_torch_reads(tmp_path: Path, old: bool) -> None:
    """Views of one storage, transposed, empty, scalar and parameters, in both of torch's formats."""
    path, base = tmp_path / "a.pth", torch.arange(24.0).reshape(4, 6)
    kinds = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8)
    tensors: dict[str, Any] = {str(kind): base.to(kind) for kind in (*kinds, torch.uint8, torch.bool)}
    tensors |= {"part": base[1:3, 2:], "turned": base.T, "empty": torch.empty(0, 3), "scalar": torch.tensor(7)}
    tensors["parameter"] = torch.nn.Parameter(base)
    torch.save(tensors, path, _use_new_zipfile_serialization=not old)
    found, _ = read_foreign(path)
    assert found.keys() == tensors.keys()
    for name, theirs in tensors.items():
        assert found[name].dtype == theirs.dtype and torch.equal(found[name], theirs), name


def test_every_flipped_bit_of_a_torch_file_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    """No flipped bit gives other tensors than were saved."""
    path, weights = tmp_path / "a.pth", {"w": torch.arange(64.0), "b": torch.ones(3)}
    torch.save(weights, path)
    whole, refused = path.read_bytes(), 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            found, _ = read_foreign(path)
            assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in found)
        except WeightsError:
            refused += 1
    assert refused > 64 * 4 // 3  # at least the tensors' own bytes


def test_a_damaged_array_in_a_numpy_archive_is_noticed(tmp_path: Path) -> None:
    """A changed byte inside an array is an error."""
    path = tmp_path / "a.npz"
    np.savez(path, w=np.arange(100.0))
    whole = path.read_bytes()
    at = whole.index(np.arange(100.0).tobytes()) + 400
    path.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(WeightsError):
        read_foreign(path)


@pytest.mark.parametrize(("digits", "right"), [(8, True), (64, True), (8, False), (64, False)])
def test_the_hash_in_a_name_is_compared(tmp_path: Path, digits: int, right: bool) -> None:
    """As torch.hub writes it: resnet50-0676ba61.pth. A date is no hash."""
    plain = tmp_path / "resnet20-20201231.pth"
    torch.save({"w": torch.ones(3)}, plain)
    assert read_foreign(plain)[0]
    known = sha256(plain.read_bytes()).hexdigest()[:digits] if right else ("0badc0de" * 8)[:digits]
    named = plain.rename(tmp_path / f"resnet20-{known}.pth")
    if right:
        assert read_foreign(named)[0]
    else:
        with pytest.raises(WeightsError, match=re.escape(known)):
            read_foreign(named)


@pytest.mark.parametrize(("flag", "method"), [(1, None), (0, 99)])
def test_an_encrypted_archive_and_an_unknown_method_are_said(tmp_path: Path, flag: int, method: int | None) -> None:
    """Archives that NumPy cannot unpack are an error, not an exception of zipfile."""
    path = tmp_path / "a.npz"
    np.savez(path, w=np.ones(3))
    content = bytearray(path.read_bytes())
    for start, at in ((content.index(b"PK\3\4"), 6), (content.index(b"PK\1\2"), 8)):
        content[start + at] |= flag
        if method is not None:
            content[start + at + 2] = method
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match=path.name):
        read_foreign(path)


# ---------------------------------------------------------------- fuzzed


def small_file(suffix: str, path: Path) -> bytes:
    """Return a small weights file as that format's own library writes it."""
    arrays = {"conv1.weight": np.arange(12, dtype=np.float32).reshape(2, 6), "fc.bias": np.arange(3.0)}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    match suffix:
        case ".pth":
            torch.save({"state_dict": tensors, "epoch": 3}, path)
        case ".th":
            torch.save(tensors, path, _use_new_zipfile_serialization=False)
        case ".pkl":
            path.write_bytes(pickle.dumps({"model": arrays}, 2))
        case ".npz":
            np.savez_compressed(path, **arrays)
        case ".safetensors":
            path.write_bytes(safetensors.torch.save(tensors, {"pretrained_cfg": '{"mean": [1]}'}))
        case _:
            h5py = pytest.importorskip("h5py")
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(f"data/{name}/0", data=array, compression="gzip")
    return path.read_bytes()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("suffix", [".pth", ".th", ".pkl", ".npz", ".safetensors", ".h5"])
def test_damaged_weights_are_read_or_refused(tmp_path: Path, suffix: str, count: int) -> None:
    """Damaged files are read or give a WeightsError of one line."""
    path = tmp_path / f"a{suffix}"

    def read(variant: bytes) -> None:
        path.write_bytes(variant)
        read_foreign(path)

    fuzz(read, small_file(suffix, path), count, documented=WeightsError)
