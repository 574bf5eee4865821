"""Files of other projects' weights, read without running any code: torch, safetensors, NumPy, HDF5 and pickles."""

from __future__ import annotations

import json
import re
import string
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor

from resnets.errors import UsageError, WeightsError, first_line, import_extra
from resnets.files import read_bytes, require_expansion, sha256_of, size_on_disk
from resnets.pickles import Refused, read_pickle
from resnets.weights import entries
from resnets.weights.tensor_file import read_tensors
from resnets.weights.torch_file import is_zip, read_torch, verify_zip

_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def read_foreign(path: Path, *, averaged: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file by their names there, and what the file says besides.

    What it says is its name as `file`; timm's `pretrained_cfg`, from a safetensors header or from the config.json next
    to the file; the `architecture`, and unusual `options` of it, that the checkpoint or config.json names; and `notes`
    on which weights were taken. Of a checkpoint only the weights are returned, or the `averaged` ones, without the
    prefixes that wrappers give names.

    Raises: WeightsError, if the file cannot be read, holds no tensors or no averaged ones, or would have to run code to
        be read; UsageError, for an HDF5 file where h5py is not installed.
    """
    if path.suffix.lower() == ".caffemodel":
        raise WeightsError(f"{path}: a Caffe protobuf; let Caffe save it as HDF5 (net.save_hdf5), which is read")
    what, read = _READERS.get(path.suffix.lower(), ("a torch file", read_torch))
    try:
        require_expansion(path, size_on_disk(path)[0])
        _require_hash(path)
        content = read(path)
        arrays, notes = entries.choose(path, content, averaged=averaged)
        tensors = _unwrapped(_tensors(path, arrays))
        about = {"file": path.name, **entries.network_of(content), **_config(path)}
        if notes:
            about["notes"] = tuple(notes)
    except (WeightsError, UsageError):
        raise
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise WeightsError(f"{path}: a folder, not a file of weights") from None
    except Refused as error:
        raise WeightsError(f"{path}: refused, since {error}; save the state_dict alone") from None
    except Exception as error:  # a damaged file raises nearly anything
        if isinstance(error, OSError) and error.strerror:
            raise WeightsError(f"{path}: failed to read ({error.strerror})") from None
        raise WeightsError(f"{path}: damaged, or not {what} ({first_line(error)})") from None
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors by their names; it must be a state_dict or hold one")
    return tensors, about


def _require_hash(path: Path) -> None:
    """Compare the hash in names such as resnet50-0676ba61.pth, as torch.hub does; eight digits alone may be a date."""
    named = re.search(r"-([0-9a-f]{8}|[0-9a-f]{64})\.\w+$", path.name)
    if named is not None and not set(named[1]) <= set(string.digits):
        found = sha256_of(path)
        if not found.startswith(named[1]):
            raise WeightsError(
                f"{path}: damaged, or another file: its SHA-256 starts with {found[:8]}, and its name says {named[1]}; "
                f"fetch it again, or rename it"
            )


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of a .npz file by their names, or the one of a .npy file. Raises nearly anything."""
    if is_zip(path):
        with zipfile.ZipFile(path) as archive:
            verify_zip(path, archive)
    content = np.load(path, allow_pickle=False)
    if isinstance(content, np.ndarray):
        return {"": content}
    with content:
        return dict(content)


def _hdf5(path: Path) -> Any:
    h5py = import_extra("h5py", "caffe")
    arrays: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:  # visititems follows no links; other files may be meant all the same
        elsewhere = isinstance(item, h5py.Dataset) and (item.external is not None or item.is_virtual)
        if isinstance(item, h5py.Dataset) and not elsewhere and item.dtype.kind in "fiu":
            arrays[name] = item

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        require_expansion(path, sum(item.nbytes for item in arrays.values()))
        return {name: item[()] for name, item in arrays.items()}


_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    ".safetensors": ("a safetensors file", lambda path: read_tensors(path)[0]),
    ".npz": ("a NumPy archive of plain arrays", read_arrays),
    ".h5": ("an HDF5 file", _hdf5),
    ".hdf5": ("an HDF5 file", _hdf5),
    ".pkl": ("a pickle of plain data and NumPy arrays", lambda path: read_pickle(BytesIO(read_bytes(path)))),
}


def _tensors(path: Path, arrays: dict[str, Any]) -> dict[str, Tensor]:
    """Return arrays of numbers as tensors."""
    require_expansion(path, sum(value.nbytes for value in arrays.values()))  # parts of one storage may overlap
    return {
        key: torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))
        if isinstance(value, np.ndarray)
        else value
        for key, value in arrays.items()
    }


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def _config(path: Path) -> dict[str, Any]:
    """Return timm's configuration, from a safetensors header and the config.json next to a file; else {}."""
    texts = []
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            texts.append((file.metadata() or {}).get("pretrained_cfg"))
    config = path.with_name("config.json")
    if config.is_file():
        texts.append(read_bytes(config, 10_000_000).decode(errors="replace"))
    about: dict[str, Any] = {}
    for text in texts:
        try:
            found = json.loads(text or "null")
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict):
            continue
        if isinstance(config := found.get("pretrained_cfg", found), dict) and "mean" in config:
            about.setdefault("pretrained_cfg", config)
        if isinstance(found.get("architecture"), str):
            about = entries.network_of(found) | about
    return about
