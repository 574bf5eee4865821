"""The audit finds each thing that occurs in real data sets, and says whether training would fail of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.data import audit, folder, shard_writer
from resnets.errors import DataError

MakePhotos = Callable[..., Path]


def found(root: Path, source: str = "folder") -> dict[str, list[str]]:
    """Return the file names of the findings of each kind."""
    result = audit.check_data(f"{source}:{root}", workers=2)
    names: dict[str, list[str]] = {}
    for finding in result.findings:
        names.setdefault(finding.kind, []).append(Path(finding.file).name)
    return names


def test_a_valid_data_set_is_counted(make_photos: MakePhotos) -> None:
    """Images, classes and sizes of each split are counted, and progress is reported per image."""
    calls: list[tuple[int, int]] = []
    result = audit.check_data(
        f"folder:{make_photos(train=4, val=2)}", workers=2, progress=lambda done, total: calls.append((done, total))
    )
    assert (result.would_fail, result.findings, result.classes) == (False, (), 3)
    train = result.splits["train"]
    assert (train.images, train.classes, train.class_sizes) == (12, 3, (4, 4, 4))
    assert (train.widths, train.heights) == ((48, 48, 48), (40, 40, 40))
    assert result.splits["val"].images == 6
    assert calls == [(i, 18) for i in range(1, 19)]


def test_what_occurs_and_trains(photo_folder: Path) -> None:
    """Each is noted, none makes training fail, and the training does decode each."""
    cat, size = photo_folder / "train" / "cat", (40, 30)
    noise = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    photo, exif = Image.fromarray(noise), Image.Exif()
    exif[0x0112] = 6
    photo.save(cat / "png.JPEG", "PNG")
    photo.convert("CMYK").save(cat / "cmyk.jpg", "JPEG")
    photo.convert("L").save(cat / "grey.jpg")
    photo.save(cat / "rotated.jpg", exif=exif)
    photo.convert("RGBA").save(cat / "clear.png")
    photo.convert("P").save(cat / "palette.png", transparency=0)
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(cat / "deep.png")
    Image.new("L", (6000, 5000)).save(cat / "large.png")
    photo.save(cat / "zeros.jpg", quality=90)
    content = (cat / "zeros.jpg").read_bytes()
    (cat / "zeros.jpg").write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert found(photo_folder) == {
        "zeros at the end": ["zeros.jpg"],
        "large": ["large.png"],
        "extension": ["png.JPEG"],
        "CMYK": ["cmyk.jpg"],
        "16 bits": ["deep.png"],
        "rotated": ["rotated.jpg"],
        "grey": ["deep.png", "grey.jpg", "large.png"],
        "transparent": ["clear.png", "palette.png"],
    }
    assert not audit.check_data(f"folder:{photo_folder}", workers=1).would_fail
    assert len(folder.load(photo_folder).in_memory(8).train) == 21  # type: ignore[arg-type]
    assert size == photo.size


def test_what_makes_training_fail(photo_folder: Path) -> None:
    """All of it in one go, where loading the data set would stop at the first."""
    train, val = photo_folder / "train", photo_folder / "val"
    whole = (train / "cat" / "000.jpg").read_bytes()
    (train / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (train / "cat" / "text.jpg").write_text("no image")
    (train / "cat" / "empty.jpg").touch()
    (train / "cat" / "old.jxl").write_bytes(b"JXL")
    (train / "cat" / "gone.jpg").symlink_to(train / "nowhere")
    shutil.rmtree(train / "dog")
    (train / "dog").mkdir()
    (val / "emu").rename(val / "owl")
    names = found(photo_folder)
    assert names.pop("truncated") == ["cut.jpg"]
    assert names.pop("unreadable") == ["text.jpg"]
    layout = names.pop("layout")
    assert sorted(layout) == ["dog", "empty.jpg", "gone.jpg", "old.jxl", "val"]
    assert names == {}
    assert audit.check_data(f"folder:{photo_folder}", workers=2).would_fail


def test_a_header_that_claims_too_much_is_huge(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of more pixels than are read is a finding."""
    from resnets.data import limits

    monkeypatch.setattr(limits, "MAX_PIXELS", 48 * 40 - 1)
    assert len(found(photo_folder)["huge"]) == 18


def test_duplicates_within_and_across_splits_and_classes(photo_folder: Path) -> None:
    """The same content is named within a class, in two classes and in both splits."""
    train, val = photo_folder / "train", photo_folder / "val"
    shutil.copy(train / "cat" / "000.jpg", train / "cat" / "again.jpg")
    shutil.copy(train / "cat" / "001.jpg", val / "cat" / "leaked.jpg")
    shutil.copy(train / "dog" / "001.jpg", train / "emu" / "dog.jpg")
    assert found(photo_folder) == {
        "in both splits": ["leaked.jpg"],
        "two classes": ["dog.jpg"],
        "duplicate": ["again.jpg", "dog.jpg"],
    }
    result = audit.check_data(f"folder:{photo_folder}", workers=2)
    assert not result.would_fail
    assert result.findings[0].detail == f"the same as {train / 'cat' / '001.jpg'}"


