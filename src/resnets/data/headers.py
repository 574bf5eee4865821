"""Sizes of images as they are upright, from the headers of their files: no pixel is decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple

from resnets.data.decoding import open_header, quiet, refusing
from resnets.data.orientation import orientation, upright
from resnets.data.stored_file import ImageFile, opened

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

    Raises: DataError, as `decode` for what a header shows.
    """
    for file in files:
        with quiet:
            header = _header(file)
        yield header


def _header(file: ImageFile) -> ImageHeader:
    with refusing(file), opened(file) as source, source.open("rb") if isinstance(source, Path) else source as content:
        is_png = content.read(len(SIGNATURE)) == SIGNATURE
        content.seek(0)
        image, image_format = open_header(_without_pixels(content) if is_png else content)
        turn, size = orientation(image), image.size
        if image_format.name == "TIFF":  # some versions of Pillow have it upright here, which others have later
            size = image.tag_v2[256], image.tag_v2[257]
        return ImageHeader(*upright(size, turn), turn)


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
