"""What a reproduction trains on, and its recipe there: nothing passes for what it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnets.data import sources
from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.errors import DataError, UsageError
from resnets.reproduction import data_resolver
from resnets.reproduction.data_resolver import DataResolver, MissingData, fit_recipe
from resnets.specs import IMAGENET_IMAGES, PUBLISHED_IMAGES, Setting
from resnets.training import recipes

CIFAR = Setting(network="resnet20", shortcut="A", recipe="cifar", data="cifar10")
PLAIN = CIFAR.with_changes(network="plain20", shortcut=None)
IMAGENET = Setting(network="resnet18", shortcut="A", recipe="imagenet", data="imagenet")


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return sources.load("digits")


@pytest.fixture
def small_images() -> DataSplits:
    """As CIFAR-10's in kind, 32x32 and ten classes, but not its images."""

    def split(count: int) -> ImageArrays:
        return ImageArrays(np.zeros((count, 32, 32, 3), np.uint8), np.arange(count) % 10)

    return DataSplits(
        name="cifar10", train=split(3_000), test=split(500), classes=tuple("abcdefghij"), digest="of others"
    )


def test_the_declared_recipe_on_images_of_the_declared_kind(small_images: DataSplits) -> None:
    """The recipe is the declared one, in the length of its scale."""
    assert fit_recipe(CIFAR, "full", small_images) == recipes.CIFAR
    assert fit_recipe(CIFAR, "short", small_images) == recipes.CIFAR.scaled(4_000)
    smoke = fit_recipe(CIFAR, "smoke", small_images)
    assert smoke.iterations == data_resolver.SMOKE_ITERATIONS
    assert (smoke.lr, smoke.batch_size, smoke.augmentation) == (0.1, 128, recipes.CIFAR.augmentation)


def test_digits_are_not_mirrored_and_the_recipe_says_so(digits: DataSplits) -> None:
    """On digits the augmentation is theirs, and a departure with its reason."""
    fitted = fit_recipe(CIFAR, "full", digits)
    assert fitted.augmentation == recipes.DIGITS.augmentation
    assert (fitted.iterations, fitted.lr) == (64_000, 0.1)  # the rest is the declared one
    assert fitted.departures[-1].why == "the images are of 8x8 pixels"


def test_photos_at_smoke_scale_come_in_small_batches(photo_folder: Path) -> None:
    """Smoke runs on photos have batches of 32."""
    photos = sources.load(f"folder:{photo_folder}")
    assert fit_recipe(IMAGENET, "full", photos) == recipes.IMAGENET
    assert fit_recipe(IMAGENET, "smoke", photos).batch_size == 32


def test_a_data_set_is_known_by_its_images_and_not_by_its_name(small_images: DataSplits) -> None:
    """Other images under the name of CIFAR-10 are not CIFAR-10."""
    assert DataResolver([small_images], "full").resolve(CIFAR).name == "what is called cifar10"


@pytest.mark.data
def test_the_real_data_set_is_the_declared_one(cifar10_folder: Path) -> None:
    """The real CIFAR-10 is the declared one, whole, and at smoke scale a few of its images."""
    assert DataResolver([f"cifar10:{cifar10_folder}"], "full").resolve(CIFAR).name == "cifar10"
    few = DataResolver([f"cifar10:{cifar10_folder}"], "smoke").resolve(CIFAR)
    assert few.name == "cifar10 (2,000 + 400 images)"
    assert len(few.splits.train) == 2_000


def test_imagenet_is_known_by_how_many_images_it_has(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch, make_photos: Callable[..., Path]
) -> None:
    """A folder is ImageNet if its counts are."""
    fake = make_photos("imagenet", train=5)
    assert DataResolver([f"folder:{fake}"], "full").resolve(IMAGENET).name == "what is called imagenet"
    counts = dataclasses.replace(IMAGENET_IMAGES, train=12, test=6, classes=3)
    monkeypatch.setitem(PUBLISHED_IMAGES, "imagenet", counts)
    assert DataResolver([f"folder:{photo_folder}"], "full").resolve(IMAGENET).name == "imagenet"


def test_which_source_stands_for_what(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several sources a training takes the declared one, at smoke scale any that fits, and reads it once."""
    photos = f"folder:{photo_folder}"
    assert DataResolver(["digits"], "smoke").resolve(IMAGENET).source == "digits"
    assert DataResolver(["digits", photos], "smoke").resolve(CIFAR).source == "digits"
    read: list[str] = []
    monkeypatch.setattr(data_resolver, "load_data", lambda data, *_: read.append(data) or sources.load("digits"))
    assert DataResolver([photos, "cifar10:there"], "smoke").resolve(CIFAR).source == "cifar10:there"
    assert DataResolver([], "smoke").resolve(CIFAR).source == "cifar10"
    shelf = DataResolver(["cifar10:there"], "smoke")
    with pytest.raises(MissingData, match="imagenet:PATH"):
        shelf.resolve(IMAGENET)
    read.clear()
    assert shelf.resolve(CIFAR) is shelf.resolve(PLAIN)  # read once
    assert read[0] == "cifar10:there" and len(read) == 2  # the whole, and as a network of this type takes it


def test_what_is_not_read_is_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a data set that a custom row names, and photos as a small network has them; what has a path is read."""
    resolver = DataResolver(["cifar10:/nowhere"], "full", reads=False)
    with pytest.raises(DataError, match="/nowhere"):
        resolver.resolve(CIFAR)
    monkeypatch.setattr(sources, "load", lambda source: pytest.fail(f"{source} was read"))
    fine, photos = (resolver.resolve(CIFAR.with_changes(data=name)) for name in ("cifar100", "imagenet"))
    assert [data.name for data in (fine, photos)] == ["cifar100", "imagenet"]
    assert (len(fine.splits.classes), fine.splits.train.side) == (100, 32)
    assert (len(photos.splits.train), photos.splits.train.side) == (IMAGENET_IMAGES.train, 32)
    assert not fine.identified and not photos.identified  # their content is not declared


def test_a_folder_is_resized_for_the_small_networks(photo_folder: Path) -> None:
    """One folder is 32 x 32 arrays for CIFAR-type networks and files for others."""
    shelf = DataResolver([f"folder:{photo_folder}"], "full")
    small, large = shelf.resolve(CIFAR).splits.train, shelf.resolve(IMAGENET).splits.train
    assert isinstance(small, ImageArrays) and small.images.shape[1:] == (32, 32, 3)
    assert isinstance(large, ImageFiles)


@pytest.mark.parametrize(
    ("scale", "tests"), [("full", ("center-crop",)), ("short", ("center-crop",)), ("smoke", ("ten-crop",))]
)
def test_networks_for_photos_are_not_run_on_digits(scale: data_resolver.Scale, tests: tuple[str, ...]) -> None:
    """Only at smoke scale, and if one of their tests is possible there: no ten crops can be taken of digits."""
    with pytest.raises(MissingData):
        DataResolver(["digits"], scale).resolve(IMAGENET, tests)
    assert DataResolver(["digits"], "smoke").resolve(IMAGENET, ("center-crop", "ten-crop")).name == "digits"


@pytest.mark.parametrize(("source", "error"), [("digit", UsageError), ("folder:/nowhere", DataError)])
def test_wrong_sources(source: str, error: type[Exception]) -> None:
    """An unknown name is a usage error, a folder that is not there a data error."""
    with pytest.raises(error, match=source.removeprefix("folder:")):
        DataResolver([source], "full").resolve(CIFAR)
