"""Network inputs: normalisation and augmentation. Paper: sections 3.4 and 4.2."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

import msgspec

from resnets.errors import UsageError
from resnets.specs.base import Positive, Spec

MOST_PIXELS = 4_096
"""Of a side of the input that a network expects."""


Decoding = Literal["exact", "reduced"]
"""How large JPEGs are decoded: whole, or at 1/2, 1/4 or 1/8 of their size where a crop needs no more pixels."""


def require_decoding(name: str) -> None:
    """Raise UsageError, if `name` is no way of decoding."""
    if name not in get_args(Decoding):
        raise UsageError(f"decode is {name!r}; it must be exact or reduced")


class Preprocessing(Spec, frozen=True, kw_only=True):
    """What is subtracted from the pixels, which are first scaled to [0, 1]; nothing is divided by unless `std`.

    With `contrast`, each image gets the mean 0 and this standard deviation first: global contrast normalisation. With
    `whitening`, images in memory are multiplied by the ZCA matrix of the training images in the end; this number is
    added to the variances.

    Raises: UsageError, for a contrast or a whitening that is no positive number.
    Paper: sections 3.4 and 4.2 subtract the per-pixel mean of the training images; networks that it compares with have
        the others.
    """

    mean: Literal["pixel", "channel"] = "pixel"
    std: bool = False  # divide by the channels' standard deviation as well
    contrast: float | None = None
    whitening: float | None = None
    decode: Decoding = "exact"

    def __post_init__(self) -> None:
        for name in ("contrast", "whitening"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}; it must be a positive number")


Interpolation = Literal["bilinear", "bicubic"]
"""How images are resized, antialiased."""


class InputSpec(Spec, frozen=True, kw_only=True):
    """What a trained network expects: it travels with the weights, so that nobody has to set it again.

    An image is resized to `resize` on its shorter side, its centre cropped to `size`, its channels put in
    `channel_order`, and scaled to [0, `max_value`]; then the mean is subtracted and, where there is one, divided by the
    standard deviation. Where there is `contrast`, each image, of any size, first gets the mean 0 and that standard
    deviation; where there is `whitening`, it is at last multiplied by that matrix.

    Units: pixels for `size` and `resize`; mean, mean image and std in the scale and the order of the network's input.
    """

    size: Annotated[int, msgspec.Meta(ge=1, le=MOST_PIXELS)]
    resize: Annotated[int, msgspec.Meta(ge=1, le=MOST_PIXELS)]
    channels: Positive = 3  # 3: colour, 1: grey; image files are not read for others
    mean: tuple[float, ...] | None = None  # of each channel
    mean_image: str | None = None  # or of each pixel: base64 of float32, (size, size, channels), little endian
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] | None = None  # of each channel
    contrast: Annotated[float, msgspec.Meta(gt=0)] | None = None  # standard deviation that each image gets first
    whitening: str | None = None  # upper triangle of a symmetric matrix of size * size * channels, as the mean image
    interpolation: Interpolation = "bilinear"
    max_value: Literal[1, 255] = 1  # what a pixel of full brightness becomes before the mean is subtracted; black is 0
    channel_order: Literal["RGB", "BGR"] = "RGB"
    decode: Decoding = "exact"

    def __repr__(self) -> str:
        """Return the fields; of a mean image or a matrix, which are long, only the shapes."""
        values = self.fields()
        if self.mean_image is not None:
            values["mean_image"] = f"<{self.size} x {self.size} x {self.channels} float32>"
        if self.whitening is not None:
            values["whitening"] = f"<{self.numbers} x {self.numbers} float32>"
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def numbers(self) -> int:
        """Numbers of an image: pixels times channels."""
        return self.size**2 * self.channels

    @property
    def colours(self) -> str:
        """What the channels are, for people to read."""
        return {1: "grey", 3: self.channel_order}.get(self.channels, f"in {self.channels} channels")

    def in_words(self) -> str:
        """Return what a network expects, for people to read."""

        def numbers(values: tuple[float, ...]) -> str:
            return ", ".join(f"{value:.6g}" for value in values)

        size = f"{self.size} x {self.size}"
        if self.resize != self.size:
            size += f" out of a shorter side of {self.resize} pixels ({self.interpolation})"
        mean = "minus a mean image" if self.mean_image else "as they are"
        if self.mean is not None:
            mean = f"minus {numbers(self.mean)}"
        std = "" if self.std is None else f", divided by {numbers(self.std)}"
        decoded = ", large JPEGs decoded at 1/2, 1/4 or 1/8" if self.decode == "reduced" else ""
        contrast = "" if self.contrast is None else f"each of mean 0 and standard deviation {self.contrast:g}, "
        white = "" if self.whitening is None else ", whitened"
        return f"{size}, {self.colours} from 0 to {self.max_value}, {contrast}{mean}{std}{white}{decoded}"


class PadCropFlip(Spec, frozen=True, kw_only=True, tag_field="kind", tag="pad-crop-flip"):
    """Pad `pad` zeros on each side after the mean is subtracted, crop at random, and flip by half. Section 4.2.

    With `alternate`, an image that one epoch shows mirrored the next one shows as it is, and so on, instead of a
    coin being tossed for each: no image is then seen from one side several epochs in a row.
    """

    pad: int = 4
    flip: bool = True
    alternate: bool = False


class PrincipalColors(Spec, frozen=True, kw_only=True):
    """Add to all pixels of an image sum_i p_i a_i l_i, with a_i drawn from N(0, std) for each image and epoch.

    p_i and l_i are the eigenvectors and eigenvalues of the covariance of the training images' RGB values, scaled to
    [0, 1]; they are None in a declaration, and known when it is resolved for some data. Nothing is clipped.

    Paper: section 3.4, the "standard color augmentation in [21]".
    """

    std: float = 0.1
    values: tuple[float, ...] | None = None
    vectors: tuple[tuple[float, ...], ...] | None = None  # one of each value


class ScaleCropFlip(Spec, frozen=True, kw_only=True, tag_field="kind", tag="scale-crop-flip"):
    """Resize the shorter side to a random length in [shortest, longest], crop at random, flip by half. Section 3.4."""

    shortest: int = 256
    longest: int = 480
    crop: int = 224
    flip: bool = True
    colors: PrincipalColors | None = None

    @property
    def resize(self) -> int:
        """The shorter side of what is tested on."""
        return self.shortest

    def at(self, size: int) -> ScaleCropFlip:
        """Return the augmentation for crops of another size, its other lengths in proportion."""
        shortest, longest = (round(length * size / self.crop) for length in (self.shortest, self.longest))
        return self.with_changes(shortest=shortest, longest=longest, crop=size)


class AreaCropFlip(Spec, frozen=True, kw_only=True, tag_field="kind", tag="area-crop-flip"):
    """Crop a part of random area and proportions, resize it to a square, flip by half: torchvision's RandomResizedCrop.

    With `start_crop` the square is smaller at first: it grows in steps of 32 pixels from there to `crop`, between the
    shares `resize_between` of the training.
    """

    crop: int = 224
    resize: int = 256  # the shorter side of what is tested on
    scale: tuple[float, float] = (0.08, 1.0)  # the part's area, as a share of the image's
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # its width over its height
    flip: bool = True
    colors: PrincipalColors | None = None
    start_crop: int | None = None
    resize_between: tuple[float, float] = (0.3, 0.8)

    def at(self, size: int) -> AreaCropFlip:
        """Return the augmentation for crops of another size, its other lengths in proportion."""
        resize = round(self.resize * size / self.crop)
        start_crop = None if self.start_crop is None else round(self.start_crop * size / self.crop)
        return self.with_changes(resize=resize, crop=size, start_crop=start_crop)

    def growing_from(self, least: int) -> AreaCropFlip:
        """Return the augmentation whose square is never smaller than this, or than `crop` where that is smaller."""
        if self.start_crop is None or self.start_crop >= least:
            return self
        return self.with_changes(start_crop=min(least, self.crop))

    def size_at(self, share: float) -> int:
        """Return the side of the square when a share of the training is done."""
        if self.start_crop is None:
            return self.crop
        start, stop = self.resize_between
        if share >= stop:  # what is left is no step of 32 for every crop
            return self.crop
        grown = max(0.0, (share - start) / (stop - start))
        return min(self.crop, self.start_crop + round(grown * (self.crop - self.start_crop) / 32) * 32)


PhotoAugmentation = ScaleCropFlip | AreaCropFlip
Augmentation = PadCropFlip | PhotoAugmentation
