"""Fuzzing of readers: damaged variants of a small file, of which each is read or refused as documented."""

from __future__ import annotations

import hashlib
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import safetensors.torch
from torch import Tensor

COUNTS = [200, pytest.param(5_000, marks=pytest.mark.slow)]
"""Variants of a file, for `pytest.mark.parametrize("count", COUNTS)`."""

SECONDS, MEGABYTES = 20, 2_000  # that one file may take

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 2**63 - 1, 2**64 - 1)
WORDS = (
    *(b"null", b"true", b"-1", b"0", b"1.7", b"1e999", b"NaN", b"100000000", b"1" + b"0" * 30, b'""', b"[]", b"{}"),
    *(b'"\\ud800"', b'"\\u001b[31m"', b"\xff\xfe", b"[" * 2_000, b'{"a":' * 2_000, b'"' + b"x" * 5_000 + b'"'),
)


def variants(content: bytes, count: int, *, seed: int = 0, text: bool = False) -> Iterator[bytes]:
    """Yield damaged variants of a file; of a text its numbers and strings are replaced too."""
    draw = random.Random(seed)
    values = list(re.finditer(rb'"[^"]*"|-?[0-9][0-9.eE+-]*|(?<=>)[^<>]+(?=<)', content)) if text else []
    for _ in range(count):
        damaged = content
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            if values and damaged is content and draw.random() < 0.6:
                start, stop = draw.choice(values).span()
                damaged = damaged[:start] + draw.choice(WORDS) + damaged[stop:]
            else:
                damaged = _damaged(damaged, draw)
        yield damaged


def _damaged(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    size = min(draw.choice((1, 2, 8, 64, 512)), len(content) - at)
    match draw.randrange(7):
        case 0 if size:  # a flipped bit
            return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
        case 1:  # other bytes
            return content[:at] + draw.randbytes(size) + content[at + size :]
        case 2:  # zeros
            return content[:at] + bytes(size) + content[at + size :]
        case 3:  # a number
            width = draw.choice((1, 2, 4, 8))
            number = (draw.choice(NUMBERS) % 256**width).to_bytes(width, draw.choice(("little", "big")))
            return content[:at] + number + content[at + width :]
        case 4:  # a part is lost
            return content[:at] + content[at + size :]
        case 5:  # a part is there twice
            return content[: at + size] + content[at:]
        case _:  # the end is lost
            return content[:at]


@dataclass
class Figures:
    """What became of the variants; time and memory are those of the most expensive one."""

    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0


def fuzz(
    read: Callable[[bytes], object],
    content: bytes,
    count: int,
    *,
    documented: type[Exception] | tuple[type[Exception], ...],
    seed: int = 0,
    text: bool = False,
    others: Sequence[bytes] = (),
) -> Figures:
    """Read variants of a file, and some `others`: only `documented` exceptions are raised, within time and memory."""
    found, before = Figures(), _peak()
    read(content)  # valid
    for variant in (*others, *variants(content, count, seed=seed, text=text)):
        start = time.perf_counter()
        try:
            read(variant)
            found.read += 1
        except documented as error:
            found.refused += 1
            message = str(error)
            assert "\n" not in message
        found.seconds = max(found.seconds, time.perf_counter() - start)
    found.megabytes = _peak() - before
    print(found)  # with `pytest -s`, for docs/reliability.md
    assert found.refused and found.seconds < SECONDS and found.megabytes < MEGABYTES, found
    return found


def _peak() -> float:
    """Return the most memory that this process has had. Units: megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def signed(tensors: dict[str, Tensor], description: bytes) -> bytes:
    """Return a weights file whose checksum is right, whatever its description says."""
    text = description.decode("latin1")
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.numpy().tobytes())
    return safetensors.torch.save(tensors, {"resnets": text, "sha256": digest.hexdigest()})
