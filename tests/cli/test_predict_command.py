"""`resnets predict`: what it prints and writes of many images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import resnets
from resnets.errors import DataError, UsageError

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, and between them one that is broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate("abc"):
        Image.new("L", (20, 30), 100 * number).save(folder / f"{name}.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:40])
    return folder


def test_predictions_are_written_and_unreadable_files_listed(
    digits_run: Path, folder: Path, tmp_path: Path, command: Command
) -> None:
    """The rest is in the table, as Python writes it, and the exit code is 1."""
    out = tmp_path / "new" / "out.csv"
    code, printed, err = command("predict", digits_run, folder, tmp_path / "*.gif", "--out", out)
    assert code == 1
    assert str(folder / "b.png") in err and "*.gif" in err and str(out) in printed
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0] == ["filename", "label", "prob"]
    assert [row[0] for row in rows[1:]] == [str(folder / "a.png"), str(folder / "c.png")]
    good = resnets.predict(digits_run, f"{folder}/[ac].png", top=1, out=tmp_path / "python.csv")
    assert [(row[1], float(row[2])) for row in rows[1:]] == [
        (one.classes[0], pytest.approx(one.probabilities[0])) for one in good
    ]
    assert (tmp_path / "python.csv").read_text() == out.read_text()
    with pytest.raises(DataError, match=r"b\.png"):
        resnets.predict(digits_run, folder, out=tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_debug_shows_where_an_image_failed(digits_run: Path, folder: Path, command: Command) -> None:
    """The traceback of each image that was passed over, where otherwise there is a line; the others are processed."""
    code, printed, err = command("predict", digits_run, folder, "--debug")
    assert (code, len(printed.splitlines())) == (1, 2)
    assert "Traceback" in err and "b.png" in err
    assert "Traceback" not in command("predict", digits_run, folder)[2]


@pytest.mark.parametrize(("confidence", "unsure"), [(0.0, False), (1.0, True)])
def test_below_the_minimum_confidence_every_output_says_unsure(
    digits_run: Path, folder: Path, tmp_path: Path, command: Command, confidence: float, unsure: bool
) -> None:
    """In lines, JSON and tables, and in Python."""
    arguments = ("predict", digits_run, folder / "a.png", "--min-confidence", confidence)
    _, out, _ = command(*arguments)
    assert ("unsure" in out) == unsure and out.count("%") == 5
    _, out, _ = command(*arguments, "--json", "--out", tmp_path / "out.jsonl")
    assert json.loads(out)[0]["unsure"] == unsure
    assert (json.loads((tmp_path / "out.jsonl").read_text())["label"] == "unsure") == unsure
    model = resnets.load(digits_run)
    assert model.predict(folder / "a.png", min_confidence=confidence).unsure == unsure
    assert resnets.predict(digits_run, folder / "a.png", min_confidence=confidence)[0].unsure == unsure


def test_impossible_settings_are_refused(digits_run: Path, folder: Path, command: Command) -> None:
    """A confidence that is no probability, and a file that is no table, before anything is read."""
    with pytest.raises(UsageError, match="80"):
        resnets.predict(digits_run, folder / "a.png", min_confidence=80)
    code, _, err = command("predict", "absent", folder, "--out", "out.txt")
    assert (code, "out.txt" in err) == (2, True)
