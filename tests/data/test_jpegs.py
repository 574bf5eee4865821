"""JPEGs as torchvision reads them are the pixels that Pillow reads, and their damage is the same error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data.decoding import decode, pixels
from resnets.data.jpegs import decode_tensor
from resnets.errors import DataError


def same(path: Path, channels: int = 3) -> bool:
    """Tell whether a file decodes to the same pixels both ways."""
    expected = pixels(decode(path, channels))
    return np.array_equal(decode_tensor(path, channels).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_the_same_pixels_as_a_tensor(tmp_path: Path, mode: str, orientation: int) -> None:
    """Grey and colour ones, of an odd size, turned any way."""
    noise = np.random.default_rng(0).integers(0, 256, (21, 34, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise).convert(mode).save(tmp_path / "a.jpg", quality=90, exif=exif)
    assert same(tmp_path / "a.jpg")
    assert same(tmp_path / "a.jpg", channels=1)


def test_what_is_no_plain_jpeg_is_the_same_as_a_tensor(tmp_path: Path) -> None:
    """CMYK and progressive JPEGs, a PNG whatever it is called, and a WebP."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 34, 3)).astype(np.uint8))
    noise.convert("CMYK").save(tmp_path / "cmyk.jpg")
    noise.save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    noise.save(tmp_path / "png.jpg", "PNG")
    noise.save(tmp_path / "a.webp")
    assert all(same(path) for path in tmp_path.iterdir())


def test_damage_is_the_same_error_as_a_tensor(tmp_path: Path) -> None:
    """A truncated JPEG, one of too many pixels, and what is no image."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "c.jpg").write_bytes(b"no image")
    at = content.index(b"\xff\xc0") + 5  # height and width in the header of the frame
    (tmp_path / "d.jpg").write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    for name in ("b.jpg", "c.jpg", "d.jpg", "e.jpg"):
        with pytest.raises(DataError) as expected:
            decode(tmp_path / name)
        with pytest.raises(DataError) as found:
            decode_tensor(tmp_path / name)
        assert str(found.value) == str(expected.value)
