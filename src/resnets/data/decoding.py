"""From an image file to pixels, safely: JPEG, PNG and WebP only, limited in size, upright, RGB or grey."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from resnets.data.stored_file import ImageFile, content_of, size_of
from resnets.errors import DataError
from resnets.specs import InputSpec, Interpolation

FORMATS = ("JPEG", "PNG", "WEBP")
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif")
SUFFIXES = (*JPEG_SUFFIXES, ".png", ".webp")
MAX_PIXELS = 100_000_000
MAX_WEBP_PIXELS = 64_000_000  # whose decoder takes 25 bytes for each
MAX_SCANNED = 20 * MAX_PIXELS  # in the scans of a progressive JPEG together, of which usual ones have ten
MAX_RATIO = 16  # of the longer side to the shorter one, in resizing


def decode(path: ImageFile, channels: int = 3) -> Image.Image:
    """Return the image upright (EXIF orientation applied) as RGB, or grey if `channels` is 1.

    Any mode is accepted (CMYK, palette, 16-bit, transparent: the alpha channel is dropped, as torchvision does) and
    any suffix: the content decides.

    Raises: DataError, if the file is missing, truncated, of another format or larger than 100 megapixels.
    """
    with quiet():
        return decode_here(path, channels)


class _Quiet:
    """Pillow's warnings about odd EXIF and large headers silenced, while anybody in any thread is within it.

    The filters are the whole process's: the first to come in changes them, the last to leave puts them back.
    """

    def __init__(self) -> None:
        self.lock, self.within = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.within == 0:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
            self.within += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.within -= 1
            if self.within == 0:
                self.filters.__exit__(None, None, None)


_QUIET = _Quiet()


def quiet() -> _Quiet:
    """Return what silences Pillow's warnings in a `with` block, from any number of threads."""
    return _QUIET


def decode_here(path: ImageFile, channels: int = 3) -> Image.Image:
    """Return what `decode` does; for threads, within one `quiet` for all of them."""
    try:
        image, turn = _converted(content_of(path), "L" if channels == 1 else "RGB")
        return image if turn == 1 else image.transpose(_TURNS[turn])
    except DataError:
        raise
    except Exception as error:  # a damaged or hostile file raises nearly anything
        raise DataError(f"{path}: {reason(path, error)}") from error


def _converted(content: bytes, mode: str) -> tuple[Image.Image, int]:
    """Return an image in a mode and how it is stored; what decoded it is freed, of a WebP a gigabyte."""
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        limit_work(image, content)
        image.load()
        turn = orientation(image)
        found: Image.Image = image
        if image.mode.startswith(("I", "F")):  # 16 bits: Pillow's own conversion would clip
            found = _in_8_bits(image)
        return found if found.mode == mode else found.convert(mode), turn


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


def orientation(image: Image.Image) -> int:
    """Return how a picture is stored, 1 to 8 as in EXIF; 1, upright, where it does not say, or not so that it is read.

    Only this is read: of all that EXIF may hold, some is often invalid, which does not matter here. A PNG that has EXIF
    behind its pixels must be loaded.
    """
    try:
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation)  # a PNG's own method decodes the pixels
    except Exception:  # broken EXIF raises nearly anything, and harms nothing
        return 1
    return int(found) if found in _TURNS else 1


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 bits as one of 8, converted a strip at a time: of 100 megapixels it takes gigabytes."""
    low = Image.new("L", image.size)
    for top in range(0, image.height, 64):
        strip = image.crop((0, top, image.width, min(top + 64, image.height)))
        high = np.asarray(strip, np.float64)
        low.paste(Image.fromarray((high / 257).round().clip(0, 255).astype(np.uint8)), (0, top))
    return low


def limit_work(image: Image.Image, content: bytes) -> None:
    """Check what it takes to decode a file by its header and, of a JPEG, by its scans: each passes over all pixels.

    Raises: DecompressionBombError, if there are more than 100 megapixels (WebP: 64), or 2,000 in all scans together.
    """
    pixels, most = image.width * image.height, MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if pixels > most:
        limit = f"at most {most // 10**6} million are read"
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels; {limit}")
    scans = content.count(b"\xff\xda") if image.format in ("JPEG", "MPO") else 1
    if scans * pixels > MAX_SCANNED:
        limit = f"at most {MAX_SCANNED // 10**6:,} million are read in all of them"
        raise Image.DecompressionBombError(f"{scans:,} scans of {image.width} x {image.height} pixels; {limit}")


def reason(path: ImageFile, error: Exception) -> str:
    """Return why a file could not be read as an image."""
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "a folder, not an image"
        case UnidentifiedImageError():
            return "not a JPEG, PNG or WebP image" if size_of(path) else "an empty file, not an image"
        case OSError(strerror=str(why)):
            return f"failed to read ({why})"
        case _:
            return f"failed to decode ({str(error) or type(error).__name__})"


RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize_shorter_side(image: Image.Image, length: int, interpolation: Interpolation = "bilinear") -> Image.Image:
    """Return the image with its shorter side `length` pixels long, its proportions kept, antialiased."""
    box = within_ratio(image.size)
    image = image if box == (0, 0, *image.size) else image.crop(box)
    size = resized(image.size, length)
    return image if size == image.size else image.resize(size, RESAMPLING[interpolation])


def within_ratio(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box of an image of some size that is not longer than 16:1: the centre, if need be.

    Else a strip of one pixel would grow to gigabytes.
    """
    width, height = size
    longest = MAX_RATIO * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return left, top, left + min(width, longest), top + min(height, longest)


def resized(size: tuple[int, int], length: int) -> tuple[int, int]:
    """Return the width and height that an image of some size has when its shorter side is `length` pixels long.

    The longer side is rounded down, as torchvision's Resize and so timm do.
    """
    width, height = size
    shorter = min(width, height)
    return (length, int(length * height / shorter)) if width == shorter else (int(length * width / shorter), length)


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """Return the central `size` x `size` pixels, a half rounded to the even number, as torchvision's CenterCrop."""
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image's pixels. Shape: (H, W, C) uint8."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def single_view(path: ImageFile, input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return the one view that a network is tested on: shorter side resized, centre cropped.

    Shape: (size, size, channels) uint8
    Raises: DataError, as `decode`.
    """
    with quiet():
        return _single_view(path, input_spec)


def _single_view(path: ImageFile, input_spec: InputSpec) -> NDArray[np.uint8]:
    image = resize_shorter_side(decode_here(path, input_spec.channels), input_spec.resize, input_spec.interpolation)
    return pixels(centre_crop(image, input_spec.size))


def single_views(paths: Sequence[ImageFile], input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return the single views of many files, decoded on up to eight cores.

    Shape: (N, size, size, channels) uint8
    Raises: DataError, as `decode`, for the first file that cannot be decoded.
    """
    views = np.empty((len(paths), input_spec.size, input_spec.size, input_spec.channels), np.uint8)
    count = 32  # files of one task

    def read(start: int) -> None:
        for index, path in enumerate(paths[start : start + count], start):
            views[index] = _single_view(path, input_spec)

    with quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for _ in threads.map(read, range(0, len(paths), count)):  # in order, so the first error is raised
            pass
    return views


@contextlib.contextmanager
def reading(paths: Sequence[ImageFile], input_spec: InputSpec) -> Iterator[list[Future[NDArray[np.uint8]]]]:
    """Decode the single views of files on up to eight cores while the block runs; at its end all have a result.

    Each result is (size, size, channels) uint8, or the DataError of a file that cannot be decoded.
    """
    with quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        yield [threads.submit(_single_view, path, input_spec) for path in paths]
