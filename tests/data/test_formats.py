"""Each format of images: the right colours, upright, of the first frame; damaged and hostile files are refused."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import COUNTS, fuzz
from pictures import GREEN, flag, is_flag, saved, tiff
from PIL import Image, ImageFile, features

from resnets.data.audit import inspect
from resnets.data.decoding import EncodedImage, decode, pixels
from resnets.data.formats import FORMATS, missing_decoder, recognised, why_unread
from resnets.data.headers import read_headers
from resnets.data.photos import as_tensor
from resnets.errors import DataError

AVIF = pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"))
HEIF = pytest.param(
    "HEIF", marks=pytest.mark.skipif(missing_decoder(FORMATS[-1]) is not None, reason="no pillow-heif is installed")
)
KINDS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", AVIF, HEIF]
BEST: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_is_read_by_its_content(tmp_path: Path, kind: str) -> None:
    """Colours and size are right whatever the file is called, and the format is known by its first bytes."""
    path = saved(tmp_path / "n02105855_2933.JPEG", flag(64, 48), kind, **BEST.get(kind, {}))
    image = decode(path)
    assert (image.mode, image.size) == ("RGB", (64, 48)) and is_flag(image)
    found = recognised(path.read_bytes())
    assert found is not None and found.name.upper() == kind
    assert decode(path, channels=1).mode == "L"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", AVIF])
def test_each_format_is_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    """By its EXIF orientation, or its container's (AVIF); its header gives the upright size without decoding."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = flag(64, 48).rotate({1: 0, 3: -180, 6: -270, 8: -90}[orientation], expand=True)
    path = saved(tmp_path / "a", turned, kind, exif=exif, **BEST.get(kind, {}))
    assert decode(path).size == (64, 48) and is_flag(decode(path))
    (header,) = read_headers([path])
    assert (header.width, header.height) == (64, 48)


