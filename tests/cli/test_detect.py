"""`resnets detect train`, `evaluate` and `predict` as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from PIL import Image

from resnets.cli import app, run
from resnets.cli.detect import app as detect_app
from resnets.networks import catalog
from resnets.specs import InputConvention, ResNetSpec
from resnets.weights import weights_file

XML = """<annotation><size><width>96</width><height>64</height></size>
<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>9</ymin><xmax>{}</xmax><ymax>48</ymax></bndbox></object></annotation>"""


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run `resnets detect` with these arguments; return its exit code, standard output and standard error."""
    code = run(["detect", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in VOC's layout: four images of one grey cell each, large or small."""
    root = tmp_path_factory.mktemp("data") / "cells"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / name).mkdir(parents=True)
    for number in range(4):
        left, width = 8 + 6 * number, 20 + 20 * (number % 2)
        image = Image.new("RGB", (96, 64), (200, 180, 190))
        image.paste((90, 30, 120), (left, 8, left + width, 48))
        image.save(root / "JPEGImages" / f"{number}.jpg", quality=95)
        name = "large" if number % 2 else "small"
        (root / "Annotations" / f"{number}.xml").write_text(XML.format(name, left + 1, left + width))
    (root / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    (root / "ImageSets" / "Main" / "test.txt").write_text("2\n3\n")
    return root


@pytest.fixture(scope="module")
def narrow() -> Iterator[pytest.MonkeyPatch]:
    """Make networks of the ImageNet type narrow, so that ResNet-18 trains in seconds.

    Not as narrow as 8 channels, of which torch's bf16 gradient of a 1x1 convolution with stride 2 reads where there is
    nothing, on a CPU with several threads.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResNetSpec, "widths", property(lambda self: (16, 16, 32, 32)))
        yield patch


@pytest.fixture(scope="module")
def start(narrow: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's weights file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("classifier") / "resnet18.safetensors"
    convention = InputConvention(size=224, resize=256, mean=(0.5, 0.5, 0.5))
    weights_file.save(path, catalog.create("resnet18"), classes=tuple(map(str, range(1000))), convention=convention)
    return path


@pytest.fixture(scope="module")
def trained(start: Path, voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two iterations."""
    out = tmp_path_factory.mktemp("runs") / "cells"
    options = ["--iterations", "2", "--size", "64", "--anchors", "16,32", "--regions", "16", "--workers", "0"]
    arguments = ["--data", f"voc:{voc}", "--weights", str(start), "--recipe", "small", "--out", str(out), *options]
    assert run(["detect", "train", "resnet18", *arguments, "--evaluate-every", "1"]) == 0
    return out


def test_train_fills_the_folder(trained: Path) -> None:
    """As a classifier's run, with the recipe as it was changed, the curve with its test, and the scores."""
    names = {path.name for path in trained.iterdir()}
    assert {"run.json", "metrics.jsonl", "tensorboard", "checkpoints", "weights.safetensors", "result.json"} <= names
    result = json.loads((trained / "result.json").read_text())
    recipe = result["run"]["recipe"]
    assert (recipe["shorter_side"], recipe["longest_side"]) == (64, 107)
    assert (recipe["anchor_sizes"], recipe["regions_per_image"]) == ([16, 32], 16)
    assert "test_map" in result["curve"][0]
    assert set(result["scores"]["ap"]) == {"large", "small"}


def test_evaluate_prints_and_writes(
    trained: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, or one JSON object of fractions; the files score as the detections do."""
    arguments = ("evaluate", trained, "--data", f"voc:{voc}", "--workers", 0)
    code, out, _ = command(capsys, *arguments, "--box-refinement", "--out", tmp_path / "found")
    assert code == 0
    assert "resnet18 on the 2 test images of cells, with box-refinement" in out
    assert "large" in out
    code, out, _ = command(capsys, *arguments, "--json", "--out", tmp_path / "found")
    assert code == 0
    result = json.loads(out)
    assert result["mean_ap"] == json.loads((trained / "result.json").read_text())["scores"]["mean_ap"]
    code, out, _ = command(capsys, "score", "-g", voc, "-d", tmp_path / "found", "--protocol", "voc", "--json")
    assert code == 0
    assert json.loads(out)["ap"] == pytest.approx(result["scores"]["ap"])


def test_evaluate_leaves_out_classes_that_do_not_count(
    trained: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the data has more than was trained on, they are named, as in the training."""
    more = shutil.copytree(voc, tmp_path / "more")
    (more / "Annotations" / "2.xml").write_text(XML.format("debris", 9, 28))
    arguments = ("evaluate", trained, "--data", f"voc:{more}@train/test", "--workers", 0)
    code, _, err = command(capsys, *arguments)
    assert (code, "debris" in err) == (1, True)
    code, out, _ = command(capsys, *arguments, "--classes", "small,large", "--json")
    assert code == 0
    assert set(json.loads(out)["scores"]["ap"]) == {"large", "small"}
    code, _, err = command(capsys, *arguments, "--classes", "large,debris")
    assert "the weights know large, small" in err


def test_evaluate_wants_nothing_of_the_training_images(
    trained: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New images may have fewer classes to train on than the detector knows, or none to train on at all."""
    new = shutil.copytree(voc, tmp_path / "new")
    (new / "ImageSets" / "Main" / "train.txt").write_text("0\n")  # a small one; to be tested are a small and a large
    code, out, _ = command(capsys, "evaluate", trained, "--data", f"voc:{new}", "--workers", 0, "--json")
    assert code == 0
    (new / "ImageSets" / "Main" / "train.txt").unlink()
    code, again, _ = command(capsys, "evaluate", trained, "--data", f"voc:{new}@test/test", "--workers", 0, "--json")
    assert code == 0
    assert json.loads(again)["scores"] == json.loads(out)["scores"]


def test_coco_from_training_to_the_server_s_file(
    trained: Path, start: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Categories whose ids skip numbers and are in another order than the weights' classes, and a crowd."""
    pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")
    (tmp_path / "annotations").mkdir()
    for name, numbers in (("train", (0, 1)), ("val", (2, 3))):
        shutil.copytree(voc / "JPEGImages", tmp_path / name)
        boxes = {n: [8 + 6 * n, 8, 20 + 20 * (n % 2), 40] for n in numbers}
        objects = [
            {"id": n, "image_id": n, "category_id": 7 if n % 2 else 3, "bbox": box, "area": box[2] * 40, "iscrowd": 0}
            for n, box in boxes.items()
        ]
        objects.append(objects[0] | {"id": 9, "bbox": [60, 0, 30, 30], "area": 900, "iscrowd": 1})
        content = {
            "images": [{"id": n, "file_name": f"{n}.jpg", "width": 96, "height": 64} for n in numbers],
            "categories": [{"id": 3, "name": "small"}, {"id": 7, "name": "large"}],
            "annotations": objects,
        }
        (tmp_path / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    data = ("--data", f"coco:{tmp_path}@train/val", "--workers", 0)
    options = ("--iterations", 1, "--batch-size", 1, "--size", 64, "--anchors", "16,32", "--regions", 16)
    arguments = ("train", "resnet18", *data, "--weights", start, *options, "--roi-pooling", "align", "--context")
    code, _, _ = command(capsys, *arguments, "--out", tmp_path / "run")
    assert code == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["recipe"], result["scores"]["protocol"]) == ("coco", "coco")
    code, out, _ = command(capsys, "evaluate", trained, *data, "--json", "--out", tmp_path / "found")
    assert code == 0
    found = tmp_path / "found" / "detections_test_results.json"
    assert {entry["category_id"] for entry in json.loads(found.read_text())} == {3, 7}
    truth = tmp_path / "annotations" / "instances_val.json"
    code, scored, _ = command(capsys, "score", "-g", truth, "-d", found, "--protocol", "coco", "--json")
    assert code == 0
    assert json.loads(scored) == pytest.approx(json.loads(out)["scores"]["numbers"])


def test_predict_prints_and_draws(trained: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each image's objects; a file that is no image is an error, the others are still done."""
    images = [voc / "JPEGImages" / "2.jpg", tmp_path / "absent.jpg"]
    arguments = ("predict", trained, *images, "--threshold", 0)
    code, out, err = command(capsys, *arguments, "--out", tmp_path / "drawn")
    assert code == 1
    assert "absent.jpg: no such file" in err
    assert "2.jpg: " in out
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"2.jpg", "detections.json"}
    code, out, _ = command(capsys, *arguments, "--json")
    entries = json.loads(out)
    assert [set(entry) for entry in entries] == [{"image", "objects"}, {"image", "error"}]
    for found in entries[0]["objects"]:
        assert found["name"] in ("large", "small")
        assert 0 <= found["box"][0] <= found["box"][2] <= 96


def test_wrong_usage_is_one_line(
    trained: Path, start: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"voc:{voc}"
    for arguments, said in (
        (("train", "resnet20", "--data", data, "--weights", start, "--out", tmp_path / "a"), "of resnet18, not of"),
        (("train", "resnet18", "--data", data, "--weights", start, "--anchors", "big"), "'big' is no list of pixels"),
        (("train", "resnet18", "--data", data, "--weights", start, "--recipe", "vok"), "did you mean voc"),
        (("train", "resnet18", "--data", data), "Missing option '--weights'"),
        (("train", "resnet18", "--data", data, "--weights", start, "--classes", "large,cell"), "'cell' was asked for"),
        (("train", "resnet18", "--data", data, "--weights", start, "--classes", "large,"), "'' was asked for"),
        (("evaluate", start, "--data", data), "not a detector's weights"),
        (("evaluate", trained, "--data", data, "--split", "val"), "split is 'val'"),
        (("predict", trained, voc, "--threshold", 3), "threshold is 3.0"),
    ):
        code, _, err = command(capsys, *arguments)
        assert code in (1, 2), arguments
        assert said in err
        assert len(err.splitlines()) == 1


def test_every_command_and_option_is_explained() -> None:
    """Each command has a docstring, and each of its parameters is declared as an option or an argument."""
    assert any(group.name == "detect" for group in app.registered_groups)
    for registered in detect_app.registered_commands:
        assert registered.callback is not None
        assert registered.callback.__doc__, registered.name
        hints = get_type_hints(registered.callback, include_extras=True)
        assert all(name == "return" or hint.__metadata__ for name, hint in hints.items())
