"""Safe decoding of image files to pixels: the formats of one table only, limited in size, upright, RGB or grey."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnets.data.bit_depth import in_8_bits
from resnets.data.formats import HEAD, NAMES, Format, MissingDecoder, UnknownFormat, format_of
from resnets.data.given_images import COLOURS, Picture, require_colours, unfit
from resnets.data.limits import require_scans, require_size
from resnets.data.orientation import TURNS, orientation, upright
from resnets.data.stored_file import ImageFile, content_of, size_of
from resnets.errors import DataError, ImageError, StorageError, UsageError, first_line
from resnets.quantities import plural
from resnets.specs import InputSpec, Interpolation

MAX_RATIO = 16  # of the longer side to the shorter one, in resizing
REDUCTIONS = (8, 4, 2)  # of a JPEG's sides, which its decoder does in place of decoding all pixels
SPARE = 2  # pixels that remain for each one of a crop's or view's sides: with 1, a reduced image differs thrice as much

Size = tuple[int, int]
"""Width and height in pixels."""

Box = tuple[float, float, float, float]
"""Left, top, right and lower edge, in pixels of the whole upright image."""


def decode(path: ImageFile | Picture, channels: int = 3) -> Image.Image:
    """Return the image upright (EXIF orientation applied) as RGB, or grey if `channels` is 1.

    Any mode is accepted (CMYK, palette, 16-bit, transparent: the alpha channel is dropped, as torchvision does) and
    any suffix: the content decides. Of several frames or pages the first is taken. Of a picture for a network of other
    channels it is the first channel.

    Raises: ImageError, if the file is missing, truncated, of another format or larger than its format allows;
        UsageError, for a file where the channels are neither 1 nor 3, or a picture with other ones.
    """
    with quiet:
        return _for_network(path, channels)[0].image


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


quiet = _Quiet()
"""Silences Pillow's warnings in a `with` block, from any number of threads."""


def decode_for(path: ImageFile | Picture, channels: int, shorter: int | None = None) -> DecodedImage:
    """Return an image decoded; with `shorter`, a JPEG at a scale that suffices for such a shorter side.

    Raises: DataError, as `decode`.
    """
    if not isinstance(path, Picture):
        return EncodedImage(path, channels).decoded_for(shorter)
    require_colours(channels, path)
    if not isinstance(path.image, Image.Image):
        raise unfit(path.image, path.where)
    with refusing(path):
        image = _in_memory(path.image, "L" if channels == 1 else "RGB")
        return DecodedImage(image, image.size)


def _for_network(path: ImageFile | Picture, channels: int, shorter: int | None = None) -> list[DecodedImage]:
    """Return an image in RGB or grey, as `decode_for`; for a network of other channels each of them, as a grey image.

    So none is taken for an alpha channel, by which Pillow would multiply the others.
    """
    if channels in COLOURS or not isinstance(path, Picture):
        return [decode_for(path, channels, shorter)]
    with refusing(path):
        bands = path.bands()
    if len(bands) != channels:
        raise UsageError(
            f"{path} has {plural(len(bands), 'channel')}; the network takes {channels}: give arrays of uint8 (height, "
            f"width, {channels})"
        )
    return [DecodedImage(band, band.size) for band in bands]


@contextlib.contextmanager
def refusing(path: ImageFile | Picture) -> Iterator[None]:
    """Turn what a damaged or hostile file raises, which is nearly anything, into an ImageError of one line."""
    try:
        yield
    except (ImageError, StorageError):
        raise
    except DataError as error:  # of what holds the file, such as a shard: it names the file
        raise ImageError(str(error)) from error
    except Exception as error:
        raise ImageError(f"{path}: {reason(path, error)}") from error


def open_header(content: bytes | IO[bytes]) -> tuple[Any, Format]:
    """Return an image of which no pixel is decoded, within the limits of its format; no other decoder is tried.

    Raises: nearly anything, as `refusing` has it.
    """
    file = BytesIO(content) if isinstance(content, bytes) else content
    image_format = format_of(file.read(HEAD))
    file.seek(0)
    image = Image.open(file, formats=(image_format.name.upper(),))
    require_size(image, image_format)
    return image, image_format


