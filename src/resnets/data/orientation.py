"""EXIF orientation: images turned upright."""

from __future__ import annotations

from PIL import ExifTags, Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""


def orientation(image: Image.Image) -> int:
    """Return how an image is stored, 1 to 8 as in EXIF; 1, upright, where it does not say, or not so that it is read.

    Only this is read: of all that EXIF may hold, some is often invalid, which does not matter here. A PNG that has EXIF
    behind its pixels must be loaded.
    """
    try:
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation)  # a PNG's own method decodes the pixels
    except Exception:  # broken EXIF raises nearly anything, and harms nothing
        return 1
    return int(found) if found in TURNS else 1


def upright(size: tuple[int, int], turn: int) -> tuple[int, int]:
    """Return the size of the upright image, by its size as it is stored in this orientation."""
    return size if turn < 5 else (size[1], size[0])
