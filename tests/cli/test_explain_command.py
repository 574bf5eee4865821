"""`resnets explain`: what it prints and draws of many images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import resnets
from resnets.errors import DataError, UsageError

Command = Callable[..., tuple[int, str, str]]


def test_the_command_explains_what_predict_answers(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """With a picture for each image, also of one name, and the files that are no images at the end."""
    for name in ("a/x.png", "b/x.png"):
        (tmp_path / name).parent.mkdir()
        Image.radial_gradient("L").resize((30, 20)).save(tmp_path / name)
    (tmp_path / "b" / "broken.png").write_bytes(b"\x89PNG")
    images = (tmp_path / "a", tmp_path / "b")
    code, out, err = command("explain", digits_run, *images, "--out", tmp_path / "out", "--json", "--class", "3")
    assert code == 1 and "broken.png" in err
    found = json.loads(out)
    assert [one["class"] for one in found if "class" in one] == ["3", "3"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"x.png", "x-2.png"}
    assert found[0]["picture"] == str(tmp_path / "out" / "x.png")
    predicted = resnets.predict(digits_run, tmp_path / "a")[0]
    (explained,) = resnets.explain(digits_run, tmp_path / "a", out=tmp_path / "python")
    assert explained.prediction.classes == predicted.classes
    assert explained.prediction.probabilities == pytest.approx(predicted.probabilities, abs=1e-6)
    with Image.open(tmp_path / "python" / "x.png") as drawn:
        assert max(drawn.size) >= 200
    code, out, _ = command("explain", digits_run, tmp_path / "a")
    assert code == 0 and f"evidence for {predicted.classes[0]}" in out and "of 30 x 20" in out


def test_no_file_is_overwritten(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """In the folder of the images a picture has another name than each file there, and again in a second call."""
    Image.radial_gradient("L").save(tmp_path / "cat.jpg")
    (tmp_path / "cat.png").write_bytes(b"the user's")
    for expected in ("cat-2.png", "cat-3.png"):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        code, out, _ = command("explain", digits_run, tmp_path / "cat.jpg", "--out", tmp_path)
        assert code == 0 and expected in out and (tmp_path / expected).is_file()
        assert {path: path.read_bytes() for path in before} == before


def test_a_very_long_image_is_drawn(digits_run: Path, tmp_path: Path) -> None:
    """What the network sees of it is less than a pixel of the picture."""
    Image.linear_gradient("L").resize((5000, 2)).save(tmp_path / "long.png")
    resnets.explain(digits_run, tmp_path / "long.png", out=tmp_path / "out")
    with Image.open(tmp_path / "out" / "long.png") as drawn:
        assert drawn.size == (1024, 1)


def test_what_cannot_be_explained_is_refused(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """An unknown class, named; a folder that is a file; an image that is none."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    code, _, err = command("explain", digits_run, broken, "--class", "seven")
    assert code == 2 and "'seven'" in err
    with pytest.raises(UsageError, match="'seven'"):
        resnets.explain(digits_run, broken, class_name="seven")
    with pytest.raises(UsageError, match=r"broken\.png"):
        resnets.explain(digits_run, broken, out=broken)
    with pytest.raises(DataError, match=r"broken\.png"):
        resnets.explain(digits_run, broken)
