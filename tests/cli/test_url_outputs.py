"""Results go to disks of this machine: every command refuses a URL, a place that nothing can be written to, and a run's
own files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resnets.errors import UsageError
from resnets.files import make_folder

Command = Callable[..., tuple[int, str, str]]

URL = "s3://bucket/place"
RUN = "resnet20-digits"


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "resnet20", "-d", "digits", "--out", URL),
        ("train", "resnet20", "-d", "digits", "--seeds", "0,1", "--out", URL),
        ("detect", "train", "resnet18", "-d", "voc:nowhere", "-w", "nowhere", "--out", URL),
        ("locate", "train", "resnet18", "-d", "clsloc:nowhere", "-w", "nowhere", "--out", URL),
        ("study", "-d", "digits", "--out", URL),
        ("demo", "--out", URL),
        ("reproduce", "table6", "-d", "digits", "--out", URL),
        ("data", "shard", "folder:nowhere", URL),
        ("data", "check", "digits", "--out", f"{URL}.json"),
        ("evaluate", RUN, "-d", "digits", "--out", f"{URL}.json"),
        ("evaluate", RUN, "-d", "digits", "--mistakes", URL),
        ("calibrate", RUN, "-d", "digits", "--out", f"{URL}.safetensors"),
        ("predict", RUN, "a.png", "--out", URL),
        ("predict", RUN, "a.png", "--out", f"{URL}.csv"),
        ("embed", RUN, "a.png", "--out", URL),
        ("explain", RUN, "a.png", "--out", URL),
        ("convert", RUN, f"{URL}.safetensors"),
        ("convert", RUN, URL),
        ("export", RUN, f"{URL}.pt2"),
        ("deepen", RUN, "resnet32", f"{URL}.safetensors"),
        ("ablate", RUN, "-d", "digits", "--out", URL),
        ("gradients", "resnet20", "-d", "digits", "--out", URL),
        ("landscape", RUN, "-d", "digits", "--out", URL),
        ("responses", RUN, "-d", "digits", "--plot", f"{URL}.png"),
        ("responses", RUN, "-d", "digits", "--out", f"{URL}.json"),
    ],
    ids=lambda arguments: " ".join(one for one in arguments if one != RUN)[:40],
)
def test_a_url_for_results_is_one_line_before_anything_is_read(
    arguments: tuple[str, ...], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no folder is made here in its name."""
    monkeypatch.chdir(tmp_path)
    code, _, err = command(*arguments)
    assert code == 2
    assert "a URL" in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "check", "digits", "--out", "taken/found.json"),
        ("evaluate", "absent", "-d", "digits", "--out", "taken/found.json"),
        ("evaluate", "absent", "-d", "digits", "--mistakes", "taken/mistakes"),
        ("detect", "evaluate", "absent", "-d", "voc:nowhere", "--out", "taken/found"),
        ("locate", "evaluate", "absent", "-d", "clsloc:nowhere", "--out", "taken/found"),
        ("calibrate", RUN, "-d", "digits", "--out", "taken/calibrated.safetensors"),
        ("predict", "absent", "a.png", "--out", "taken/found.csv"),
        ("embed", "absent", "a.png", "--out", "taken/new/found.npz"),
        ("explain", "absent", "a.png", "--out", "taken/found"),
        ("convert", "absent", "taken/out.safetensors"),
        ("convert", "absent", "taken/out"),
        ("export", "absent", "taken/out.pt2"),
        ("deepen", "absent", "resnet32", "taken/out.safetensors"),
        ("ablate", "absent", "-d", "digits", "--out", "taken/found"),
        ("gradients", "resnet20", "-d", "digits", "--out", "taken/found"),
        ("landscape", "absent", "-d", "digits", "--out", "taken/found"),
        ("responses", "absent", "-d", "digits", "--out", "taken/found.json"),
    ],
    ids=lambda arguments: " ".join(one for one in arguments if one not in (RUN, "absent"))[:40],
)
def test_a_place_that_nothing_can_be_written_to_is_one_line_before_anything_is_read(
    arguments: tuple[str, ...], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a file in the place of a folder; the work is not done in vain, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    code, _, err = command(*arguments)
    assert code == 1
    assert "taken" in err and "failed to write" in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "check", "digits", "--out", "run/run.json"),
        ("evaluate", "absent", "-d", "digits", "--out", "run/result.json"),
        ("calibrate", RUN, "-d", "digits", "--out", "run/weights.safetensors"),
        ("predict", "absent", "a.png", "--out", "run/result.json"),
        ("convert", "absent", "run/weights.safetensors"),
        ("convert", RUN, "run"),
        ("deepen", "absent", "resnet32", "run/weights.safetensors"),
        ("responses", "absent", "-d", "digits", "--out", "run/result.json"),
    ],
    ids=lambda arguments: " ".join(one for one in arguments if one not in (RUN, "absent"))[:40],
)
def test_the_files_of_a_run_are_not_replaced(
    arguments: tuple[str, ...], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights, their result and its record belong together, whatever is to be written in place of one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for name in ("run.json", "result.json", "weights.safetensors"):
        (tmp_path / "run" / name).write_text("mine")
    code, _, err = command(*arguments)
    assert code == 2
    assert " run" in err and "name another" in err and err.count("\n") == 1
    assert {path.read_text() for path in (tmp_path / "run").iterdir()} == {"mine"}


def test_no_folder_is_made_in_the_name_of_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes: all folders for results are made by one function."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="s3:"):
        make_folder(Path(URL))
    assert not list(tmp_path.iterdir())