@pytest.mark.parametrize("kind", ["MPO", "PNG", "WEBP", "TIFF", "GIF", AVIF, HEIF])
def test_the_first_picture_of_several_is_taken(tmp_path: Path, kind: str) -> None:
    """Phones append more to a JPEG (MPO); pages and animations have frames, which `data check` notes."""
    path = saved(tmp_path / "a", flag(64, 48), kind, save_all=True, append_images=[Image.new("RGB", (64, 48), GREEN)])
    image = decode(path)
    assert image.size == (64, 48) and image.getpixel((4, 4))[0] > 200  # type: ignore[index]
    assert ("frames" in dict(inspect(path).notes)) == (kind != "MPO")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True, "quality": 95, "subsampling": 0}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
        ("GIF", {"interlace": 1}),
    ],
)
def test_usual_variants_are_read(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    """Progressive and interlaced files, and the usual compressions of TIFF."""
    assert is_flag(decode(saved(tmp_path / "a", flag(64, 48), kind, **options)), tolerance=12)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF"])
def test_palettes_and_alpha(tmp_path: Path, kind: str) -> None:
    """A palette gives its colours, transparent ones too; of an alpha channel nothing is left."""
    palette = flag().convert("P", palette=Image.Palette.ADAPTIVE)
    assert is_flag(decode(saved(tmp_path / "p", palette, kind)))
    if kind == "GIF":
        assert is_flag(decode(saved(tmp_path / "t", palette, kind, transparency=0)))
        return
    clear = flag().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    assert is_flag(decode(saved(tmp_path / "a", clear, kind)))


def test_cmyk_and_one_bit_tiff(tmp_path: Path) -> None:
    """Four inks become colours; black and white 0 and 255."""
    assert is_flag(decode(saved(tmp_path / "c", flag().convert("CMYK"), "TIFF")))
    bits = saved(tmp_path / "b", Image.fromarray(np.array([[True, False]])), "TIFF", compression="group4")
    assert pixels(decode(bits, channels=1))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(("order", "bits", "photometric"), [("<", 16, 1), (">", 16, 1), ("<", 16, 0), ("<", 12, 1)])
def test_deep_grey_tiffs_are_scaled(tmp_path: Path, order: str, bits: int, photometric: int) -> None:
    """Of 16 or 12 bits and in either order of bytes; with photometric interpretation 0 the value 0 is white."""
    top = 2**bits - 1
    values = [0, top * 10 // 255, top * 128 // 255, top]
    data = struct.pack(f"{order}4H", *values)
    if bits == 12:
        data = b"".join((high << 12 | low).to_bytes(3, "big") for high, low in (values[:2], values[2:]))
    tags = {256: (4,), 257: (1,), 258: (bits,), 259: (1,), 262: (photometric,), 277: (1,), 278: (1,)}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(tags | {273: (8,), 279: (len(data),)}, data, order=order))
    expected = np.array([0, 10, 128, 255])
    found = pixels(decode(path, channels=1))[0, :, 0].astype(int)
    assert abs(found - (expected if photometric else 255 - expected)).max() <= 1
    assert ("16 bits" in dict(inspect(path).notes)) == (bits == 16)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_without_a_white_are_refused(tmp_path: Path, kind: type) -> None:
    """Fractions and integers of 32 bits may be of any range: clipped or scaled, they would train as black."""
    path = saved(tmp_path / "a.tif", Image.fromarray(np.full((4, 4), 0.5 if kind is np.float32 else 9, kind)), "TIFF")
    with pytest.raises(DataError, match=r"32 bits"):
        decode(path)


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "JPEG2000", "PCX", "SGI"])
def test_other_formats_are_refused_whatever_they_are_called(tmp_path: Path, kind: str) -> None:
    """What is in no row of the table is an error although it is named .jpg, and its decoder is not tried."""
    with pytest.raises(DataError, match=r"a.jpg: not a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIF image"):
        decode(saved(tmp_path / "a.jpg", flag(), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A part of a file is an error in each format, never grey pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / "a", Image.fromarray(noise), kind)
    content = path.read_bytes()
    for share in (0.02, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError) as error:
            decode(path)
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


# ---------------------------------------------------------------- what a decoder needs


def test_a_missing_decoder_is_named_with_its_command(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch, forget_decoders: None
) -> None:
    """HEIF without pillow-heif, AVIF with an older Pillow: when a folder is listed, and when a file is decoded."""
    brands = {".heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ".avif": b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"}
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", None)
    for suffix, command in ((".heic", r"pip install 'resnets\[heif\]'"), (".avif", r"pip install --upgrade pillow")):
        path = photo_folder / f"x{suffix}"
        path.write_bytes(brands[suffix])
        with pytest.raises(DataError, match=rf"x\{suffix}: .*{command}"):
            decode(path)
        assert why_unread(suffix)


@pytest.fixture
def forget_decoders() -> Iterator[None]:
    """Look for decoders again, before and after a test that hides some."""
    missing_decoder.cache_clear()
    yield
    missing_decoder.cache_clear()


# ---------------------------------------------------------------- hostile files


def _claiming(kind: str, content: bytes, side: int) -> bytes:
    """Return a file whose header says that it has `side` x `side` pixels."""
    sizes = {"JPEG": ">HH", "PNG": ">II", "GIF": "<HH", "BMP": "<II", "AVIF": ">II", "HEIF": ">II"}
    at = {
        "JPEG": content.find(b"\xff\xc0") + 5,
        "PNG": 16,
        "GIF": 6,
        "BMP": 18,
        "AVIF": content.find(b"ispe") + 8,
        "HEIF": content.find(b"ispe") + 8,
    }[kind]
    size = struct.pack(sizes[kind], side, side)
    return content[:at] + size + content[at + len(size) :]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", AVIF, HEIF])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many pixels are an error before memory is allocated, also where only headers are read."""
    path = saved(tmp_path / "bomb", flag(64, 64), kind)
    path.write_bytes(_claiming(kind, path.read_bytes(), 12_000))

    def load(self: object) -> None:
        raise AssertionError("the pixels were about to be allocated")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for read in (decode, lambda path: list(read_headers([path]))):
        with pytest.raises(DataError, match=r"bomb: failed to decode"):
            read(path)


TIFF_TAGS = {256: (3_000,), 257: (3_000,), 258: (8,), 259: (1,), 262: (1,), 277: (1,)}


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        (TIFF_TAGS | {256: (12_000,), 257: (12_000,), 273: (8,), 278: (12_000,), 279: (9,)}, "12000 x 12000 pixels"),
        (TIFF_TAGS | {322: (2**30,), 323: (2**20,), 324: (8,), 325: (9,)}, "tiles of"),
        (TIFF_TAGS | {273: (8,) * 900, 278: (2_999,), 279: (9,) * 900}, "900 tiles"),
        (TIFF_TAGS | {259: (34_676,), 273: (8,), 278: (3_000,), 279: (9,)}, "tiff_sgilog"),
    ],
)
def test_a_tiff_that_takes_gigabytes_or_minutes_is_refused(
    tmp_path: Path, tags: dict[int, tuple[int, ...]], match: str
) -> None:
    """Too many pixels, a tile larger than any image, a strip listed hundreds of times, an unusual compression."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(tags, bytes(range(256)) * 4))
    for read in (decode, lambda path: list(read_headers([path]))):
        with pytest.raises(DataError, match=match):
            read(path)


def test_a_run_length_encoded_bmp_is_limited(tmp_path: Path) -> None:
    """Pillow decodes it in Python: of 100 million pixels for half a minute."""
    head = struct.pack("<2sIHHI", b"BM", 200, 0, 0, 54 + 1024)
    info = struct.pack("<IiiHHIIiiII", 40, 9_000, 9_000, 1, 8, 1, 0, 0, 0, 256, 0)
    path = tmp_path / "a.bmp"
    path.write_bytes(head + info + bytes(1024) + bytes(100))
    with pytest.raises(DataError, match=r"at most 16 million"):
        decode(path)


def test_a_tiff_of_many_pages_is_opened_at_once(tmp_path: Path) -> None:
    """Only the first page is looked at: the others, here a circle of them, are not counted."""
    tags = {256: (2,), 257: (1,), 258: (8,), 259: (1,), 262: (1,), 273: (8,), 277: (1,), 278: (1,), 279: (2,)}
    content = bytearray(tiff(tags, b"\x07\x09"))
    content[-4:] = struct.pack("<I", 10)  # the next page is this one
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    start = time.perf_counter()
    assert pixels(decode(path, channels=1))[0, :, 0].tolist() == [7, 9]
    assert inspect(path).size == (2, 1)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", [*KINDS, "TIFF of LZW", "TIFF of JPEG"])
def test_damaged_images_are_read_or_refused(tmp_path: Path, kind: str, count: int) -> None:
    """As training, a test and `data check` read them: pixels or a DataError of one line."""
    exif, path = Image.Exif(), tmp_path / "x"
    exif[0x0112] = 6
    options: dict[str, Any] = {} if kind in ("GIF", "BMP") else {"exif": exif}
    name, _, compression = kind.partition(" of ")
    if name == "JPEG":
        options["progressive"] = True
    if compression:
        options["compression"] = {"LZW": "tiff_lzw", "JPEG": "jpeg"}[compression]
    content = saved(path, flag(), name, **options).read_bytes()

    def read(variant: bytes) -> None:
        path.write_bytes(variant)
        inspect(path)
        as_tensor(EncodedImage(path, 3))
        EncodedImage(path, 3).decoded_for(4).shorter_side(4, "bilinear")
        list(read_headers([path]))

    fuzz(read, content, count, documented=DataError)
