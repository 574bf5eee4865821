"""`resnets predict` and `resnets embed` into a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", ["predict", "embed"])
def test_a_folder_gets_parts(name: str, tmp_path: Path, command: Command) -> None:
    """Unreadable images are counted and no failure, since they are in the result; the same again does nothing."""
    pytest.importorskip("pyarrow")
    for number in range(3):
        Image.new("L", (9, 9), 80 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    arguments = (name, "resnet20-digits", "--data", f"folder:{tmp_path}", "--out", tmp_path / "out", "--part-images", 2)
    for _ in range(2):
        code, printed, err = command(*arguments)
        assert (code, err) == (0, "") and "3 images in 2 parts" in printed and "1 image" in printed
    if name == "predict":
        code, printed, _ = command(*arguments, "--json")
        assert (code, json.loads(printed)["unreadable"]) == (0, 1)


def test_images_are_named_once(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As arguments or as a source of images; and several processes need a folder."""
    for name in ("predict", "embed"):
        for arguments in (["a.png", "--data", "folder:b"], [], ["--data", "cifar10"]):
            code, _, err = command(name, "resnet20-digits", *arguments, "--out", tmp_path / "out")
            assert (code, "--data" in err) == (2, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    code, _, err = command("predict", "resnet20-digits", "a.png")
    assert (code, "--out" in err) == (2, True)
