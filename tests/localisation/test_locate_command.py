"""The commands of `resnets locate` as a user types them: what they print, their JSON and their exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from small_localisers import TinyLocaliser, save_classifier, write_clsloc

from resnets.cli import run


def test_from_training_to_a_scored_file(
    tiny_localiser: TinyLocaliser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run is trained and resumed; its guesses are printed, written, and scored from the file as before."""
    data, guesser = f"clsloc:{tiny_localiser.data}", save_classifier(tmp_path)
    machine = ["--device", "cpu", "--workers", "0"]
    train = ["locate", "train", "resnet8", "--data", data, "--weights", str(guesser), "--recipe", "small-rpn", *machine]
    train += ["--size", "32", "--iterations", "2", "--batch-size", "4", "--anchors", "8,16", "--out", f"{tmp_path}/run"]
    assert run(train) == 0
    assert "localisation error on the true class" in capsys.readouterr().out
    assert run([*train, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().out

    evaluate = ["locate", "evaluate", str(tiny_localiser.run), "-d", data, "-c", str(guesser), "-p", "center", *machine]
    assert run([*evaluate, "--out", f"{tmp_path}/found"]) == 0
    assert "one box, true class" in (table := capsys.readouterr().out) and "best of 5 guesses" in table
    assert run([*evaluate, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    score = ["locate", "score", "-g", str(tiny_localiser.data), "--guesses", f"{tmp_path}/found/guesses_test.txt"]
    assert run([*score, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == scores["errors"]
    assert run(score) == 0 and "best of 1 guess" in capsys.readouterr().out


def test_guesses_for_image_files(
    tiny_localiser: TinyLocaliser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each class, or JSON; a file that is no image is listed, and the exit code is 1."""
    image = next((tiny_localiser.data / "Data" / "CLS-LOC" / "val").iterdir())
    predict = [
        "locate",
        "predict",
        str(tiny_localiser.run),
        str(image),
        "-c",
        str(save_classifier(tmp_path)),
        "--device",
        "cpu",
    ]
    assert run([*predict, "--top", "2"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 2
    (tmp_path / "no.jpg").write_text("no image")
    assert run([*predict[:4], str(tmp_path / "no.jpg"), *predict[4:], "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert [len(guess["box"]) for guess in first["guesses"]] == [4] * 3 and "error" in second


def test_check_counts_and_finds_damaged_images(
    tiny_localiser: TinyLocaliser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training that a damaged image stops names the command that lists all of them, which has exit code 1."""
    data = shutil.copytree(tiny_localiser.data, tmp_path / "data")
    (data / "devkit" / "data" / "ILSVRC_clsloc_validation_blacklist.txt").write_text("2\n")
    source = f"clsloc:{data}"
    check = ["locate", "check", source]
    assert run([*check, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["splits"]["test"] == {
        "images": 6,
        "excluded": 1,
        "boxes": 6,
        "of_class": dict.fromkeys(shown["splits"]["train"]["of_class"], 2),
    }
    assert "damaged" not in shown and shown["notes"] == []
    assert run([*check, "--images"]) == 0
    assert "0 damaged images" in capsys.readouterr().out

    image = next((data / "Data" / "CLS-LOC" / "train").rglob("*.JPEG"))
    image.write_bytes(image.read_bytes()[:-200])
    weights, out = str(save_classifier(tmp_path)), str(tmp_path / "run")
    train = ["locate", "train", "resnet8", "--data", source, "--weights", weights, "--out", out]
    train += ["--recipe", "small-rpn", "--size", "32", "--anchors", "8", "--iterations", "4", "--workers", "0"]
    assert run([*train, "--device", "cpu"]) == 1
    err = capsys.readouterr().err
    assert str(image) in err and f"`resnets locate check {source} --images`" in err
    assert run([*check, "--images", "--json"]) == 1
    assert [line.startswith(f"{image}: ") for line in json.loads(capsys.readouterr().out)["damaged"]] == [True]
    assert run([*check, "--images"]) == 1
    found = capsys.readouterr().out
    assert "1 damaged image\n" in found and str(image) in found


@pytest.mark.parametrize("xml", [True, False], ids=["XML", "tables"])
def test_check_compares_images_with_their_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str], xml: bool) -> None:
    """An image that EXIF turns is counted; XML of its stored size is of another picture, which has exit code 1."""
    drawn = write_clsloc(tmp_path, size=(48, 32), xml=xml)
    image = tmp_path / "Data" / "CLS-LOC" / "val" / f"{drawn[0].name}.JPEG"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(image).save(image, exif=exif)
    if xml:
        file = tmp_path / "Annotations" / "CLS-LOC" / "val" / f"{drawn[0].name}.xml"
        size = "<annotation><size><width>48</width><height>32</height></size>"
        file.write_text(file.read_text().replace("<annotation>", size))
    else:
        table = tmp_path / "LOC_val_solution.csv"
        written = f"{drawn[0].wnid} {' '.join(map(str, drawn[0].box))}"
        table.write_text(table.read_text().replace(written, f"{drawn[0].wnid} 2 3 40 20"))
    check = ["locate", "check", f"clsloc:{tmp_path}"]
    assert run([*check, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []
    assert run([*check, "--images", "--json"]) == int(xml)
    found = json.loads(capsys.readouterr().out)
    assert "1 of 6 images" in found["notes"][0] and found["damaged"] == []
    if xml:
        assert len(found["notes"]) == 1
        assert [str(image) in line and "48 x 32" in line for line in found["mismatched"]] == [True]
    else:
        assert found["mismatched"] == []
        assert "1 boxes" in found["notes"][1] and str(image) in found["notes"][1]
    assert run([*check, "--images"]) == int(xml)
    assert f"{int(xml)} mismatched image" in capsys.readouterr().out


def test_the_classes_of_images_that_are_not_annotated_are_unknown(
    tiny_localiser: TinyLocaliser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the server knows those of `test`."""
    data = shutil.copytree(tiny_localiser.data, tmp_path / "data")
    shutil.copytree(data / "Data" / "CLS-LOC" / "val", data / "Data" / "CLS-LOC" / "test")
    check = ["locate", "check", f"clsloc:{data}@train/test"]
    assert run([*check, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["test"]["of_class"] is None
    assert run(check) == 0
    found = capsys.readouterr().out
    assert "unknown" in found and "not annotated" in found


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("evaluate {run} -d clsloc:none", "no folder none"),
        ("evaluate {run} -d clsloc:{data} --split training", "there are train, test"),
        ("evaluate {run} -d clsloc:{data} -p ten-crop", "center-crop or dense-multi-scale"),
        ("evaluate {run} -d clsloc:{data} --scales a,b", "list of pixels"),
        ("train resnet8 -d clsloc:{data} -w {run} --recipe small-rpn", "localiser's weights"),
        ("train resnet8 -d clsloc:{data} -w none --recipe small", "small"),
        ("score -g {data} --guesses none.txt", "none.txt"),
    ],
)
def test_what_is_wrong_is_one_line(
    tiny_localiser: TinyLocaliser, capsys: pytest.CaptureFixture[str], arguments: str, found: str
) -> None:
    """It says what was wrong, and nothing is printed on standard output."""
    words = arguments.format(run=tiny_localiser.run, data=tiny_localiser.data).split()
    assert run(["locate", *words]) != 0
    captured = capsys.readouterr()
    assert found in captured.err and len(captured.err.strip().splitlines()) == 1 and not captured.out
