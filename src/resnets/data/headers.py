"""Sizes of images as they are upright, from the headers of their files: no pixel is decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image

from resnets.data.decoding import FORMATS, orientation, quiet, reason
from resnets.data.stored_file import ImageFile, opened
from resnets.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DESCRIBING = (b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt")
"""Chunks of a PNG that have its size, and its orientation as EXIF or XMP."""

END = b"\0\0\0\0IEND\xaeB`\x82"


class ImageHeader(NamedTuple):
    """What a file's header says of its image. `orientation` is EXIF's, 1 (upright) to 8."""

    width: int  # as `decode` gives the image, upright
    height: int
    orientation: int


def read_headers(files: Sequence[ImageFile]) -> Iterator[ImageHeader]:
    """Yield the header of each image file.

    Raises: DataError, if a file is missing or no JPEG, PNG or WebP image.
    """
    for file in files:
        with quiet():
            header = _header(file)
        yield header


def _header(file: ImageFile) -> ImageHeader:
    try:
        with opened(file) as source, source.open("rb") if isinstance(source, Path) else source as content:
            is_png = content.read(len(SIGNATURE)) == SIGNATURE
            content.seek(0)
            with Image.open(_without_pixels(content) if is_png else content, formats=FORMATS) as image:
                turn = orientation(image)
                width, height = image.size if turn < 5 else image.size[::-1]
                return ImageHeader(width, height, turn)
    except DataError:
        raise
    except Exception as error:  # as in decoding
        raise DataError(f"{file}: {reason(file, error)}") from error


def _without_pixels(png: IO[bytes]) -> BytesIO:
    """Return the describing chunks of a PNG, behind whose pixels EXIF may be.

    There they have new checksums, since Pillow does not verify them in decoding.
    """
    kept, behind = [png.read(len(SIGNATURE))], False
    while len(head := png.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        behind |= kind == b"IDAT"
        if kind == b"IEND":
            break
        if kind not in DESCRIBING:
            png.seek(length + 4, 1)
            continue
        content, checksum = png.read(length), png.read(4)
        kept += [head, content, struct.pack(">I", zlib.crc32(kind + content)) if behind else checksum]
    return BytesIO(b"".join([*kept, END]))
