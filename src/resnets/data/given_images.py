"""Images as callers give them: paths, the content of files, open files, and pictures in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.data.orientation import TURNS, orientation
from resnets.data.stored_file import MOST_BYTES, ImageFile, InMemoryFile
from resnets.errors import DataError, UsageError
from resnets.quantities import plural

GivenImage: TypeAlias = "str | ImageFile | bytes | bytearray | memoryview | IO[bytes] | Image.Image | NDArray[np.uint8]"
"""A path, a file's content, a file that is open in binary mode, a picture of Pillow's, or an array as `as_image`."""

KINDS = "a path, bytes, a file open in binary mode, a picture of Pillow's or an array of uint8 (height, width, 3)"


COLOURS = (1, 3)
"""Channels of what image files are read as: grey or RGB."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image whose pixels are in memory, an array where it has 2 channels or more than 4. `str` of it says which."""

    where: str
    image: Image.Image | NDArray[np.uint8]

    @property
    def name(self) -> str:
        return self.where.rpartition("/")[2]

    def __str__(self) -> str:
        return self.where

    def bands(self) -> list[Image.Image]:
        """Return each channel as a grey image, upright. Raises: nearly anything, for a picture of a damaged file."""
        image = self.image
        if not isinstance(image, Image.Image):
            return [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(image, 2, 0)]
        image.load()
        turn = 1 if image.format == "TIFF" else orientation(image)  # Pillow turns a TIFF itself
        return [band if turn == 1 else band.transpose(TURNS[turn]) for band in image.split()]


def require_colours(channels: int, where: object) -> None:
    """Make sure that a network takes what image files are read as. Raises: UsageError, for channels but 1 and 3."""
    if channels not in COLOURS:
        raise UsageError(
            f"{where}: image files are read as RGB or grey; the network takes {plural(channels, 'channel')}: give "
            f"arrays of uint8 (height, width, {channels})"
        )


def as_image(given: GivenImage | Picture, where: str = "image") -> ImageFile | Picture:
    """Return one image that a caller gives; of an open file, what follows its position is read.

    `where` is what it is called if it has no name of its own, as an open file and a picture of a file have.

    Shape: an array is (H, W), (H, W, 1), (H, W, 3) or, with alpha channel, (H, W, 4), uint8; for a network of other
        channels (H, W, channels)
    Raises: UsageError, if it is no image; DataError, if an open file cannot be read.
    """
    match given:
        case str() | os.PathLike():
            return Path(given)
        case bytes() | bytearray() | memoryview():
            return InMemoryFile(where, bytes(given))
        case Image.Image():
            return Picture(str(getattr(given, "filename", "") or where), given)
        case np.ndarray():
            return Picture(where, _picture(given, where))
        case Picture():
            return given
    if hasattr(given, "read"):
        is_open = hasattr(given, "seek") or hasattr(given, "readable")  # else it is a stored file, of a shard
        return _read(given, where) if is_open else given  # type: ignore[arg-type]
    more = "; a model takes tensors, normalised, when it is called" if type(given).__name__ == "Tensor" else ""
    raise UsageError(f"{where} is of type {type(given).__name__}; it must be {KINDS}{more}")


def as_images(given: GivenImage | Iterable[GivenImage]) -> Iterator[ImageFile | Picture] | None:
    """Return the images of a list, an iterator or an array (N, H, W, channels), or None if one image is given."""
    one = isinstance(given, str | os.PathLike | bytes | bytearray | memoryview | Image.Image | Picture)
    one = one or hasattr(given, "read") or (isinstance(given, np.ndarray) and given.ndim != 4)
    if one or not isinstance(given, Iterable) or type(given).__name__ == "Tensor":
        return None
    return (as_image(image, f"images[{number}]") for number, image in enumerate(given))  # type: ignore[arg-type]


def _picture(array: NDArray[np.uint8], where: str) -> Image.Image | NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
        raise unfit(array, where)
    if array.shape[2:] not in ((), (1,), (3,), (4,)):
        return array
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2:] == (1,) else array))


def unfit(array: NDArray[Any], where: str) -> UsageError:
    """Return the error for an array that is no image in RGB or grey."""
    return UsageError(
        f"{where} is an array of {array.dtype} {array.shape}; it must be of uint8, from 0 to 255, and (height, width, "
        f"3) or (height, width); several are (N, height, width, channels)"
    )


def _read(file: IO[bytes], where: str) -> ImageFile:
    name = getattr(file, "name", None)
    where = name if isinstance(name, str) else where
    try:
        content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise DataError(f"{where}: failed to read ({error})") from error
    if not isinstance(content, bytes):
        raise UsageError(f'{where} is open as text; open it in binary mode: open(path, "rb")')
    if len(content) > MOST_BYTES:
        raise DataError(f"{where}: larger than an image; at most {MOST_BYTES:,} bytes are read")
    return InMemoryFile(where, content)
