"""Splits: a validation set is drawn by the seed, and what is no data set is refused before training."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.data.stored_file import Paths
from resnets.errors import DataError


def numbered(count: int) -> ImageArrays:
    """Images whose first pixel is their number."""
    images = np.zeros((count, 2, 2, 3), np.uint8)
    images[:, 0, 0, :2] = np.stack([np.arange(count) // 256, np.arange(count) % 256], axis=1)
    return ImageArrays(images, np.arange(count) % 10)


def numbers(images: object) -> list[int]:
    assert isinstance(images, ImageArrays)
    return (images.images[:, 0, 0, 0].astype(int) * 256 + images.images[:, 0, 0, 1]).tolist()


TEN = tuple("0123456789")


def test_45k5k_is_disjoint_complete_and_drawn_by_the_seed() -> None:
    """45,000 and 5,000 images are a partition that the seed decides, and the test images stay."""
    splits = DataSplits(name="numbers", train=numbered(50_000), test=numbered(10), classes=TEN)
    drawn = [splits.hold_out(5_000, seed) for seed in (0, 0, 1)]
    train, validation = numbers(drawn[0].train), numbers(drawn[0].validation)
    assert (len(train), len(validation)) == (45_000, 5_000)
    assert sorted(train + validation) == list(range(50_000))
    assert isinstance(drawn[0].validation, ImageArrays)
    assert [n % 10 for n in validation] == drawn[0].validation.labels.tolist()  # each keeps its own label
    assert numbers(drawn[1].validation) == validation
    assert 400 < len(set(numbers(drawn[2].validation)) & set(validation)) < 600  # by chance 500
    assert drawn[0].test is splits.test


@pytest.mark.parametrize("count", [0, 10, 11, -1])
def test_an_impossible_split_is_refused(count: int) -> None:
    """Holding out none, all or more is an error with the number."""
    splits = DataSplits(name="numbers", train=numbered(10), test=numbered(10), classes=TEN)
    with pytest.raises(DataError, match=rf" {count} of 10 training images"):
        splits.hold_out(count, 0)


def test_samples_of_a_dataset_object_are_held_out_too() -> None:
    """A user's dataset is divided without losing a sample."""
    dataset = TensorDataset(torch.arange(10.0).reshape(10, 1, 1, 1), torch.arange(10))
    splits = DataSplits(name="own", train=dataset, test=dataset, classes=TEN)
    for drawn in (splits.hold_out(2, 0), splits.hold_out_share(20, 0)):
        assert drawn.validation is not None
        train, validation = (
            [int(label) for _, labels in split.test_batches(None, batch_size=3) for label in labels]
            for split in (drawn.train, drawn.validation)
        )
        assert len(validation) == 2
        assert sorted(train + validation) == list(range(10))


def test_a_share_is_of_each_class() -> None:
    """Rounded to one image, never all of a class, and one at least where it has two; drawn by the seed."""
    labels = np.repeat(np.arange(4), [20, 7, 2, 1])
    splits = DataSplits(name="own", train=ImageArrays(numbered(30).images, labels), test=numbered(4), classes=TEN[:4])
    drawn = splits.hold_out_share(20, 0)
    assert isinstance(drawn.train, ImageArrays) and isinstance(drawn.validation, ImageArrays)
    assert np.bincount(drawn.validation.labels, minlength=4).tolist() == [4, 1, 1, 0]
    assert np.bincount(drawn.train.labels).tolist() == [16, 6, 1, 1]
    assert sorted(numbers(drawn.train) + numbers(drawn.validation)) == list(range(30))
    assert labels[numbers(drawn.validation)].tolist() == drawn.validation.labels.tolist()
    assert numbers(splits.hold_out_share(20, 0).validation) == numbers(drawn.validation)
    assert numbers(splits.hold_out_share(20, 1).validation) != numbers(drawn.validation)


