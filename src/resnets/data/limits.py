"""Limits of images, known from their headers: a small file must not take gigabytes or minutes to decode."""

from __future__ import annotations

from typing import Any

from PIL import Image

from resnets.data.formats import Format

MAX_PIXELS = 100_000_000  # of any format
MAX_PASSED = 20 * MAX_PIXELS  # in all passes over an image: a usual progressive JPEG has ten scans
MAX_RUN_LENGTH = 16_000_000  # pixels of a run-length encoded BMP, which Pillow decodes in Python
TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg", "group3", "group4")
START_OF_SCAN = b"\xff\xda"


def require_size(image: Image.Image, image_format: Format) -> None:
    """Check what an image declares, before any pixel of it is decoded.

    Raises: DecompressionBombError, if there are too many pixels for its format, or too many in the tiles of a TIFF;
        ValueError, if a TIFF is compressed in a way that is not read.
    """
    pixels, most = image.width * image.height, min(MAX_PIXELS, image_format.megapixels * 10**6)
    if image_format.name == "BMP" and image.info.get("compression") in (1, 2):
        most = MAX_RUN_LENGTH
    if pixels > most:
        raise Image.DecompressionBombError(
            f"{image.width} x {image.height} pixels; at most {most // 10**6} million are read"
        )
    if image_format.name == "TIFF":
        _require_tiles(image, 0)


def require_scans(image: Image.Image, image_format: Format, content: bytes) -> None:
    """Check the scans of a JPEG, also within a TIFF: each passes over all pixels, or all of a strip.

    Raises: DecompressionBombError, if they pass over more than 2,000 million together.
    """
    if image_format.name == "JPEG":
        if not _is_one_scan(image, content):
            _require_passes(content.count(START_OF_SCAN), image.size, "scans")
    elif image_format.name == "TIFF" and image.info.get("compression") == "jpeg":
        _require_tiles(image, content.count(START_OF_SCAN))


def _is_one_scan(image: Any, content: bytes) -> bool:
    """Return whether a JPEG's first scan has all of it, as that of a usual photo: no other one is decoded then.

    To count the scans of a large photo takes a tenth of the time in which it is decoded at a smaller scale.
    """
    first = content.rfind(START_OF_SCAN, 0, image.fp.tell())  # Pillow has read up to the end of its header
    return "progressive" not in image.info and first >= 0 and content[first + 4] == len(image.getbands())


def _require_tiles(image: Any, scans: int) -> None:
    """Check the strips or tiles of a TIFF: one may be larger than the image, and a file may list one many times."""
    compression = image.info.get("compression", "raw")
    if compression not in TIFF_COMPRESSIONS:
        raise ValueError(f"a TIFF image compressed as {compression}; read are {', '.join(TIFF_COMPRESSIONS)}")
    tags = image.tag_v2
    if 324 in tags:
        size = int(tags.get(322, 0)), int(tags.get(323, 0))
        places = len(tags[324])
    else:
        size = int(tags[256]), min(int(tags.get(278, tags[257])), int(tags[257]))
        places = len(tags.get(273, ()))
    if size[0] * size[1] > MAX_PIXELS:
        raise Image.DecompressionBombError(f"tiles of {size[0]} x {size[1]} pixels; at most 100 million are read")
    _require_passes(max(places, scans), size, "tiles")


def _require_passes(count: int, size: tuple[int, int], what: str) -> None:
    if count * size[0] * size[1] > MAX_PASSED:
        limit = f"at most {MAX_PASSED // 10**6:,} million are read in all of them"
        raise Image.DecompressionBombError(f"{count:,} {what} of {size[0]} x {size[1]} pixels; {limit}")
