"""Image files as they really occur, and hostile ones: decoded to the right colours, or refused in one line."""

from __future__ import annotations

import io
import os
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from pictures import RED, flag, is_flag, png_claiming, saved
from PIL import Image, ImageFile

from resnets.data.audit import inspect
from resnets.data.decoding import (
    EncodedImage,
    centre_crop,
    decode,
    pixels,
    quiet,
    resize_shorter_side,
    single_view,
)
from resnets.data.given_images import as_image
from resnets.data.limits import MAX_PIXELS
from resnets.errors import DataError, ImageError
from resnets.specs import InputSpec, Interpolation


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    """As ImageNet's PNG that is named .JPEG."""
    assert is_flag(decode(saved(tmp_path / "n02105855_2933.JPEG", flag(), "PNG")))


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    """Palette images give their colours, transparent entries too."""
    palette = flag().convert("P", palette=Image.Palette.ADAPTIVE)
    assert is_flag(decode(saved(tmp_path / "a.png", palette, "PNG")))
    assert is_flag(decode(saved(tmp_path / "b.png", palette, "PNG", transparency=0)))


def test_the_alpha_channel_is_dropped(tmp_path: Path) -> None:
    """As torchvision's ImageFolder does: the colour that the file stores counts, however transparent."""
    image = flag().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert is_flag(decode(saved(tmp_path / "a.png", image, "PNG")))
    assert decode(saved(tmp_path / "b.png", image.convert("LA"), "PNG"), channels=1).mode == "L"


def test_cmyk_jpeg(tmp_path: Path) -> None:
    """ImageNet has some twenty."""
    image = decode(saved(tmp_path / "a.jpg", flag().convert("CMYK"), "JPEG", quality=98, subsampling=0))
    assert image.mode == "RGB"
    assert is_flag(image, tolerance=12)


def test_grey_becomes_colour_and_colour_becomes_grey(tmp_path: Path) -> None:
    """One or three channels are given as requested."""
    grey = saved(tmp_path / "grey.jpg", Image.new("L", (8, 8), 77), "JPEG")
    assert decode(grey).getpixel((3, 3)) == (77, 77, 77)
    assert pixels(decode(grey, channels=1)).shape == (8, 8, 1)
    colour = decode(saved(tmp_path / "flag.png", flag(), "PNG"), channels=1)
    assert (colour.mode, colour.getpixel((2, 2))) == ("L", 76)  # 0.299 of red


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    """Pillow's own conversion would show every value above 255 as white."""
    values = np.array([[0, 257 * 10, 257 * 128, 65535]], np.uint16)
    path = saved(tmp_path / "a.png", Image.fromarray(values), "PNG")
    assert pixels(decode(path, channels=1))[0, :, 0].tolist() == [0, 10, 128, 255]
    assert pixels(decode(path))[0, :, 1].tolist() == [0, 10, 128, 255]


def test_one_bit(tmp_path: Path) -> None:
    """Black and white become 0 and 255."""
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])), "PNG")
    assert pixels(decode(path)).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 180), (6, 270), (8, 90)])
def test_a_photo_is_turned_upright(tmp_path: Path, orientation: int, turn: int) -> None:
    """A phone stores the picture as the sensor saw it, and how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    as_seen = flag().rotate(-turn, expand=True)
    image = decode(saved(tmp_path / "a.jpg", as_seen, "JPEG", quality=95, subsampling=0, exif=exif))
    assert image.size == (30, 20)
    assert is_flag(image)


def test_broken_exif_harms_nothing(tmp_path: Path) -> None:
    """An image whose EXIF is damaged is read without a warning."""
    broken = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff" + b"\xff" * 20
    path = saved(tmp_path / "a.jpg", flag(), "JPEG", quality=95, subsampling=0, exif=broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_flag(decode(path))


@pytest.mark.parametrize("odd", ["72 dpi", b"\xff\xfe\xfd"])
def test_odd_exif_does_not_keep_a_photo_from_being_turned(tmp_path: Path, odd: str | bytes) -> None:
    """A resolution that is a text, say, which Pillow could not write again."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, odd
    as_seen = flag().rotate(-270, expand=True)
    path = saved(tmp_path / "a.jpg", as_seen, "JPEG", quality=95, subsampling=0, exif=exif)
    content = path.read_bytes().replace(b"\x01\x0f", b"\x01\x1a", 1)  # Make becomes XResolution, a number elsewhere
    path.write_bytes(content)
    assert is_flag(decode(path))