def test_a_share_of_single_images_is_refused() -> None:
    """Classes of one image each cannot be divided."""
    splits = DataSplits(name="own", train=numbered(10), test=numbered(10), classes=TEN)
    with pytest.raises(DataError, match="10 training images to validate on, .* are 0; add images"):
        splits.hold_out_share(50, 0)


def test_some_images_are_evenly_spaced() -> None:
    """A part is spread over all images; a larger one is all of them."""
    assert numbers(numbered(9).subsample(3)) == [0, 4, 8]
    assert numbers(numbered(9).subsample(None)) == numbers(numbered(9).subsample(20)) == list(range(9))


def test_files_are_held_out_likewise() -> None:
    """Files keep their labels when they are divided."""
    files = ImageFiles(tuple(Path(f"{n}.jpg") for n in range(10)), np.arange(10))
    drawn = DataSplits(name="files", train=files, test=files, classes=TEN).hold_out(3, 0)
    assert isinstance(drawn.train, ImageFiles)
    assert isinstance(drawn.validation, ImageFiles)
    assert sorted([*drawn.train.paths, *drawn.validation.paths]) == sorted(files.paths)
    assert [int(path.stem) for path in drawn.validation.paths] == drawn.validation.labels.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_type_become_int64(dtype: type) -> None:
    """Labels have one type, whatever they come as."""
    labels = ImageArrays(np.zeros((3, 2, 2, 1), np.uint8), np.array([2, 1, 0]).astype(dtype)).labels
    assert labels.dtype == np.int64
    assert labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 2, 2, 1), np.float32), np.zeros(3, int), r"images in memory are float32 \(3, 2, 2, 1\)"),
        (np.zeros((3, 2, 2), np.uint8), np.zeros(3, int), r"must be uint8 of shape \(N, H, W, C\)"),
        (np.zeros((3, 2, 2, 1), np.uint8), np.zeros(2, int), r"labels are int64 \(2,\); they must be 3 integers"),
        (np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3), "labels are float64"),
    ],
)
def test_what_are_no_images_or_labels_is_refused(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    """Wrong types and shapes are errors that name them."""
    with pytest.raises(DataError, match=message):
        ImageArrays(images, labels)


def test_an_empty_split_is_refused() -> None:
    """A split without images is an error with its name."""
    with pytest.raises(DataError, match=r"numbers: .*test images"):
        DataSplits(name="numbers", train=numbered(10), test=numbered(0), classes=TEN)


@pytest.mark.parametrize("label", [-1, 10, 255])
def test_a_label_without_a_class_is_refused(label: int) -> None:
    """A label outside the classes is an error with its value."""
    bad = numbered(10)
    bad.labels[3] = label
    with pytest.raises(DataError, match=rf"validation .*label {label}; .*0 to 9"):
        DataSplits(name="numbers", train=numbered(10), test=numbered(10), validation=bad, classes=TEN)


def test_the_digest_is_of_pixels_and_labels() -> None:
    """A changed pixel, label or order changes the digest."""
    base = numbered(300)
    digests = {base.digest(), base.select(np.arange(300)[::-1]).digest()}
    digests.add(ImageArrays(base.images, base.labels[::-1]).digest())
    changed = dataclasses.replace(base, images=base.images.copy())
    changed.images[5, 1, 1, 0] = 1
    digests.add(changed.digest())
    assert len(digests) == 4
    assert base.digest() == numbered(300).digest()


def test_the_digest_of_files_is_of_their_classes_names_and_sizes(tmp_path: Path) -> None:
    """It does not move with the folder; a renamed, grown or relabelled file changes it, and a vanished one is named."""

    def files(
        root: Path, names: tuple[str, ...], content: bytes = b"x", labels: tuple[int, ...] = (0, 1)
    ) -> ImageFiles:
        root.mkdir()
        for name in names:
            (root / name).write_bytes(content)
        return ImageFiles(tuple(root / name for name in names), np.array(labels))

    one = files(tmp_path / "1", ("a.jpg", "b.jpg"))
    assert files(tmp_path / "2", ("a.jpg", "b.jpg")).digest() == one.digest()
    assert files(tmp_path / "3", ("a.jpg", "c.jpg")).digest() != one.digest()
    assert files(tmp_path / "4", ("a.jpg", "b.jpg"), b"xy").digest() != one.digest()
    assert files(tmp_path / "5", ("a.jpg", "b.jpg"), labels=(0, 0)).digest() != one.digest()
    (tmp_path / "1" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"1/b.jpg: .*No such file"):
        one.digest()


def test_paths_take_no_more_than_their_names() -> None:
    """They are what they were made of, from either end and in parts, and go to other processes as they are."""
    made = [Path("a/b.jpg"), Path("/c d/é.png"), Path(os.fsdecode(b"\xff.jpg"))]
    paths = Paths(made)
    assert list(paths) == made == list(pickle.loads(pickle.dumps(paths)))
    assert (paths[-1], paths[np.int64(1)], list(paths[::2])) == (made[2], made[1], made[::2])
    with pytest.raises(IndexError):
        paths[3]
    many = Paths(Path(f"train/n{number % 1000:08}/n{number:08}.JPEG") for number in range(10_000))
    assert len(pickle.dumps(many)) < 10_000 * 40
    assert isinstance(ImageFiles(tuple(made), np.zeros(3, np.int64)).paths, Paths)


def test_splits_in_memory_have_images_of_one_size_and_classes_of_distinct_names() -> None:
    """What is read from the training split holds for the others."""
    train = ImageArrays(np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1]))
    grey = ImageArrays(np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 0, 1]))
    with pytest.raises(DataError, match="test .* 8x8x1.* training .* 8x8x3"):
        DataSplits(name="two", train=train, test=grey, classes=("a", "b"))
    for twice in (("a", "a"), ("caf\u00e9", "cafe\u0301")):  # the latter look the same
        with pytest.raises(DataError, match=twice[0]):
            DataSplits(name="two", train=train, test=train, classes=twice)
    alone = DataSplits(name="one", train=train.select(np.array([0])), test=train.select(np.array([2])), classes=("a",))
    assert any("one class" in remark for remark in alone.remarks())


