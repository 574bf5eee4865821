"""Nearly equal images are found whatever was done to them, and different ones are not."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from resnets.data import audit
from resnets.data.near_duplicates import NearDuplicates, details_correlation, greys_of, hashes_of

Change = Callable[[Image.Image], Image.Image]


def scene(number: int) -> Image.Image:
    """Return a picture of 160 x 120 with structure at all scales, as photos have."""
    generator = np.random.default_rng(number)
    picture = np.zeros((120, 160, 3))
    for side, strength in ((3, 60), (8, 40), (20, 25), (60, 12)):
        noise = generator.normal(128, strength, (side, side, 3)).clip(0, 255).astype(np.uint8)
        picture += np.asarray(Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC), float) - 128
    return Image.fromarray((picture + 128).clip(0, 255).astype(np.uint8))


def recompressed(image: Image.Image) -> Image.Image:
    content = BytesIO()
    image.save(content, "JPEG", quality=20)
    return Image.open(content).convert("RGB")


CHANGES: dict[str, Change] = {
    "smaller": lambda image: image.resize((80, 60)),
    "larger": lambda image: image.resize((400, 300)),
    "other proportions": lambda image: image.resize((160, 160)),
    "recompressed": recompressed,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "grey": lambda image: image.convert("L"),
    "cropped": lambda image: image.crop((3, 2, 157, 118)),
    "cropped on one side": lambda image: image.crop((6, 0, 160, 120)),
    "all": lambda image: recompressed(ImageEnhance.Brightness(image.crop((2, 2, 158, 118))).enhance(1.1)).resize(
        (99, 70)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change: str) -> None:
    """Among other images, and as the copy of its own original."""
    compared = NearDuplicates()
    for number in range(20):
        compared.add(greys_of(scene(number)), 0)
    for number in range(5):
        compared.add(greys_of(CHANGES[change](scene(number))), 0)
    found = list(compared.matches())
    assert [(match.image, match.earlier) for match in found] == [(20 + number, number) for number in range(5)]
    assert all(0.6 <= match.correlation <= 1 for match in found)


def test_different_images_and_flat_ones_are_not_found() -> None:
    """Of many random scenes none is like another, and images without structure are like none."""
    compared = NearDuplicates()
    for number in range(400):
        compared.add(greys_of(scene(number)), 0)
    for grey in (0, 128, 128, 255, 255):
        compared.add(greys_of(Image.new("L", (64, 64), grey)), 0)
    assert list(compared.matches()) == []
    assert list(NearDuplicates().matches()) == []


def test_more_images_than_a_block_are_all_compared() -> None:
    """Also those of different blocks, in each group before; the most alike one of a group is named."""
    compared, generator = NearDuplicates(), np.random.default_rng(0)
    images = generator.integers(0, 256, (2_600, 32, 32), np.uint8)
    for number, image in enumerate(images):
        compared.add(image, 0 if number < 1_300 else 1)
    softer = np.round(images[[7, 2_200, 7]] * 0.9 + 12).astype(np.uint8)
    softer[2, 8:11, 8:11] = 0
    for image in (softer[0], softer[1], softer[2], images[7]):
        compared.add(image, 2)
    found = {(match.image, match.earlier) for match in compared.matches()}
    assert found == {(2_600, 7), (2_601, 2_200), (2_602, 7), (2_602, 2_600), (2_603, 7), (2_603, 2_600)}


def test_the_hash_is_of_64_bits_and_half_of_them_are_set() -> None:
    """For each image alone; a shift of the details within two pixels does not count."""
    greys = np.stack([greys_of(scene(number)) for number in range(6)])
    hashes = hashes_of(greys)
    assert hashes.shape == (6, 64) and (hashes.sum(1) == 32).all()
    assert np.array_equal(hashes_of(greys[3:4])[0], hashes[3])
    shifted = np.roll(greys, (2, -1), (1, 2))
    assert details_correlation(greys, shifted).min() > 0.99
    assert details_correlation(greys, np.roll(greys, 1, 0)).max() < 0.6


def test_the_audit_names_nearly_equal_images(tmp_path: Path) -> None:
    """Within a split and across splits, with the other's class; exact copies are reported as such, and only once."""
    for number, (split, name) in enumerate([("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "dog")]):
        folder = tmp_path / split / name
        folder.mkdir(parents=True)
        for image in range(3):
            scene(10 * number + image).save(folder / f"{image}.png")
    train, val = tmp_path / "train", tmp_path / "val"
    scene(0).resize((120, 90)).save(train / "cat" / "small.png")
    recompressed(scene(11)).save(val / "cat" / "again.png")
    scene(20).save(val / "dog" / "exact.png")
    result = audit.check_data(f"folder:{tmp_path}", workers=1)
    found = {finding.kind: finding for finding in result.findings}
    assert result.counts == {
        "two classes": 1,
        "nearly in both splits": 1,
        "duplicate": 1,
        "near-duplicate": 1,
    }
    near, across = found["near-duplicate"], found["nearly in both splits"]
    assert (near.split, Path(near.file).name) == ("train", "small.png") and "cat/0.png" in near.detail
    assert Path(across.file).name == "again.png" and "dog/1.png, of class dog" in across.detail
    assert not result.would_fail