def test_warnings_are_as_before_whoever_leaves_last() -> None:
    """Two threads that decode at once: the first to leave must not put the other's filters back for good."""
    before = list(warnings.filters)
    first, second = quiet, quiet
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert warnings.filters[0][0] == "ignore"
    second.__exit__()
    assert list(warnings.filters) == before


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    """An empty file, a text, a missing file and a folder have an error each."""
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("This is no image.")
    for name, message in (
        ("empty.jpg", "an empty file, not an image"),
        ("text.jpg", "not a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIF image"),
        ("nowhere.jpg", "no such file"),
        (".", "a folder, not an image"),
    ):
        with pytest.raises(DataError) as error:
            decode(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: {message}"


def test_an_unreadable_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, as the superuser reads everything."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    saved(tmp_path / "a.jpg", flag(), "JPEG")
    monkeypatch.setattr(Image, "open", denied)
    with pytest.raises(DataError, match=r"a.jpg: .*Permission denied"):
        decode(tmp_path / "a.jpg")


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (13_000, 13_000), (60_000, 60_000), (2**31 - 1,) * 2])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(
    tmp_path: Path, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many pixels are an error before memory is allocated."""

    def load(self: object) -> None:
        raise AssertionError("the pixels were about to be allocated")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"bomb.png: "):
            decode(path)


def test_the_largest_image_is_about_100_megapixels(tmp_path: Path) -> None:
    """A header at the limit passes; its few bytes of pixels are then too few."""
    assert MAX_PIXELS == 10_000 * 10_000
    path = tmp_path / "large.png"
    path.write_bytes(png_claiming(10, 10))
    assert decode(path).size == (10, 10)
    path.write_bytes(png_claiming(10, 1_000))
    with pytest.raises(DataError, match=r"truncated"):
        decode(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3), (224, 224), (500, 375), (375, 500), (31, 4000)])
def test_any_size_gives_the_one_view(tmp_path: Path, size: tuple[int, int]) -> None:
    """Images of any size and proportion give a view of the declared size."""
    path = saved(tmp_path / "a.png", Image.new("RGB", size, (10, 20, 30)), "PNG")
    view = single_view(path, InputSpec(size=24, resize=32))
    assert view.shape == (24, 24, 3)
    assert (view == [10, 20, 30]).all()


@pytest.mark.parametrize(
    ("name", "filter"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
def test_the_interpolation_is_the_networks(tmp_path: Path, name: Interpolation, filter: Image.Resampling) -> None:
    """Views are resized by Pillow with the declared interpolation."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(noise), "PNG")
    view = single_view(path, InputSpec(size=24, resize=32, interpolation=name))
    by_pillow = Image.fromarray(noise).resize((48, 32), filter).crop((12, 4, 36, 28))
    assert (view == np.asarray(by_pillow)).all()


@pytest.mark.parametrize("size", [(1, 1_000_000), (1_000_000, 1)])
def test_a_strip_of_one_pixel_does_not_grow_to_gigabytes(tmp_path: Path, size: tuple[int, int]) -> None:
    """Its shorter side resized to 256, the whole strip would have 65 billion pixels."""
    path = saved(tmp_path / "strip.png", Image.new("RGB", size, RED), "PNG")
    start = time.perf_counter()
    view = single_view(path, InputSpec(size=224, resize=256))
    assert (view == RED).all()
    assert time.perf_counter() - start < 5
    assert max(resize_shorter_side(Image.new("L", size), 256).size) == 16 * 256


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (33, 32), (50, 50), (100, 1500)])
def test_the_proportions_are_kept(size: tuple[int, int]) -> None:
    """The shorter side has the length, the longer one is rounded down."""
    resized = resize_shorter_side(Image.new("L", size), 64)
    assert min(resized.size) == 64
    assert max(resized.size) == 64 * max(size) // min(size)


def test_the_crop_is_the_centre() -> None:
    """The crop has equal margins."""
    image = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert pixels(centre_crop(image, 2))[..., 0].tolist() == [[44, 45], [54, 55]]


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """Each takes a few bytes, and a pass over all pixels; photos have ten."""
    content = io.BytesIO()
    Image.new("RGB", (2_000, 2_000), RED).save(content, "JPEG", progressive=True)
    *scans, last = content.getvalue().removesuffix(b"\xff\xd9").split(b"\xff\xda")
    path = tmp_path / "scans.jpg"
    path.write_bytes(content.getvalue())
    assert decode(path).size == (2_000, 2_000)
    path.write_bytes(b"\xff\xda".join([*scans, *[last] * 3_000]) + b"\xff\xd9")
    assert path.stat().st_size < 1_000_000
    for read in (decode, lambda path: EncodedImage(path, 3)):
        with pytest.raises(DataError, match=r"3,\d\d\d scans of 2000 x 2000"):
            read(path)


def test_an_image_of_16_bits_is_converted_in_little_memory(tmp_path: Path) -> None:
    """The conversion takes less than a second copy of the image."""
    path = saved(tmp_path / "deep.png", Image.fromarray(np.full((2_000, 3_000), 25_700, np.uint16)), "PNG")
    tracemalloc.start()
    try:
        image = decode(path, channels=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (pixels(image) == 100).all() and peak < 3_000 * 2_000 * 2


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    """Here of holes, which take no disk."""
    path = saved(tmp_path / "a.png", flag(), "PNG")
    os.truncate(path, 3 * 10**9)
    with pytest.raises(DataError, match=r"3,000,000,000 bytes"):
        decode(path)
    assert [kind for kind, _ in inspect(path).notes] == ["unreadable"]


def test_a_webp_image_of_more_than_64_megapixels_is_refused(tmp_path: Path) -> None:
    """Its decoder takes 2.6 GB for 100."""
    content = bytearray(saved(tmp_path / "a.webp", Image.new("RGB", (9, 9)), "WEBP", lossless=True).read_bytes())
    at = content.index(b"VP8L") + 9
    bits = int.from_bytes(content[at : at + 4], "little") & ~0xFFFFFFF
    content[at : at + 4] = (bits | (9_000 - 1) | (9_000 - 1) << 14).to_bytes(4, "little")
    (tmp_path / "b.webp").write_bytes(content)
    with pytest.raises(DataError, match=r"9000 x 9000 pixels; at most 64 million"):
        decode(tmp_path / "b.webp")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_picture_of_numbers_without_a_white_is_refused(mode: str) -> None:
    """Of 32 bits, in memory: which of them is white is not known, and all would be black."""
    picture = Image.fromarray(np.full((4, 4), 200, np.uint8)).convert(mode)
    with pytest.raises(ImageError, match=f"its pixels are of mode {mode}, of which none is white; convert them to L"):
        decode(as_image(picture))
    deep = Image.fromarray(np.full((4, 4), 257 * 200, np.uint16))
    assert decode(as_image(deep)).getpixel((0, 0)) == (200, 200, 200)
