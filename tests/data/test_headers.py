"""Headers of image files: the size that decoding gives, without decoding, and no wait for what is no file."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from resnets.data.decoding import decode
from resnets.data.headers import read_headers
from resnets.errors import DataError


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def xmp(orientation: int) -> PngInfo:
    made = PngInfo()
    made.add_itxt("XML:com.adobe.xmp", f'<x tiff:Orientation="{orientation}"/>')
    return made


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["jpeg", "webp", "png", "png with xmp", "png with exif behind its pixels"])
def test_the_size_is_that_of_the_upright_image(tmp_path: Path, kind: str, orientation: int) -> None:
    """In each format, and wherever a PNG has its orientation, size and orientation are as `decode` takes them."""
    path, image = tmp_path / "image", Image.new("RGB", (30, 20), (200, 0, 0))
    if kind == "png with xmp":
        image.save(path, "PNG", pnginfo=xmp(orientation))
    elif kind == "png with exif behind its pixels":
        content = BytesIO()
        image.save(content, "PNG")
        start, end = content.getvalue()[:-12], content.getvalue()[-12:]
        path.write_bytes(start + chunk(b"eXIf", exif(orientation).tobytes()[6:]) + end)
    else:
        image.save(path, kind, exif=exif(orientation))
    (header,) = read_headers([path])
    assert (header.width, header.height) == decode(path).size == ((20, 30) if orientation >= 5 else (30, 20))
    assert header.orientation == orientation


def test_no_pixel_of_a_png_is_decoded(tmp_path: Path) -> None:
    """The size of a PNG is known whose pixels are damaged."""
    pixels = zlib.compress(bytes(20 * (1 + 3 * 30)))[:-8]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"\xff" * len(pixels)) + chunk(b"IEND", b""))
    assert [(found.width, found.height) for found in read_headers([path])] == [(30, 20)]
    with pytest.raises(DataError):
        decode(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Neither its header nor its image is read: nobody may ever write to it. A device and a folder are none either."""
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), tmp_path):
        for read in (decode, lambda path: list(read_headers([path]))):
            with pytest.raises(DataError, match=str(path)):
                read(path)