def test_what_validation_and_test_share_is_not_trained_on(photo_folder: Path) -> None:
    """An image of both, and one of nearly the same content, have kinds of their own; it is no leak of training."""
    shutil.copytree(photo_folder / "val", photo_folder / "test")
    emu = photo_folder / "test" / "emu" / "000.jpg"
    Image.open(emu).resize((96, 80)).save(emu)
    names = found(photo_folder)
    assert len(names["in validation and test"]) == 5 and names["nearly in validation and test"] == ["000.jpg"]
    assert names.keys() == {"in validation and test", "nearly in validation and test"}


@pytest.mark.parametrize("source", ["folder", "imagenet"])
def test_what_training_would_refuse_as_a_whole(make_photos: MakePhotos, source: str) -> None:
    """No test images, or class names that look the same or are no UTF-8: what loading it says is a finding."""
    root = make_photos(train=2, val=2)
    names = {
        "cat": "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "dog": "cafe\N{COMBINING ACUTE ACCENT}",
        "emu": "emu\udce9",
    }
    if source == "imagenet":
        names = {name: f"n0000000{number}" for number, name in enumerate(names)}
    for class_folder in list(root.glob("*/*")):
        class_folder.rename(class_folder.with_name(names[class_folder.name]))
    if source == "imagenet":
        for file in list(root.glob("val/*/*")):
            file.unlink()
    result = audit.check_data(f"{source}:{root}", workers=1)
    details = [finding.detail for finding in result.findings if finding.kind == "layout"]
    assert result.would_fail
    with pytest.raises(DataError) as refused:
        resnets.load_data(f"{source}:{root}")
    assert any(detail in str(refused.value) for detail in details)
    if source == "folder":
        assert ["NFC" in detail for detail in details] == [True, False] and "UTF-8" in details[1]


def test_one_image_of_each_class_is_too_few(make_photos: MakePhotos) -> None:
    """Of PATH/CLASS/* none is left to test on, which a training refuses."""
    source = f"folder:{make_photos(train=1) / 'train'}"
    (finding,) = audit.check_data(source, workers=1).findings
    with pytest.raises(DataError, match=finding.detail):
        resnets.load_data(source)


def test_shards_are_looked_into(photo_folder: Path, tmp_path: Path) -> None:
    """Images inside shards are decoded, and changed bytes are a finding."""
    (photo_folder / "train" / "cat" / "text.jpg").write_text("no image")
    shard_writer.write(folder.load(photo_folder), tmp_path / "shards", size=10**6)
    result = audit.check_data(f"webdataset:{tmp_path / 'shards'}", workers=2)
    assert [finding.kind for finding in result.findings] == ["unreadable"]
    path = tmp_path / "shards" / "val-000000.tar"
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    result = audit.check_data(f"webdataset:{tmp_path / 'shards'}", workers=2)
    assert ["not what was written there" in finding.detail for finding in result.findings] == [False, True]


def test_a_folder_of_classes_alone_is_divided_as_train_divides_it(make_photos: MakePhotos, tmp_path: Path) -> None:
    """Into images to train, validate and test on, as a run with seed 0 draws them; also out of shards."""
    source = f"folder:{make_photos(train=30) / 'train'}"
    shard_writer.shard_data(source, tmp_path / "shards")
    for name in (source, f"webdataset:{tmp_path / 'shards'}"):
        splits = resnets.load_data(name).divided("all", seed=0)
        assert splits.validation is not None
        expected = {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)}
        found = audit.check_data(name, workers=2).splits
        assert {name: split.images for name, split in found.items()} == expected


def test_images_in_memory_are_counted() -> None:
    """Data without files has counts and sizes, and no findings."""
    result = audit.check_data("digits", workers=1)
    assert (result.splits["train"].images, result.splits["val"].widths) == (1437, (8, 8, 8))
    assert not result.would_fail


def test_what_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    """A folder without splits is a DataError rather than a finding."""
    with pytest.raises(DataError, match="train/"):
        audit.check_data(f"folder:{tmp_path}", workers=1)


@pytest.mark.data
def test_real_photos(imagenette_folder: Path) -> None:
    """Real photos have no finding that would make training fail."""
    result = audit.check_data(f"imagenet:{imagenette_folder}", workers=2)
    assert not result.would_fail
    assert result.splits["train"].images == 1000
    assert result.splits["val"].widths == (224, 224, 224)


@pytest.mark.parametrize(("brightest", "found"), [(4_095, True), (4_096, False)])
def test_twelve_bits_in_sixteen_are_noticed(photo_folder: Path, brightest: int, found: bool) -> None:
    """A sensor's values, stored as they are, become nearly black when sixteen bits are scaled to eight."""
    values = np.linspace(0, brightest, 12 * 12).astype(np.uint16).reshape(12, 12)
    Image.fromarray(values).save(photo_folder / "train" / "cat" / "raw.png")
    kinds = {finding.kind: finding for finding in audit.check_data(f"folder:{photo_folder}").findings}
    assert "16 bits" in kinds and ("dark 16 bits" in kinds) is found
    assert not found or "4,095" in kinds["dark 16 bits"].detail
