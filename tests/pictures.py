"""Image files for tests, written by the tests themselves: a flag in any format, and parts of files to damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data.decoding import pixels

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def flag(width: int = 30, height: int = 20) -> Image.Image:
    """Return an image whose left half is red, its right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def is_flag(image: Image.Image, tolerance: int = 6) -> bool:
    """Return whether an image shows the flag, the errors of lossy compression allowed for."""
    array = pixels(image).astype(int)
    left, right = array[:, 2 : image.width // 2 - 2], array[:, image.width // 2 + 2 : -2]
    return bool((abs(left - RED) <= tolerance).all() and (abs(right - BLUE) <= tolerance).all())


def saved(path: Path, image: Image.Image, kind: str, **options: Any) -> Path:
    """Write an image and return its path."""
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    image.save(path, kind, **options)
    return path


def write_photos(
    root: Path,
    *,
    classes: Sequence[str] = ("cat", "dog", "emu"),
    train: int = 4,
    val: int = 2,
    size: tuple[int, int] = (48, 40),
) -> Path:
    """Write a folder data set of JPEGs, each class of its own colour, and return it."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label, class_name in enumerate(classes):
            folder = root / split / class_name
            folder.mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 60, (size[1], size[0], 3), np.uint8)
                noise[..., label % 3] += 150
                Image.fromarray(noise).save(folder / f"{index:03}.jpg", quality=95)
    return root


def tiff(entries: dict[int, tuple[int, ...]], data: bytes = b"", *, order: str = "<") -> bytes:
    """Return a TIFF file of one page: tags of 32-bit integers, and its data from byte 8 on."""
    data += bytes(len(data) % 2)
    start = 8 + len(data)
    room = start + 2 + 12 * len(entries) + 4
    table, behind = b"", b""
    for tag, values in sorted(entries.items()):
        value = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            value, behind = struct.pack(f"{order}I", room + len(behind)), behind + value
        table += struct.pack(f"{order}HHI", tag, 4, len(values)) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return head + data + struct.pack(f"{order}H", len(entries)) + table + bytes(4) + behind


def png_claiming(width: int, height: int) -> bytes:
    """Return a small PNG whose header claims that many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