class EncodedImage:
    """An image file whose header has been read: a JPEG can be decoded at the scale that turns out to be needed.

    Raises: DataError, UsageError, as `decode`, here and in each method.
    """

    def __init__(self, path: ImageFile, channels: int) -> None:
        require_colours(channels, path)
        self.path, self.mode = path, "L" if channels == 1 else "RGB"
        with refusing(path):
            self.content = content_of(path)
            self.image, self.format = open_header(self.content)
            require_scans(self.image, self.format, self.content)
            self.is_jpeg = self.format.name == "JPEG"
            if not self.is_jpeg:  # some say how they are turned behind their pixels
                self.image.load()
            self.turn = 1 if self.format.name == "TIFF" else orientation(self.image)  # Pillow turns a TIFF itself
            self.size = upright(self.image.size, self.turn)

    def decoded_for(self, shorter: int | None) -> DecodedImage:
        """Return what `decode_for` does; to be called once, as `resized`."""
        return self._at(1 if shorter is None else self._scale(min(self.size) / shorter))

    def resized(self, box: Box, size: Size, interpolation: Interpolation, *, reduced: bool) -> Image.Image:
        """Return a part of the upright image resized, with `reduced` of a JPEG decoded at a scale that suffices."""
        return self._at(self.scale_of(box, size) if reduced else 1).resized(box, size, interpolation)

    def scale_of(self, box: Box, size: Size) -> int:
        """Return the largest reduction that suffices for a part of the image at that size, 1 if there is none."""
        left, top, right, bottom = box
        return self._scale(min((right - left) / size[0], (bottom - top) / size[1]))

    def _scale(self, ratio: float) -> int:
        return next((scale for scale in REDUCTIONS if self.is_jpeg and scale * SPARE <= ratio), 1)

    def _at(self, scale: int) -> DecodedImage:
        image = self.decode(scale)
        x, y = image.width - self.size[0] / scale, image.height - self.size[1] / scale  # sides are rounded up
        origin = (x if self.turn in (2, 3, 6, 7) else 0.0, y if self.turn in (3, 4, 7, 8) else 0.0)
        return DecodedImage(image, self.size, scale, origin)

    def decode(self, scale: int = 1) -> Image.Image:
        """Return the upright image, a JPEG at 1 / `scale` of its size, which is rounded up; to be called once."""
        with refusing(self.path):
            image, self.image = self.image, None  # what decoded it is freed, of a WebP a gigabyte
            if scale > 1:
                image.draft(image.mode, (image.width // scale, image.height // scale))
                image.decodermaxblock = len(self.content)  # at once, and not in pieces of 64 kB
            return _in_memory(image, self.mode, self.turn)


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An upright image, decoded at 1 / `scale` of its `size`; it starts at `origin`, in decoded pixels."""

    image: Image.Image
    size: Size
    scale: int = 1
    origin: tuple[float, float] = (0.0, 0.0)

    def resized(self, box: Box, size: Size, interpolation: Interpolation) -> Image.Image:
        """Return a part of the image, given at fractions of the whole one's pixels, resized."""
        (left, top, right, bottom), (x, y), scale = box, self.origin, self.scale
        if scale > 1:
            left, top = max(0.0, left / scale + x), max(0.0, top / scale + y)
            right, bottom = min(self.image.width, right / scale + x), min(self.image.height, bottom / scale + y)
        return self.image.resize(size, RESAMPLING[interpolation], (left, top, right, bottom))

    def shorter_side(self, length: int, interpolation: Interpolation) -> Image.Image:
        """Return the image with its shorter side resized, as `resize_shorter_side` does."""
        if self.scale == 1:
            return resize_shorter_side(self.image, length, interpolation)
        left, top, right, bottom = box = within_ratio(self.size)
        return self.resized(box, resized((right - left, bottom - top), length), interpolation)


def _in_memory(image: Any, mode: str, turn: int | None = None) -> Image.Image:
    """Return an image upright and in a mode; how it is turned is read from it, unless it is known."""
    image.load()
    if turn is None:
        turn = 1 if image.format == "TIFF" else orientation(image)
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion would clip
        if image.format is None and image.mode in ("I", "F"):
            raise ValueError(f"its pixels are of mode {image.mode}, of which none is white; convert them to L or RGB")
        image = in_8_bits(image, image.format or "")
    image = image if image.mode == mode else image.convert(mode)
    return image if turn == 1 else image.transpose(TURNS[turn])


def reason(path: ImageFile | Picture, error: Exception) -> str:
    """Return why a file could not be read as an image."""
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "a folder, not an image"
        case UnknownFormat():
            is_empty = not isinstance(path, Picture) and not size_of(path)
            return "an empty file, not an image" if is_empty else f"not a {NAMES} image"
        case MissingDecoder():
            return str(error)
        case UnidentifiedImageError():
            return "failed to decode (its header is damaged, or of a kind that is not read)"
        case OSError(strerror=str(why)):
            return f"failed to read ({why})"
        case _:
            return f"failed to decode ({first_line(error)})"


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
    left, top = centre_of(image.size, size)
    return image.crop((left, top, left + size, top + size))


def centre_of(whole: Size, size: int) -> tuple[int, int]:
    """Return left and top of what `centre_crop` takes of an image of some size."""
    return round((whole[0] - size) / 2), round((whole[1] - size) / 2)


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image's pixels. Shape: (H, W, C) uint8."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def single_view(path: ImageFile | Picture, input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return the one view that a network is tested on: shorter side resized, centre cropped.

    Shape: (size, size, channels) uint8
    Raises: DataError, as `decode`.
    """
    with quiet:
        return _single_view(path, input_spec)


def _single_view(path: ImageFile | Picture, input_spec: InputSpec) -> NDArray[np.uint8]:
    shorter = input_spec.resize if input_spec.decode == "reduced" else None
    views = [
        pixels(centre_crop(image.shorter_side(input_spec.resize, input_spec.interpolation), input_spec.size))
        for image in _for_network(path, input_spec.channels, shorter)
    ]
    return views[0] if len(views) == 1 else np.concatenate(views, axis=2)


def single_views(paths: Sequence[ImageFile | Picture], input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return the single views of many files, decoded on up to eight cores.

    Shape: (N, size, size, channels) uint8
    Raises: DataError, as `decode`, for the first file that cannot be decoded.
    """
    views = np.empty((len(paths), input_spec.size, input_spec.size, input_spec.channels), np.uint8)
    count = 32  # files of one task

    def read(start: int) -> None:
        for index, path in enumerate(paths[start : start + count], start):
            views[index] = _single_view(path, input_spec)

    with quiet, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for _ in threads.map(read, range(0, len(paths), count)):  # in order, so the first error is raised
            pass
    return views


@contextlib.contextmanager
def reading(paths: Sequence[ImageFile | Picture], input_spec: InputSpec) -> Iterator[list[Future[NDArray[np.uint8]]]]:
    """Decode the single views of files on up to eight cores while the block runs; at its end all have a result.

    Each result is (size, size, channels) uint8, or the DataError of a file that cannot be decoded.
    """
    with quiet, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        yield [threads.submit(_single_view, path, input_spec) for path in paths]
