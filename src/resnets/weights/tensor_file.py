"""Tensors in safetensors files, verified when they are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnets.errors import RecordError, WeightsError, first_line
from resnets.files import read_bytes, reading, require_expansion, size_on_disk, write_durably
from resnets.records.base import Record, decode, encode
from resnets.records.headers import Header


def _digest(tensors: dict[str, Tensor], text: str = "") -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all tensors, and over a text."""
    content = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        content.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], header: Record) -> None:
    """Write tensors, and a record of what they are as their header, to one safetensors file, whole or not at all.

    The file is written under a temporary name, flushed to the disk and renamed; it carries a SHA-256 of everything.

    Raises: OSError, if the disk is full or the folder cannot be written.
    """
    # a copy of each, since the format refuses tensors that share memory, such as tied weights
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    text = encode(header).decode()
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


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Header | None]:
    """Return the tensors and the header of a safetensors file, whose digest is verified; None of another project's.

    Raises: WeightsError, if the file is missing, is no safetensors file, its content is not what was written, or a
        field of its header is wrong.
    """
    with reading(path, WeightsError):
        content = read_bytes(path)
    return parse_tensors(content, path)


def parse_tensors(content: bytes, path: Path) -> tuple[dict[str, Tensor], Header | None]:
    """Return what `read_tensors` returns, of a file's content. Raises: WeightsError."""
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: not a safetensors file; pickles (.pt, .pth) can run code; `resnets convert` reads "
            "the weights of one without running any"
        )
    try:
        tensors = safetensors.torch.load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    except Exception as error:  # a damaged file raises nearly anything
        raise WeightsError(f"{path}: damaged or not a safetensors file ({first_line(error)})") from None
    text = metadata.get("resnets", "")
    if (text or "sha256" in metadata) and metadata.get("sha256") != _digest(tensors, text):
        raise WeightsError(f"{path}: damaged: its content is not what was written (SHA-256 differs)")
    return tensors, _header(text, path)


def read_header(path: Path) -> Header | None:
    """Return the header of a safetensors file, without its tensors; None of another project's.

    Raises: WeightsError, if it cannot be read, or a field is wrong.
    """
    try:
        require_expansion(path, size_on_disk(path)[0])
        with safetensors.safe_open(path, "pt") as content:
            metadata = content.metadata() or {}
    except Exception as error:
        raise WeightsError(f"{path}: damaged or not a safetensors file ({first_line(error)})") from None
    return _header(metadata.get("resnets", ""), path)


def _header(text: str, path: Path) -> Header | None:
    try:
        return decode(text, cast("type[Header]", Header), path) if text else None
    except RecordError as error:
        raise WeightsError(f"{error}; was its header written by a newer version?") from None
