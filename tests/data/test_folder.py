"""A folder of one's own images: what belongs to the data set, in which order, and what is refused by name."""

from __future__ import annotations

import dataclasses
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data import folder
from resnets.data.arrays import ImageArrays
from resnets.data.decoding import single_view
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.errors import DataError
from resnets.specs import InputSpec


def files_of(split: object) -> list[str]:
    assert isinstance(split, ImageFiles)
    return [f"{path.parent.name}/{path.name}" for path in split.paths]


def test_classes_and_files_are_sorted_and_labels_follow(make_photos) -> None:  # type: ignore[no-untyped-def]
    """The order is that of sorted names, whatever the file system gives."""
    root = make_photos(classes=("zebra", "Ant", "bee"), train=2, val=1)
    splits = folder.load(root)
    assert splits.classes == ("Ant", "bee", "zebra")
    names = ["Ant/000.jpg", "Ant/001.jpg", "bee/000.jpg", "bee/001.jpg", "zebra/000.jpg", "zebra/001.jpg"]
    assert files_of(splits.train) == names
    assert isinstance(splits.train, ImageFiles)
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert files_of(splits.test) == ["Ant/000.jpg", "bee/000.jpg", "zebra/000.jpg"]
    assert splits.name == "photos"


def test_the_digest_is_the_same_at_another_place(photo_folder: Path, tmp_path: Path) -> None:
    """A copy has the same digest, a part another one."""
    shutil.copytree(photo_folder, tmp_path / "copy")
    assert folder.load(tmp_path / "copy").digest == folder.load(photo_folder).digest
    (tmp_path / "copy" / "val" / "cat" / "001.jpg").unlink()
    assert folder.load(tmp_path / "copy").digest != folder.load(photo_folder).digest


def test_what_is_no_image_of_a_class_is_passed_over_and_named(photo_folder: Path) -> None:
    """Hidden and system folders at any depth, macOS's ._ files, files of other kinds and what lies outside classes."""
    expected = files_of(folder.load(photo_folder).train)
    cat = photo_folder / "train" / "cat"
    passed = {
        "hidden and system folders": ["train/cat/.thumbnails", "train/cat/@eaDir", "train/@eaDir", "train/.cache"],
        "hidden files": ["train/cat/._000.jpg", "train/cat/.DS_Store"],
        ".ppm files": ["train/cat/x.ppm", "val/dog/y.PPM"],
        ".txt files": ["train/cat/notes.txt"],
        "files without a suffix": ["train/README"],
        "images in no folder of a class": ["train/000.jpg"],
    }
    for name in (".thumbnails/deep/b.jpg", "@eaDir/000.jpg/SYNOPHOTO_THUMB_M.jpg"):
        (cat / name).parent.mkdir(parents=True)
        (cat / name).write_bytes(b"x")
    for kind, names in passed.items():
        for name in names:
            path = photo_folder / name
            path.mkdir(exist_ok=True) if "folders" in kind else path.write_bytes(b"x")
    splits = folder.load(photo_folder)
    assert files_of(splits.train) == expected
    assert splits.classes == ("cat", "dog", "emu")
    found = {(one.kind, Path(one.where).relative_to(photo_folder).as_posix()) for one in splits.passed_over}
    assert found == {(kind, name) for kind, names in passed.items() for name in names}
    assert len(splits.passed_over) == len(found)
    remark = splits.remarks()[-1]
    assert all(kind in remark for kind in passed)
    assert "hidden files (2, such as" in remark


def test_suffixes_in_any_case_and_subfolders_count(photo_folder: Path) -> None:
    """Each format by any of its suffixes, at any depth of a class."""
    cat = photo_folder / "train" / "cat"
    (cat / "more").mkdir()
    names = {"A.JPEG", "more/b.Png", "c.webp", "d.jfif", "e.JPE", "f.Tif", "g.tiff", "h.bmp", "i.gif", "j.JIF"}
    for name in names:
        shutil.copy(cat / "000.jpg", cat / name)
    found = set(files_of(folder.load(photo_folder).train))
    assert {name if "/" in name else f"cat/{name}" for name in names} < found


