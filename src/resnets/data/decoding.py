"""From an image file to pixels, safely: JPEG, PNG and WebP only, limited in size, upright, RGB or grey."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from resnets.errors import DataError
from resnets.specs import InputConvention

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 100_000_000


def decode(path: Path, channels: int = 3) -> Image.Image:
    """Return the image upright (EXIF orientation applied) as RGB, or grey if `channels` is 1.

    Any mode is accepted (CMYK, palette, 16-bit, transparent on black) and any suffix: the content decides.

    Raises: DataError, if the file is missing, truncated, of another format or larger than 100 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about odd EXIF and large headers
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise DataError(f"{path}: {width} x {height} pixels; at most {MAX_PIXELS // 10**6} million are read")
                assert not ImageFile.LOAD_TRUNCATED_IMAGES
                image.load()
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith(("I", "F")):  # 16 bits: Pillow's own conversion would clip
                    high = np.asarray(upright, np.float64)
                    upright = Image.fromarray((high / 257).round().clip(0, 255).astype(np.uint8))
                return upright.convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder, not an image") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a JPEG, PNG or WebP image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from None


def resize_shorter_side(image: Image.Image, length: int) -> Image.Image:
    """Return the image with its shorter side `length` pixels long, its proportions kept (bilinear, antialiased)."""
    width, height = image.size
    scale = length / min(width, height)
    size = max(length, round(width * scale)), max(length, round(height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """Return the central `size` x `size` pixels."""
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def pixels(image: Image.Image) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Return an image's pixels. Shape: (H, W, C) uint8."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def single_view(path: Path, convention: InputConvention) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Return the one view that a network is tested on: shorter side resized, centre cropped.

    Shape: (size, size, channels) uint8
    """
    image = resize_shorter_side(decode(path, convention.channels), convention.resize)
    return pixels(centre_crop(image, convention.size))
