"""Formats of images: one table of those that are read. Content decides; a suffix says where to look for images."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache

from resnets.errors import UsageError, import_extra

HEAD = 64  # bytes of a file that its format is known by


@dataclass(frozen=True)
class Format:
    """A format that is read. `start` matches a file's first bytes, `plugin` is the module that decodes it."""

    name: str  # Pillow's, but for capitals
    suffixes: tuple[str, ...]
    start: bytes
    plugin: str
    megapixels: int = 100  # that are read at most
    extra: str = ""  # of this package, which brings the plugin


FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif"), rb"\xff\xd8\xff", "PIL.JpegImagePlugin"),
    Format("PNG", (".png",), rb"\x89PNG\r\n\x1a\n", "PIL.PngImagePlugin"),
    Format("WebP", (".webp",), rb"RIFF....WEBP", "PIL.WebPImagePlugin", megapixels=64),  # of up to 25 bytes each
    Format("BMP", (".bmp",), rb"BM", "PIL.BmpImagePlugin"),
    Format("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", "PIL.TiffImagePlugin"),
    Format("GIF", (".gif",), rb"GIF8[79]a", "PIL.GifImagePlugin"),
    Format("AVIF", (".avif",), rb"....ftyp(....){0,13}avi[fs]", "PIL.AvifImagePlugin", megapixels=64),
    Format(
        "HEIF",
        (".heic", ".heif", ".hif"),
        rb"....ftyp(....){0,13}(hei[cmsx]|hev[cx]|mif1|msf1)",
        "pillow_heif",
        megapixels=64,
        extra="heif",
    ),
)
"""A file is of the first that matches: an AVIF file may have the general brands of HEIF as well."""

SUFFIXES = tuple(suffix for one in FORMATS for suffix in one.suffixes)

UNREAD = (".jp2", ".jxl")
"""Suffixes of photos that are not read. One of them is an error: a data set without them is another one."""

NAMES = f"{', '.join(one.name for one in FORMATS[:-1])} or {FORMATS[-1].name}"


class UnknownFormat(Exception):
    """A file is of no format that is read."""


class MissingDecoder(Exception):
    """A file is of a format whose decoder is not installed; the message says how to install it."""


def format_of(head: bytes) -> Format:
    """Return the format of a file by its first `HEAD` bytes; `Image.open` then has its decoder.

    Raises: UnknownFormat, MissingDecoder.
    """
    if (found := recognised(head)) is None:
        raise UnknownFormat
    if (missing := missing_decoder(found)) is not None:
        raise MissingDecoder(missing)
    return found


def recognised(head: bytes) -> Format | None:
    """Return the format of a file by its first `HEAD` bytes, installed or not; None if it is none that is read."""
    return next((one for one in FORMATS if re.match(one.start, head[:HEAD], re.DOTALL)), None)


def why_unread(suffix: str) -> str | None:
    """Return why images with such a suffix, in lower case, are not read; None if they are."""
    if suffix in UNREAD:
        return f"{suffix} images are not read; convert it to one of {', '.join(SUFFIXES)}"
    return next((missing_decoder(one) for one in FORMATS if suffix in one.suffixes), None)


@cache
def missing_decoder(image_format: Format) -> str | None:
    """Return what has to be installed for a format; None where it is, and then its decoder is known to Pillow.

    Each is imported when it is needed: `Image.open` would import all that Pillow has.
    """
    try:
        if image_format.extra:
            import_extra(image_format.plugin, image_format.extra).register_heif_opener()
            return None
        if getattr(importlib.import_module(image_format.plugin), "SUPPORTED", True):
            return None
    except UsageError as error:
        return f"{image_format.name} images: {error}"
    except ModuleNotFoundError:  # of an older Pillow
        pass
    return f"{image_format.name} images: this Pillow does not decode them: pip install --upgrade pillow"