def test_links_are_followed(photo_folder: Path, tmp_path: Path) -> None:
    """To the data set, to a class, to a folder in a class, and to a file."""
    expected = len(files_of(folder.load(photo_folder).train))
    (photo_folder / "train" / "dog").rename(tmp_path / "elsewhere")
    (photo_folder / "train" / "dog").symlink_to(tmp_path / "elsewhere")
    (photo_folder / "train" / "cat" / "000.jpg").rename(tmp_path / "one.jpg")
    (photo_folder / "train" / "cat" / "000.jpg").symlink_to(tmp_path / "one.jpg")
    (photo_folder / "train" / "cat" / "dogs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(photo_folder)
    splits = folder.load(tmp_path / "link")
    assert len(files_of(splits.train)) == expected + 4


def test_a_broken_link_is_refused(photo_folder: Path) -> None:
    """Passed over in silence, it would make a smaller data set than the one on the label."""
    (photo_folder / "train" / "cat" / "gone.jpg").symlink_to(photo_folder / "nowhere.jpg")
    with pytest.raises(DataError, match=r"cat/gone.jpg: .*No such file"):
        folder.load(photo_folder)


def test_a_link_into_its_own_parent_is_refused(photo_folder: Path) -> None:
    """Followed, it would bring each image forty times, until the system loses patience."""
    (photo_folder / "train" / "cat" / "loop").symlink_to(photo_folder / "train" / "cat")
    with pytest.raises(DataError, match="cat/loop: .*/cat"):
        folder.load(photo_folder)


def test_a_link_is_named_whichever_comes_first(photo_folder: Path) -> None:
    """Of a folder and a link to it, the link is named, also where its name is the first in the alphabet."""
    cat = photo_folder / "train" / "cat"
    (cat / "2024").mkdir()
    (cat / "000.jpg").rename(cat / "2024" / "000.jpg")
    for name in ("2023", "latest"):
        (cat / name).symlink_to("2024")
        with pytest.raises(DataError, match=f"cat/{name}: a link to .*/cat/2024"):
            folder.load(photo_folder)
        (cat / name).unlink()


def test_what_is_missing_is_named(photo_folder: Path, tmp_path: Path) -> None:
    """A missing folder, split or class is named in the error."""
    with pytest.raises(DataError, match=r"folder: no folder .*/nowhere"):
        folder.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: .*train/"):
        folder.load(tmp_path / "empty")
    (tmp_path / "empty" / "train").mkdir()
    with pytest.raises(DataError, match="empty/train: no classes"):
        folder.load(tmp_path / "empty")


def test_a_class_without_training_images_is_refused_and_one_without_others_is_noted(photo_folder: Path) -> None:
    """Passed over in silence, it would shift the labels of the classes after it."""
    for file in (photo_folder / "val" / "dog").iterdir():
        file.rename(file.with_suffix(".txt"))
    splits = folder.load(photo_folder)
    assert splits.test.labels is not None and splits.test.labels.tolist() == [0, 0, 2, 2]
    assert any("no images of 1 class: dog" in note for note in splits.notes)
    for file in (photo_folder / "train" / "dog").iterdir():
        file.rename(file.with_suffix(".txt"))
    with pytest.raises(DataError, match=r"train/dog: class 'dog' .*\.txt files \(\d"):
        folder.load(photo_folder)


def test_classes_must_agree(photo_folder: Path) -> None:
    """Classes that only one split has are an error with their name."""
    (photo_folder / "val" / "emu").rename(photo_folder / "val" / "owl")
    with pytest.raises(DataError, match=r"val: class 'owl' .*/train"):
        folder.load(photo_folder)


def test_an_empty_image_is_refused_before_training(photo_folder: Path) -> None:
    """A file of no bytes is an error when the folder is listed."""
    (photo_folder / "train" / "dog" / "002.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="dog/002.jpg: "):
        folder.load(photo_folder)


def test_names_that_differ_by_unicode_normalization_are_explained(photo_folder: Path) -> None:
    """macOS writes an accent as a character of its own: the two names look the same."""
    (photo_folder / "train" / "cat").rename(photo_folder / "train" / "caf\u00e9")
    (photo_folder / "val" / "cat").rename(photo_folder / "val" / "cafe\u0301")
    with pytest.raises(DataError, match=r" NFC .* NFD"):
        folder.load(photo_folder)


@pytest.mark.parametrize("suffix", [".jxl", ".JP2"])
def test_an_image_of_another_kind_is_refused(photo_folder: Path, suffix: str) -> None:
    """An image format that is not read is an error with the file and the format."""
    (photo_folder / "train" / "dog" / f"x{suffix}").write_bytes(b"x")
    with pytest.raises(DataError, match=rf"dog/x{suffix}: {suffix.lower()} images"):
        folder.load(photo_folder)


@pytest.mark.parametrize("what", ["train", "train/cat"])
def test_an_unreadable_folder_is_named(photo_folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, as the superuser reads everything."""
    scandir, listdir = os.scandir, os.listdir

    def denied(real):  # type: ignore[no-untyped-def]
        def read(path):  # type: ignore[no-untyped-def]
            if Path(path) == photo_folder / what:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        return read

    monkeypatch.setattr(os, "scandir", denied(scandir))
    monkeypatch.setattr(os, "listdir", denied(listdir))
    with pytest.raises(DataError, match=rf"{what}: failed to read \(Permission denied\)"):
        folder.load(photo_folder)


def test_a_name_that_is_no_unicode_is_read(photo_folder: Path) -> None:
    """File names of any bytes are read."""
    file = photo_folder / "train" / "cat" / "000.jpg"
    try:
        file.rename(file.with_name(os.fsdecode(b"caf\xe9.jpg")))
    except OSError:
        pytest.skip("this file system knows only Unicode names")
    splits = folder.load(photo_folder)
    assert len(splits.in_memory(8).train) == 12  # type: ignore[arg-type]


def test_photos_become_small_images_by_scale_and_crop_not_squashed(tmp_path: Path) -> None:
    """A tall photo, red above and blue below a green square: the square stays square and fills the image."""
    for split in ("train", "val"):
        (tmp_path / split / "only").mkdir(parents=True)
        photo = np.zeros((300, 100, 3), np.uint8)
        photo[:100, :, 0] = photo[100:200, :, 1] = photo[200:, :, 2] = 255
        Image.fromarray(photo).save(tmp_path / split / "only" / "tall.png")
        Image.fromarray(photo.transpose(1, 0, 2)).save(tmp_path / split / "only" / "wide.png")
    train = folder.load(tmp_path).in_memory(32).train
    assert isinstance(train, ImageArrays)
    assert train.images.shape == (2, 32, 32, 3)
    assert train.images.dtype == np.uint8
    assert (train.images[:, 2:-2, 2:-2] == [0, 255, 0]).all()


def test_many_threads_give_what_one_file_at_a_time_gives(make_photos) -> None:  # type: ignore[no-untyped-def]
    """Decoding in threads changes neither pixels nor order."""
    splits = folder.load(make_photos(train=40, size=(20, 33)))
    train, files = splits.in_memory(8).train, splits.train
    assert isinstance(train, ImageArrays)
    assert isinstance(files, ImageFiles)
    view = InputSpec(size=8, resize=8)
    assert np.array_equal(train.images, np.stack([single_view(path, view) for path in files.paths]))
    assert np.array_equal(train.labels, files.labels)


def test_the_first_damaged_file_is_named_whichever_thread_sees_it(make_photos) -> None:  # type: ignore[no-untyped-def]
    """The error is of the first damaged file in the order of files."""
    root = make_photos(train=100, val=1)
    for name in ("cat/097.jpg", "dog/003.jpg", "emu/000.jpg"):
        (root / "train" / name).write_bytes(b"no image")
    filters = list(warnings.filters)
    for _ in range(3):
        with pytest.raises(DataError, match="cat/097.jpg: "):
            folder.load(root).in_memory(8)
    assert warnings.filters == filters


def test_pillows_warnings_do_not_reach_the_user(photo_folder: Path) -> None:
    """Of a header of 90 megapixels, for one; pytest makes an error of any warning."""
    strip = Image.new("L", (90_000, 1_000))
    strip.save(photo_folder / "val" / "cat" / "large.png")
    assert len(folder.load(photo_folder).in_memory(8).test) == 7  # type: ignore[arg-type]


def test_in_memory_keeps_the_rest_of_the_splits(photo_folder: Path) -> None:
    """Name, classes and the held-out part stay when photos become arrays."""
    splits = folder.load(photo_folder).hold_out(3, seed=0)
    small = splits.in_memory(8)
    assert (small.name, small.classes) == (splits.name, splits.classes)
    assert [len(part) for part in (small.train, small.validation, small.test)] == [9, 3, 6]  # type: ignore[arg-type]
    assert small.digest is not None
    assert small.digest != splits.digest


def test_the_digest_of_pixels_is_also_of_validation_images(photo_folder: Path) -> None:
    """Others to validate on make another data set; without any it is of training and test images."""
    splits = folder.load(photo_folder)
    without = splits.in_memory(8)
    assert without.digest == f"{without.train.digest()}:{without.test.digest()}"
    digests = {
        dataclasses.replace(splits, validation=validated).in_memory(8).digest
        for validated in (None, splits.test, splits.train)
    }
    assert len(digests) == 3


@pytest.mark.data
def test_real_photos_are_read(imagenette_folder: Path) -> None:
    """1,300 real photos are listed and decoded."""
    splits: DataSplits = folder.load(imagenette_folder)
    assert (len(splits.classes), len(splits.train), len(splits.test)) == (10, 1000, 300)  # type: ignore[arg-type]
    small = splits.in_memory(32)
    assert isinstance(small.train, ImageArrays)
    assert 100 < small.train.images.mean() < 130
