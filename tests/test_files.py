"""What the system says of files that fail to be read or written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import resnets
from resnets.errors import DataError, RunError, UsageError
from resnets.files import (
    cache_folder,
    expanded,
    free_name,
    reading,
    replacing,
    require_file,
    require_results_folder,
    write_bytes,
)


@pytest.mark.parametrize(
    ("error", "why"), [(FileNotFoundError(2, "No such file"), "No such file"), (OSError("too short"), "too short")]
)
def test_a_failed_reading_says_where_and_why(error: OSError, why: str) -> None:
    """In one line, also where the error has no number and so no text of its own."""
    with pytest.raises(DataError, match=rf"a/b: failed to read \({why}\)"), reading("a/b", DataError):
        raise error


def test_results_that_can_be_written_leave_nothing_yet(tmp_path: Path) -> None:
    """Neither a file nor a folder is made by what verifies that they can be, however deep the folder is."""
    require_file(tmp_path / "new" / "deep" / "found.csv")
    require_results_folder(tmp_path / "new" / "deep")
    require_results_folder(tmp_path)
    require_file(None), require_results_folder(None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="name a file"):
        require_file(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "weights.safetensors", "result.json"])
@pytest.mark.parametrize("known_by", ["run.json", "result.json"])
def test_the_files_of_a_run_are_not_taken_for_results(name: str, known_by: str, tmp_path: Path) -> None:
    """By their path or by a link to them; a file of another name may be next to them, and one of theirs elsewhere."""
    folder, link = tmp_path / "run", tmp_path / "link.json"
    require_file(folder / name)
    folder.mkdir()
    require_file(folder / name)
    (folder / known_by).write_text("{}")
    link.symlink_to(folder / name)
    for path in (folder / name, link):
        with pytest.raises(UsageError, match=f"{name} is the run's own"):
            require_file(path)
    require_file(folder / name, in_place=True)
    require_file(folder / "evaluation.json")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_that_takes_no_files_is_found_out_before_the_work() -> None:
    """As one that is mounted read-only; the error names the result."""
    for require, path in ((require_file, "/proc/found.csv"), (require_results_folder, "/proc/new/found")):
        with pytest.raises(RunError, match=f"{path}: failed to write"):
            require(path)


def written(folder: Path) -> dict[str, str]:
    """Return what the files of a folder hold, hidden ones too."""
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["there", "link", "."])
def test_a_folder_that_is_there_stays_and_gets_the_new_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, by a link to it and as the current one, which a shell is in; on an error it has the old files."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "a").write_text("old")
    (tmp_path / "link").symlink_to("there")
    monkeypatch.chdir(there if name == "." else tmp_path)
    before = there.stat().st_ino
    with pytest.raises(ZeroDivisionError), replacing(Path(name)) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("half")
        raise ZeroDivisionError
    assert written(there) == {"a": "old"}
    with replacing(Path(name)) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("new")
        (temporary / "b").write_text("more")
    assert written(there) == {"a": "new", "b": "more"} and there.stat().st_ino == before
    assert (tmp_path / "link").is_symlink() and sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    """255 bytes are most, of which a temporary file needs none; a number is appended to what is cut."""
    name = "\u65e5" * 83 + ".png"
    write_bytes(tmp_path / name, b"image")
    with replacing(tmp_path / name) as temporary:
        temporary.write_bytes(b"another")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"another")]
    taken: set[str] = set()
    found = [free_name(tmp_path, "\u65e5" * 84, ".heatmap.png", taken) for _ in range(12)]
    assert len(set(found)) == 12 and max(len(os.fsencode(one)) for one in found) <= 255


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    """And the link stays, also one to a file that is not there yet."""
    for name in ("old", "new"):
        (tmp_path / f"{name}.link").symlink_to(name)
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        require_file(tmp_path / f"{name}.link")
        write_bytes(tmp_path / f"{name}.link", b"written")
        assert (tmp_path / f"{name}.link").is_symlink() and (tmp_path / name).read_bytes() == b"written"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_a_pipe_or_device_takes_the_content_and_stays(tmp_path: Path) -> None:
    """As /dev/null, which root could replace; weights and exports, which are read back, are not written there."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    require_file(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(pipe, b"content")
    assert os.read(reader, 100) == b"content" and pipe.is_fifo()
    os.close(reader)
    with pytest.raises(RunError, match="pipe: failed to write .not a regular file"), replacing(pipe):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"] and pipe.is_fifo()


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: downloads need RESNETS_CACHE, and a name that starts with ~ is a name."""
    pwd = pytest.importorskip("pwd")
    for name in ("HOME", "XDG_CACHE_HOME", "RESNETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: {}["nobody"])
    with pytest.raises(UsageError, match="RESNETS_CACHE"):
        cache_folder()
    assert "RESNETS_CACHE" in resnets.doctor()["cache"]["folder"]
    assert expanded("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
