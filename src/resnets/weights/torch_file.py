"""Files of `torch.save`, zip archives and the format before torch 1.6, read without running anything, and verified."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.errors import WeightsError
from resnets.files import read_bytes, require_expansion, size_on_disk
from resnets.pickles import PLAIN, Named, Opaque, Settings, read_pickle

MAGIC = 0x1950A86A20F9469CFC6C  # of the format before 1.6

_STORAGES = {
    **{"Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    "Bool": torch.bool,
}


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """Return a part of a storage. Raises: ValueError, if it is larger than that."""
    if not isinstance(storage, Tensor) or not isinstance(size, tuple) or len(size) > 8:
        raise ValueError("a tensor without a storage or without a shape")
    if not all(isinstance(side, int) and 0 <= side < 1 << 48 for side in size):
        raise ValueError("a tensor whose shape is not of numbers")
    if 0 in size:
        return torch.empty(size, dtype=storage.dtype)
    if math.prod(size) > storage.numel():
        raise ValueError(f"a tensor of {math.prod(size):,} elements in a storage of {storage.numel():,}")
    return storage.as_strided(size, stride, offset)


def _typed_tensor(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, kind: Any, *_: Any) -> Any:
    return _tensor(storage.view(kind.value), offset, size, stride)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("a parameter without a tensor")
    return data


_BUILTINS: dict[str, Any] = {
    **dict.fromkeys(("complex", "frozenset", "set"), Opaque),
    **dict.fromkeys(("bool", "dict", "float", "int", "list", "str", "tuple"), None),  # what defaultdicts make
    **dict.fromkeys(("long", "unicode"), None),  # int and str of protocol 2
}
"""Python's own types, whose module is `__builtin__` up to protocol 2, which `torch.save` writes."""

KNOWN: dict[str, Any] = {
    **PLAIN,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{f"torch.{cuda}{name}Storage": kind for name, kind in _STORAGES.items() for cuda in ("", "cuda.")},
    "torch.storage.UntypedStorage": torch.uint8,
    **{str(kind): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)},
    # what trainers store with the weights
    "argparse.Namespace": Settings,
    **dict.fromkeys(("torch.device", "torch.Size", "torch.serialization._get_layout"), Opaque),
    **dict.fromkeys(("collections.Counter", "collections.defaultdict"), Opaque),
    **{f"{module}.{name}": kind for module in ("builtins", "__builtin__") for name, kind in _BUILTINS.items()},
}
"""What a file of weights may name."""


def read_torch(path: Path) -> Any:
    """Return what a file of `torch.save` holds, its tensors on the CPU.

    Raises: Refused, if it would have to run code; OSError, if it cannot be read; nearly anything, if it is damaged.
    """
    if is_zip(path):
        with zipfile.ZipFile(path) as archive:
            return _read_zip(path, archive)
    content = read_bytes(path)
    file = BytesIO(content)
    if read_pickle(file) != MAGIC:
        raise ValueError("it does not start as one")
    return _read_old(file, len(content))


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip archive by its first bytes. Raises: OSError, if it cannot be read."""
    require_expansion(path, size_on_disk(path)[0])
    with open(path, "rb") as file:
        return file.read(4) == b"PK\3\4"


def verify_zip(path: Path, archive: zipfile.ZipFile) -> None:
    """Check what an archive declares and, by the CRC-32 of each entry, holds. Raises: OSError, BadZipFile."""
    require_expansion(path, sum(entry.file_size for entry in archive.infolist()))
    if damaged := archive.testzip():
        raise zipfile.BadZipFile(f"the CRC-32 of {damaged} differs")


def _read_zip(path: Path, archive: zipfile.ZipFile) -> Any:
    verify_zip(path, archive)
    names = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
        raise WeightsError(f"{path}: written on a big-endian machine; save it again on another")

    def content_of(key: str, kind: torch.dtype, count: int) -> Tensor:
        content = bytearray(archive.read(names[f"data/{key}"]))
        return torch.frombuffer(content, dtype=kind, count=count) if count else torch.empty(0, dtype=kind)

    return read_pickle(BytesIO(archive.read(names["data.pkl"])), KNOWN, _Storages(content_of).find)


class _Storages:
    """The storages of a file, each read once, when a tensor first needs it."""

    def __init__(self, read: Callable[[str, torch.dtype, int], Tensor]) -> None:
        self.read = read
        self.found: dict[str, Tensor] = {}

    def find(self, identifier: Any) -> Tensor:
        """Return the storage that a persistent id means."""
        what, kind, key, _, count, *view = identifier
        if what != "storage" or not isinstance(kind, Named) or not isinstance(kind.value, torch.dtype):
            raise ValueError("a persistent id of no storage")
        if not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise ValueError("a storage without a name or a size")
        if key not in self.found:
            self.found[key] = self.read(key, kind.value, count)
        storage = self.found[key]
        if storage.dtype != kind.value:
            storage = storage.view(kind.value)
        if view and view[0] is not None:
            _, offset, size = view[0]
            storage = storage[offset : offset + size]
        return storage


def _read_old(file: BytesIO, size: int) -> Any:
    """Return what follows the magic number: the version, the system, the object, and the storages' content."""
    left = size

    def reserve(key: str, kind: torch.dtype, count: int) -> Tensor:
        nonlocal left
        left -= count * kind.itemsize
        if left < 0:
            raise ValueError("it declares more than it holds")
        return torch.empty(count, dtype=kind)

    storages = _Storages(reserve)
    version, system = read_pickle(file), read_pickle(file)
    if version != 1001 or system.get("little_endian") is not True:
        raise ValueError("it is of another version, or of a big-endian machine")
    found = read_pickle(file, KNOWN, storages.find)
    for key in read_pickle(file):
        storage = storages.found[key]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.numel():
            raise ValueError(f"storage {key} has {count:,} elements instead of {storage.numel():,}")
        if count:
            content = bytearray(file.read(count * storage.itemsize))
            storage.copy_(torch.frombuffer(content, dtype=storage.dtype, count=count))
        del storages.found[key]
    if storages.found:
        raise ValueError(f"storage {next(iter(storages.found))} is missing")
    return found
