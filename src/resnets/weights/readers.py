"""Files of other projects' weights, read without running any code: torch, safetensors, NumPy, HDF5 and pickles."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor

from resnets.errors import WeightsError, first_line
from resnets.files import read_plain_pickle
from resnets.weights.tensor_file import read_tensors

_ENTRIES = ("state_dict", "model", "model_state_dict", "net", "blobs")  # where checkpoints keep the weights
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def read_foreign(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file by their names there, and what the file says besides.

    What it says is its name as `file`, and timm's `pretrained_cfg`, from a safetensors header or from the config.json
    next to the file. Of a checkpoint only the weights are returned, without the prefixes that wrappers give names.

    Raises: WeightsError, if the file cannot be read, holds no tensors, or would have to run code to be read.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file")
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, not a file of weights")
    match path.suffix.lower():
        case ".safetensors":
            content: Any = read_tensors(path)[0]
        case ".npz":
            content = _npz(path)
        case ".h5" | ".hdf5":
            content = _hdf5(path)
        case ".pkl":
            content = _pickle(path)
        case ".caffemodel":
            raise WeightsError(f"{path}: a Caffe protobuf; let Caffe save it as HDF5 (net.save_hdf5), which is read")
        case _:
            content = _torch(path)
    tensors = _unwrapped(_tensors(content))
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors by their names; it must be a state_dict or hold one")
    return tensors, {"file": path.name, **_config(path)}


def _torch(path: Path) -> Any:
    try:
        # Namespace: the arguments that torchvision's and timm's trainers store with the weights
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: failed to read ({error.strerror or error})") from None
    except pickle.UnpicklingError as error:
        called = re.search(r"GLOBAL ([\w.]+)", str(error))
        if called is None:
            raise WeightsError(f"{path}: damaged or no torch file") from None
        raise WeightsError(
            f"{path}: refused, since it needs {called[1]}, which would run code; save the state_dict alone"
        ) from None
    except Exception as error:  # a damaged file raises nearly anything
        raise WeightsError(f"{path}: damaged or no torch file ({first_line(error)})") from None


def _npz(path: Path) -> Any:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: damaged, or not a NumPy archive of plain arrays ({first_line(error)})") from None


def _hdf5(path: Path) -> Any:
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError:
        raise WeightsError(f"{path}: HDF5 files need h5py: pip install 'resnets[caffe]'") from None
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:  # visititems follows no links; other files may be meant all the same
        elsewhere = isinstance(item, h5py.Dataset) and (item.external is not None or item.is_virtual)
        if isinstance(item, h5py.Dataset) and not elsewhere and item.dtype.kind in "fiu":
            found[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: damaged or not an HDF5 file ({first_line(error)})") from None
    return found


def _pickle(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            return read_plain_pickle(file)
    except OSError as error:
        raise WeightsError(f"{path}: failed to read ({error.strerror or error})") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise WeightsError(
            f"{path}: refused, not a pickle of plain data and NumPy arrays ({first_line(error)})"
        ) from None


def _tensors(content: Any) -> dict[str, Tensor]:
    """Return what is a tensor or an array of numbers in a mapping, or in the entry of it that holds the weights."""
    if not isinstance(content, Mapping):
        return {}
    for entry in _ENTRIES:
        if isinstance(content.get(entry), Mapping) and (inner := _tensors(content[entry])):
            return inner
    found = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.dtype.itemsize <= 8:
            value = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))
        if isinstance(key, str) and isinstance(value, Tensor):
            found[key] = value
    return found


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def _config(path: Path) -> dict[str, Any]:
    """Return timm's configuration, from a safetensors header or from the config.json next to a file; else {}."""
    texts = []
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            texts.append((file.metadata() or {}).get("pretrained_cfg"))
    config = path.with_name("config.json")
    if config.is_file():
        texts.append(config.read_text(errors="replace"))
    for text in texts:
        try:
            found = json.loads(text or "null")
        except ValueError:
            continue
        if (
            isinstance(found, dict)
            and isinstance(config := found.get("pretrained_cfg", found), dict)
            and "mean" in config
        ):
            return {"pretrained_cfg": config}
    return {}
