"""Files that are whole or absent, and tensors on disk that are verified when they are read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnets.errors import RunError, UsageError, WeightsError


def _digest(tensors: dict[str, Tensor], text: str = "") -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all tensors, and over a text."""
    content = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        content.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write tensors and a JSON description to one safetensors file, whole or not at all.

    The file is written under a temporary name, flushed to the disk and renamed; it carries a SHA-256 of everything.

    Raises: OSError, if the disk is full or the folder cannot be written.
    """
    # a copy of each, since the format refuses tensors that share memory, such as tied weights
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    text = json.dumps(description, sort_keys=True)
    content = safetensors.torch.save(plain, {"resnets": text, "sha256": _digest(plain, text)})
    write_durably(path, _sorted_header(content))


def _sorted_header(content: bytes) -> bytes:
    """Return a safetensors file with its header in one order, so that the same tensors are the same bytes."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, so that a power cut does not undo a new or renamed file.

    Where the system or the disk knows no such thing, as Windows and some network disks, there is nothing to wait for.
    """
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(opened)


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn what the system says of a full disk or a closed folder into one clear line.

    Raises: RunError.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{where}: cannot be written ({error.strerror or error})") from error


def require_file(path: Path) -> None:
    """Make sure that a path can be a file's, before the hours whose result is written there.

    Raises: UsageError.
    """
    if path.is_dir():
        raise UsageError(f"{path}: a folder; name a file in it")


def require_folder(path: Path) -> None:
    """Make sure that a path can be a folder's, before the hours whose results are written there.

    Raises: UsageError.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: a file; name a folder")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all, in a folder that is made where there is none.

    Raises: RunError, if it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, (json.dumps(content, indent=2) + "\n").encode())


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object that a JSON file holds; None, where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the description of a safetensors file; its digest is verified where it has one.

    A file of another project has no description: {}.

    Raises: WeightsError, if the file is missing, is no safetensors file, or its content is not what was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: not a safetensors file; pickles (.pt, .pth) can run code; `resnets convert` reads "
            "the weights of one without running any"
        )
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: damaged or not a safetensors file ({error})") from None
    text = header.get("resnets", "")
    if (text or "sha256" in header) and header.get("sha256") != _digest(tensors, text):
        raise WeightsError(f"{path}: damaged: its content is not what was written (SHA-256 differs)")
    return tensors, json.loads(text) if text else {}


_PLAIN_PARTS = (
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
)


class _PlainOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data and arrays do not need")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_plain_pickle(file: IO[bytes]) -> Any:
    """Return what a pickle of plain data and NumPy arrays holds; anything else is refused, so no code runs.

    Python 2's are read too. A damaged pickle raises nearly anything; one that asks for more raises UnpicklingError.
    """
    return _PlainOnly(file, encoding="latin1").load()