def test_paths_may_be_texts(tmp_path: Path) -> None:
    """As any list of files in Python: an intact image would else be called damaged."""
    (tmp_path / "a.png").write_bytes(b"abc")
    files = ImageFiles([f"{tmp_path}/a.png"], np.zeros(1, np.int64))  # type: ignore[list-item]
    assert files.digest() == ImageFiles([tmp_path / "a.png"], np.zeros(1, np.int64)).digest()
    assert list(files.paths) == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([0, 1], ("0", "1")),
        (np.array(["a", "b"]), ("a", "b")),
        ([("tench", "Tinca tinca"), ("cassette player",)], ("tench, Tinca tinca", "cassette player")),
        (2, None),
        ("ab", None),
    ],
)
def test_classes_are_names(given: Any, names: tuple[str, ...] | None) -> None:
    """Of any list, with synonyms as torchvision has them; what is none is refused."""
    images = numbered(4)
    data = ImageArrays(images.images, images.labels % 2)
    if names is None:
        with pytest.raises(DataError, match=f"classes are {given!r}; they must be a list of names"):
            DataSplits(name="two", train=data, test=data, classes=given)
    else:
        assert DataSplits(name="two", train=data, test=data, classes=given).classes == names


def test_a_list_is_no_array() -> None:
    """Nor is it one of an object that NumPy does not know."""
    with pytest.raises(DataError, match="of type list; they must be a NumPy array"):
        ImageArrays([[1]], np.zeros(1, np.int64))  # type: ignore[arg-type]


def test_any_seed_draws() -> None:
    """A negative one too."""
    images = numbered(40)
    data = DataSplits(name="ten", train=images, test=images, classes=TEN).hold_out(4, -1)
    assert data.validation is not None and len(data.validation) == 4
