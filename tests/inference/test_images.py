"""The names of images: files, folders, patterns, standard input and shards."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import resnets
from resnets.data import sources
from resnets.data.stored_file import content_of
from resnets.errors import DataError
from resnets.inference.images import find_images, in_parts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with images in it and in subfolders, one of another format, and a text."""
    for name in ("a.png", "sub/b.png", "sub/deep/c.jpg", "sub/deep/.hidden.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "sub" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sub/b.png", "a.png"], ["sub/b.png", "a.png"]),
        (["absent.png"], ["absent.png"]),
        (["sub"], ["sub/b.png", "sub/deep/c.jpg"]),
        (["sub", "a.png", "a.png"], ["sub/b.png", "sub/deep/c.jpg", "a.png", "a.png"]),
        (["*.png"], ["a.png"]),
        (["**/*.png"], ["a.png", "sub/b.png"]),
        (["su?"], ["sub/b.png", "sub/deep/c.jpg"]),
        (["sub/**"], ["sub/b.png", "sub/deep/c.jpg", "sub/notes.txt"]),
    ],
)
def test_names_lead_to_their_images(folder: Path, names: list[str], expected: list[str]) -> None:
    """In their order: of folders what are images, by their suffix; of patterns each match once."""
    assert list(map(str, find_images(names))) == expected


def test_a_source_may_be_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `train` takes it: a shell expands ~ at the start of a word only."""
    monkeypatch.setenv("HOME", str(folder))
    assert find_images(["folder:~/sub"]) == [folder / "sub/b.png", folder / "sub/deep/c.jpg"]
    with tarfile.open(folder / "sub" / "some.tar", "w") as tar:
        tar.add(folder / "a.png", "a.png")
    assert [content_of(file) for file in find_images(["webdataset:~/sub/some.tar"])] == [  # type: ignore[arg-type]
        (folder / "a.png").read_bytes()
    ]


def test_a_file_whose_name_is_a_pattern_is_that_file(folder: Path) -> None:
    """A name that exists is never expanded."""
    (folder / "a.png").rename(folder / "[b]*.png")
    assert list(find_images(["[b]*.png"])) == [Path("[b]*.png")]


@pytest.mark.parametrize("name", ["empty", "*.gif", "webdataset:absent", "webdataset:absent.tar", "webdataset:a.tar"])
def test_a_name_without_images_fails_when_it_is_read(folder: Path, name: str) -> None:
    """So that the images of other names are read all the same."""
    (folder / "a.tar").write_bytes(b"no tar file" * 100)
    found = list(find_images([name, "a.png"]))
    assert found[1:] == [Path("a.png")]
    with pytest.raises(DataError, match=name.removeprefix("webdataset:").replace("*", r"\*")):
        content_of(found[0])


def test_standard_input_is_an_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name `-`, among others."""
    content = (folder / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    first, second = find_images(["-", "a.png"])
    assert (str(first), content_of(first), second) == ("-", content, Path("a.png"))


def test_a_folder_that_two_names_lead_to_is_listed_once(folder: Path) -> None:
    """A link to another folder, or to its own parent, is passed over: nothing is missing or read twice."""
    (folder / "sub" / "latest").symlink_to("deep")
    (folder / "sub" / "loop").symlink_to(folder / "sub")
    expected = [Path("sub/b.png"), Path("sub/deep/c.jpg")]
    assert find_images("sub") == expected
    assert in_parts("sub", 10) == [expected]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_tar_files_need_no_classes(folder: Path, suffix: str) -> None:
    """Their images come by their names; where one is cut, what comes before and the next tar file are read."""
    mode = "w:gz" if suffix.endswith("gz") else "w"
    for name in ("cut.tar", f"whole.{suffix}"):
        with tarfile.open(folder / name, "w" if name == "cut.tar" else mode, format=tarfile.GNU_FORMAT) as tar:
            tar.add("a.png")
            tar.add("sub")
    cut = folder / "cut.tar"
    cut.write_bytes(cut.read_bytes()[:1536])  # a header, an image and the header of the folder
    first, bad, *others = find_images([f"webdataset:cut.tar,whole.{suffix}"])
    assert (str(first), content_of(first)) == ("cut.tar/a.png", (folder / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"cut\.tar"):
        content_of(bad)
    names = ("a.png", "sub/b.png", "sub/deep/c.jpg")
    assert {str(one): content_of(one) for one in others} == {
        f"whole.{suffix}/{name}": (folder / name).read_bytes() for name in names
    }


def test_written_shards_have_the_images_of_all_splits(photo_folder: Path, tmp_path: Path) -> None:
    """By their folder or their manifest."""
    resnets.shard_data(f"folder:{photo_folder}", tmp_path / "shards")
    splits = sources.load(f"folder:{photo_folder}")
    expected = sorted(content_of(file) for part in (splits.train, splits.test) for file in part.paths)
    for name in ("shards", "shards/manifest.json"):
        assert sorted(map(content_of, find_images([f"webdataset:{tmp_path}/{name}"]))) == expected
