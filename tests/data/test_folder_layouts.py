"""Layouts of a folder of images: what is trained, validated and tested on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.data import folder, shard_writer, sources
from resnets.errors import DataError, UsageError


def arrange(photos: Path, names: dict[str, str]) -> Path:
    """Copy the splits of a folder data set under other names; '.' puts the classes into the folder itself."""
    root = photos.parent / "arranged"
    for name, split in names.items():
        shutil.copytree(photos / split, root / name, dirs_exist_ok=True)
    return root


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        ({"train": "train", "val": "val"}, (12, None, 6)),
        ({"Train": "train", "VALID": "val"}, (12, None, 6)),
        ({"TRAIN": "train", "Validation": "val"}, (12, None, 6)),
        ({"train": "train", "test": "val"}, (12, None, 6)),
        ({"train": "val", "valid": "train", "Test": "val"}, (6, 12, 6)),
        ({"Training": "train", "Testing": "val"}, (12, None, 6)),
        ({".": "train"}, (6, 3, 3)),
        ({"train": "train"}, (6, 3, 3)),
    ],
)
def test_each_layout_is_read_shown_and_sharded(
    photo_folder: Path, tmp_path: Path, names: dict[str, str], sizes: tuple[int, int | None, int]
) -> None:
    """Each folder is used for what its name says; shards of it and its audit have the same splits."""
    root = arrange(photo_folder, names)
    splits = folder.load(root)
    divided = splits.divided("all", 0)
    parts = divided.train, divided.validation, divided.test
    assert tuple(None if part is None else len(part) for part in parts) == sizes
    assert all(name in splits.roles for name in names if name != ".") and splits.remarks()[0] == splits.roles
    audit = resnets.check_data(f"folder:{root}", workers=1)
    assert not audit.would_fail and splits.roles in audit.notes
    assert sum(split.images for split in audit.splits.values()) == sum(size or 0 for size in sizes)
    shard_writer.write(splits, tmp_path / "shards", size=10**6)
    again = sources.load(f"webdataset:{tmp_path / 'shards'}")
    assert (again.digest, again.roles) == (splits.digest, splits.roles)
    held, expected = again.divided("all", 0).validation, divided.validation
    assert held is expected or [*held.labels] == [*expected.labels]  # type: ignore[union-attr, misc]


def test_what_is_drawn_to_test_on_depends_on_the_images_alone(make_photos) -> None:  # type: ignore[no-untyped-def]
    """The seed draws the validation images; whatever it is, the test images are a tenth of each class and the same."""
    root = arrange(make_photos(train=20), {".": "train"})
    splits = [folder.load(root).divided(split, seed) for split, seed in (("all", 0), ("all", 1), ("50%", 0))]
    tested, held = ([list(getattr(one, part).paths) for one in splits] for part in ("test", "validation"))
    assert tested[0] == tested[1] == tested[2] and len({one.digest for one in splits}) == 1
    assert len(held[0]) == len(held[1]) == len(tested[0]) == 6 and held[0] != held[1] and len(held[2]) == 27
    assert not {*tested[0]} & {*held[0], *splits[0].train.paths}  # type: ignore[attr-defined]


def test_a_class_with_a_single_image_is_trained_on(make_photos) -> None:  # type: ignore[no-untyped-def]
    """It is not drawn, and the class is named."""
    root = arrange(make_photos(train=2), {".": "train"})
    (root / "dog" / "000.jpg").unlink()
    splits = folder.load(root).divided("all", 0)
    assert (len(splits.train), splits.validation, len(splits.test)) == (3, None, 2)
    assert any("dog" in note for note in splits.notes)


def test_a_test_folder_without_classes_is_not_used(photo_folder: Path) -> None:
    """As of competitions, whose test images have no labels."""
    (photo_folder / "test").mkdir()
    shutil.copy(photo_folder / "val" / "cat" / "000.jpg", photo_folder / "test" / "1.jpg")
    splits = folder.load(photo_folder)
    assert (len(splits.test), splits.validation) == (6, None)
    assert any("test/" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ({"train": "train", "val": "val", "valid": "val"}, "val/ and valid/"),
        ({"Train": "train", "train": "train"}, "Train/ and train/"),
        ({"val": "val", "cat": "val"}, "no folder train/ next to val/"),
        ({"one/train": "train", "two/train": "train"}, "folder:.*/one"),
        ({"valid": "val/cat", "invalid": "val/dog"}, "where valid is a class, move all classes into .*/train"),
        ({"train": "val/cat", "bus": "val/dog"}, "no classes.*not used: bus/; .* all go into train/"),
        ({"seg_train/seg_train": "train", "seg_test/seg_test": "val"}, "seg_train/ and seg_test/ .* look like splits"),
    ],
)
def test_an_ambiguous_layout_is_refused(photo_folder: Path, names: dict[str, str], named: str) -> None:
    """Two folders of one role, no training images, data sets in folders, and classes with the names of splits."""
    with pytest.raises(DataError, match=named):
        folder.load(arrange(photo_folder, names))


def test_folders_of_images_next_to_train_are_noted(photo_folder: Path) -> None:
    """They may be for tests, under a name that is none of a split, or classes, of which one is called train."""
    for name in ("dev/cat", "bus/front", "labels", ".cache/cat"):
        (photo_folder / name).mkdir(parents=True)
    for name in ("dev/cat/1.jpg", "bus/front/1.jpg", "labels/1.txt", ".cache/cat/1.jpg"):
        shutil.copy(photo_folder / "val" / "cat" / "000.jpg", photo_folder / name)
    (note,) = folder.load(photo_folder).notes
    assert "not used: bus/, dev/;" in note


@pytest.mark.parametrize("names", [("bullet_train", "test_tube"), ("train station", "bus")])
def test_classes_with_words_of_splits_are_classes(photo_folder: Path, names: tuple[str, str]) -> None:
    """Folders that have images are classes, whatever their names."""
    found = folder.load(arrange(photo_folder, {names[0]: "train/cat", names[1]: "train/dog"}))
    assert found.classes == tuple(sorted(names))


def test_a_run_is_not_written_among_the_classes(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder would be a class from then on; next to train/, and in a hidden folder, it is none."""
    trial: dict[str, Any] = {"iterations": 1, "batch_size": 2, "workers": 0, "device": "cpu"}
    resnets.train("resnet8", f"folder:{photo_folder}", out=photo_folder / "run", **trial)
    with pytest.raises(UsageError, match="train.*a class"):
        resnets.train("resnet8", f"folder:{photo_folder}", out=photo_folder / "train" / "run", **trial)
    monkeypatch.chdir(photo_folder / "train")
    for call in (
        lambda: resnets.train("resnet8", "folder:.", **trial),
        lambda: resnets.study("folder:.", depths=[8], budget="1s"),
        lambda: resnets.shard_data("folder:.", "shards"),
    ):
        with pytest.raises(UsageError, match="a class"):
            call()
    resnets.train("resnet8", "folder:.", out=".runs/a", **trial)
    assert sorted(path.name for path in Path().iterdir()) == [".runs", "cat", "dog", "emu"]


def test_a_flat_folder_is_trained_resumed_and_evaluated(photo_folder: Path, tmp_path: Path) -> None:
    """The run records what was taken for what, continues, and is tested on the images that it held out."""
    root, out = arrange(photo_folder, {".": "train"}), tmp_path / "run"
    settings = {"iterations": 2, "batch_size": 2, "out": out}
    resnets.train("resnet20", f"folder:{root}", **settings)  # type: ignore[arg-type]
    again = resnets.train("resnet20", f"folder:{root}", resume=True, **settings)  # type: ignore[arg-type]
    assert "drawn to test on" in (out / "run.json").read_text() and again.validation_error is not None
    tested = resnets.evaluate(out, f"folder:{root}")
    assert (tested.samples, tested.top1_error) == (3, again.test_error)
    next(root.rglob("*.jpg")).rename(root / "moved.jpg")
    with pytest.raises(DataError, match=re.escape(str(out))):  # the draw would be another
        resnets.evaluate(out, f"folder:{root}")
