"""`resnets export`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

Command = Callable[..., tuple[int, str, str]]


def test_the_command_exports_and_reports(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """It prints what was verified, on the images that are named; what cannot be written is one line."""
    Image.radial_gradient("L").save(tmp_path / "a.png")
    out = tmp_path / "net.pt2"
    code, printed, _ = command("export", digits_run, out, "--images", tmp_path / "a.png", "--normalize")
    assert code == 0 and out.exists()
    for part in ("10 classes", "uint8", "difference", "by torch on images"):
        assert part in printed
    code, printed, _ = command("export", digits_run, out, "--json")
    assert code == 0 and json.loads(printed)["verified_on"] == "random pixels"
    code, _, error = command("export", digits_run, tmp_path / "net.tflite")
    assert code == 2 and "net.tflite" in error and len(error.splitlines()) == 1
    code, _, error = command("export", digits_run, tmp_path / "other.pt2", "--images", tmp_path / "none.png")
    assert code == 1 and "none.png" in error and not (tmp_path / "other.pt2").exists()
