"""`--data NAME[:PATH]`: what is known, where it is looked for, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnets.data import cifar, sources
from resnets.data.image_files import ImageFiles
from resnets.errors import DataError, UsageError
from resnets.files import cache_folder


def test_each_source_is_found_by_its_name(photo_folder: Path) -> None:
    """The name before the colon is the source, with a path where it takes one."""
    assert sources.load("digits").name == "digits"
    photos = sources.load(f"folder:{photo_folder}")
    assert (photos.name, len(photos.classes)) == ("photos", 3)
    assert isinstance(photos.train, ImageFiles)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar", r"unknown data source 'cifar' \(did you mean cifar10 or cifar100\?\); known: digits, cifar10, "),
        ("digit", r"did you mean digits\?"),
        ("imagenett:/data", r"unknown data source 'imagenett:/data' \(did you mean imagenet\?\); known: "),
        ("imagenet", "needs a path: imagenet:PATH, with PATH/train/WNID"),
        ("webdataset", "needs a name: webdataset:FOLDER, as `resnets data shard` wrote it"),
        ("hf", r"needs a name: hf:REPO\[@SPLIT\]"),
        ("", "unknown data source ''"),
        ("folder", "needs a path: folder:PATH, with PATH/train/CLASS"),
        ("folder:", "'folder:': there is no path after the colon"),
        ("cifar10:", "'cifar10:': there is no path after the colon"),
        ("digits:/tmp", "digits takes no path"),
    ],
)
def test_a_wrong_source_is_explained(source: str, message: str) -> None:
    """An unknown source is an error with the nearest name."""
    with pytest.raises(UsageError, match=message):
        sources.load(source)


def test_a_bare_folder_gets_its_name(photo_folder: Path) -> None:
    """A path without a source is answered with the form to use."""
    with pytest.raises(UsageError, match=rf"did you mean folder:{photo_folder}"):
        sources.load(str(photo_folder))


def test_a_path_may_hold_colons_and_begin_at_home(make_photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Everything after the first colon is the path, and ~ is expanded."""
    root = make_photos("a:b")
    assert sources.load(f"folder:{root}").name == "a:b"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.load("folder:~/a:b").name == "a:b"


def test_a_missing_path_is_named_and_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that does not exist is an error, and nothing is downloaded."""

    def fetch(*_: object) -> None:
        raise AssertionError("fetched, although a path was given")

    monkeypatch.setattr(cifar, "download", fetch)
    for name in ("cifar10", "cifar100", "folder"):
        with pytest.raises(DataError, match=rf"{name}: no folder .*/nowhere"):
            sources.load(f"{name}:{tmp_path / 'nowhere'}")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment decides the folder of downloads."""
    monkeypatch.setenv("RESNETS_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("RESNETS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/resnets")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/resnets")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_without_network_and_cache_says_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision really tries, on a machine that the tests made look offline."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=rf"{name}: not found in .*/cache and could not be fetched .*as {name}:PATH"):
        sources.load(name)


def test_a_cache_that_cannot_be_written_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be created is an error with its path."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"could not be fetched \(.*Not a directory"):
        sources.load("cifar10")


@pytest.mark.data
def test_cifar_in_the_cache_is_read_from_there(cifar10_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 in the cache needs no path and no network."""
    before = sorted(cifar10_folder.iterdir())
    monkeypatch.setenv("RESNETS_CACHE", str(cifar10_folder))
    assert len(sources.load("cifar10").train) == 50_000  # type: ignore[arg-type]
    assert sorted(cifar10_folder.iterdir()) == before
