"""The five commands of `resnets detect` as a user types them: what they print, their JSON and their exit codes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ilsvrc_folders import write_det
from PIL import Image
from synthetic_boxes import annotation, instances, write_rectangles, write_voc

import resnets
from resnets.cli import run
from resnets.networks import registry
from resnets.records.runs import DetectorResult
from resnets.specs import InputSpec, ResNetSpec
from resnets.training.run_folder import RunFolder
from resnets.weights import weights_file

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in VOC's layout: four images of one cell each, large or small."""
    return write_rectangles(tmp_path_factory.mktemp("data") / "cells", "small", "large")


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
    input_spec = InputSpec(size=224, resize=256, mean=(0.5, 0.5, 0.5))
    weights_file.save(path, registry.create("resnet18"), classes=tuple(map(str, range(1000))), input_spec=input_spec)
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


def test_evaluate_prints_and_writes(trained: Path, voc: Path, tmp_path: Path, command: Command) -> None:
    """A table, or one JSON object of fractions; the files score as the detections do."""
    arguments = ("evaluate", trained, "--data", f"voc:{voc}", "--workers", 0)
    code, out, _ = command("detect", *arguments, "--box-refinement", "--out", tmp_path / "found")
    assert code == 0
    assert "2 test images of cells" in out and "box-refinement" in out
    assert "large" in out
    code, out, _ = command("detect", *arguments, "--json", "--out", tmp_path / "found")
    assert code == 0
    result = json.loads(out)
    assert result["mean_ap"] == json.loads((trained / "result.json").read_text())["scores"]["mean_ap"]
    code, out, _ = command("detect", "score", "-g", voc, "-d", tmp_path / "found", "--protocol", "voc", "--json")
    assert code == 0
    assert json.loads(out)["ap"] == pytest.approx(result["scores"]["ap"])


def test_evaluate_on_the_training_images(trained: Path, voc: Path, command: Command) -> None:
    """The split has the name that it has in `evaluate` and `locate evaluate`."""
    arguments = ("evaluate", trained, "--data", f"voc:{voc}", "--workers", 0)
    code, out, _ = command("detect", *arguments, "--split", "train")
    assert (code, "2 training images of cells" in out) == (0, True)
    code, _, err = command("detect", *arguments, "--split", "training")
    assert (code, "'training'" in err) == (2, True)


def test_masks_from_the_check_to_the_prediction(start: Path, voc: Path, tmp_path: Path, command: Command) -> None:
    """Masks are checked, learnt, scored in a table of their own and printed; the run's data is known again."""
    data = shutil.copytree(voc, tmp_path / "cells")
    (code, _, err), source = command("detect", "check", f"voc:{data}", "--masks"), f"voc:{data}"
    assert (code, "SegmentationObject" in err) == (1, True)
    (data / "SegmentationObject").mkdir()
    for file in (data / "JPEGImages").iterdir():
        index = Image.open(file).convert("L").point(lambda value: int(value < 100))
        index.save(data / "SegmentationObject" / f"{file.stem}.png")
    assert command("detect", "check", source, "--masks")[0] == 0
    options = ("--iterations", 1, "--size", 64, "--anchors", "16,32", "--regions", 16, "--roi-size", 8, "--workers", 0)
    training = ("train", "resnet18", "--data", source, "--weights", start, "--recipe", "small-masks", *options)
    code, out, _ = command("detect", *training, "--out", tmp_path / "run")
    assert (code, "of masks" in out) == (0, True)
    code, out, _ = command("detect", "evaluate", tmp_path / "run", "--data", source, "--workers", 0)
    assert (code, "AP of masks" in out) == (0, True)
    assert command("detect", "evaluate", tmp_path / "run", "--workers", 0)[0] == 0
    arguments = ("predict", tmp_path / "run", data / "JPEGImages" / "0.jpg", "--threshold", 0)
    code, out, _ = command("detect", *arguments)
    assert (code, "pixel" in out) == (0, True)
    (entry,) = json.loads(command("detect", *arguments, "--json")[1])
    assert entry["objects"][0]["mask"]["size"] == [64, 96]
    with open(data / "JPEGImages" / "0.jpg", "ab") as image:
        image.write(b"of another size")
    code, _, err = command("detect", "evaluate", tmp_path / "run", "--workers", 0)
    assert (code, "--data" in err) == (1, True)


def test_evaluate_leaves_out_classes_that_do_not_count(
    trained: Path, voc: Path, tmp_path: Path, command: Command
) -> None:
    """Where the data has more than was trained on, they are named, as in the training."""
    more = shutil.copytree(voc, tmp_path / "more")
    (more / "Annotations" / "2.xml").write_text(annotation([("debris", 9, 9, 28, 48)], (96, 64)))
    arguments = ("evaluate", trained, "--data", f"voc:{more}@train/test", "--workers", 0)
    code, _, err = command("detect", *arguments)
    assert (code, "debris" in err) == (1, True)
    code, out, _ = command("detect", *arguments, "--classes", "small,large", "--json")
    assert code == 0
    assert set(json.loads(out)["scores"]["ap"]) == {"large", "small"}
    code, _, err = command("detect", *arguments, "--classes", "large,debris")
    assert "large, small" in err


def test_evaluate_wants_nothing_of_the_training_images(
    trained: Path, voc: Path, tmp_path: Path, command: Command
) -> None:
    """New images may have fewer classes to train on than the detector knows, or none to train on at all."""
    new = shutil.copytree(voc, tmp_path / "new")
    (new / "ImageSets" / "Main" / "train.txt").write_text("0\n")  # a small one; to be tested are a small and a large
    code, out, _ = command("detect", "evaluate", trained, "--data", f"voc:{new}", "--workers", 0, "--json")
    assert code == 0
    (new / "ImageSets" / "Main" / "train.txt").unlink()
    code, again, _ = command("detect", "evaluate", trained, "--data", f"voc:{new}@test/test", "--workers", 0, "--json")
    assert code == 0
    assert json.loads(again)["scores"] == json.loads(out)["scores"]


def test_coco_from_training_to_the_server_s_file(
    trained: Path, start: Path, voc: Path, tmp_path: Path, command: Command
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
    code, _, _ = command("detect", *arguments, "--out", tmp_path / "run")
    assert code == 0
    result = RunFolder(tmp_path / "run").result(DetectorResult)
    assert result is not None and (result.run.recipe.name, result.scores.protocol) == ("coco", "coco")
    code, out, _ = command("detect", "evaluate", trained, *data, "--json", "--out", tmp_path / "found")
    assert code == 0
    found = tmp_path / "found" / "detections_test_results.json"
    assert {entry["category_id"] for entry in json.loads(found.read_text())} == {3, 7}
    truth = tmp_path / "annotations" / "instances_val.json"
    code, scored, _ = command("detect", "score", "-g", truth, "-d", found, "--protocol", "coco", "--json")
    assert code == 0
    assert json.loads(scored) == pytest.approx(json.loads(out)["scores"]["numbers"])


def test_predict_prints_and_draws(trained: Path, voc: Path, tmp_path: Path, command: Command) -> None:
    """Each image's objects; a file that is no image is an error, the others are still done."""
    images = [voc / "JPEGImages" / "2.jpg", tmp_path / "absent.jpg"]
    arguments = ("predict", trained, *images, "--threshold", 0)
    code, out, err = command("detect", *arguments, "--out", tmp_path / "drawn")
    assert code == 1
    assert "absent.jpg" in err
    assert "2.jpg: " in out
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"2.jpg", "detections.json"}
    code, out, _ = command("detect", *arguments, "--json")
    entries = json.loads(out)
    assert [set(entry) for entry in entries] == [{"image", "objects"}, {"image", "error"}]
    for found in entries[0]["objects"]:
        assert found["name"] in ("large", "small")
        assert 0 <= found["box"][0] <= found["box"][2] <= 96


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("train resnet20 --data {voc} --weights {start} --out new", "resnet18"),
        ("train resnet18 --data {voc} --weights {start} --anchors big", "'big'"),
        ("train resnet18 --data {voc} --weights {start} --recipe vok", "mean voc"),
        ("train resnet18 --data {voc}", "--weights"),
        ("train resnet18 --data {voc} --weights {start} --classes large,cell", "'cell'"),
        ("train resnet18 --data {voc} --weights {start} --classes large,", "''"),
        ("evaluate {start} --data {voc}", "resnet18.safetensors"),
        ("evaluate {trained} --data {voc} --split val", "'val'"),
        ("predict {trained} {images} --threshold 3", "3.0"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it(
    trained: Path, start: Path, voc: Path, arguments: str, named: str, command: Command
) -> None:
    """The exit code is 1 or 2, and the line on standard error names the wrong value."""
    places = {"voc": f"voc:{voc}", "images": voc, "start": start, "trained": trained}
    code, _, err = command("detect", *arguments.format(**places).split())
    assert code in (1, 2)
    assert named in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def found(tmp_path: Path) -> list[str]:
    """A dog found, a cat not; the arguments that score this."""
    objects = {"000001": [("dog", 1, 1, 9, 9), ("cat", 1, 1, 9, 9)], "000002": [("dog", 1, 1, 9, 9, True)]}
    write_voc(tmp_path / "VOC2007", {"test": objects, "val": objects}, images=False)
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "comp4_det_test_dog.txt").write_text("000001 0.9 1 1 9 9\n")
    return ["detect", "score", "--ground-truth", str(tmp_path / "VOC2007"), "--detections", str(tmp_path / "found")]


@pytest.mark.parametrize("protocol", ["voc07", "voc"])
def test_voc_as_json(found: list[str], protocol: str, command: Command) -> None:
    """One object on standard output; that a class has no file is null there, and noted on standard error."""
    code, out, err = command(*[*found, "--protocol", protocol, "--json"])
    assert code == 0
    shown = json.loads(out)
    assert shown.keys() == {"mean_ap", "ap"}
    assert shown["ap"] == {"cat": None, "dog": pytest.approx(1)}
    assert shown["mean_ap"] == pytest.approx(0.5)
    assert "cat" in err and err.count("\n") == 1
    scored = resnets.score_detections(found[3], found[5], protocol)
    assert scored.ap == shown["ap"]


def test_voc_as_a_table(found: list[str], command: Command) -> None:
    """Each class in percent, and their mean; the files are taken though they are named after another split."""
    code, out, err = command(*[*found, "--protocol", "voc07", "--split", "val"])
    assert code == 0
    assert "11-point AP at IoU 0.5, 2 images" in out
    for line in ("cat no detection file", "dog 100.00", "mean 50.00"):
        assert line in " ".join(out.replace("│", " ").split())
    assert "comp4_det_test_dog.txt" in err


def test_coco(tmp_path: Path, command: Command) -> None:
    """The twelve numbers as JSON, -1 where no object has the size, and as a table in percent."""
    pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")
    box = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
    (tmp_path / "truth.json").write_text(json.dumps(instances([1], [box], {1: "dog"})))
    (tmp_path / "found.json").write_text(json.dumps([{**box, "score": 0.5}]))
    arguments = ["detect", "score", "-g", str(tmp_path / "truth.json"), "-d", str(tmp_path / "found.json")]
    code, out, _ = command(*arguments, "-p", "coco", "--json")
    assert code == 0
    shown = json.loads(out)
    assert list(shown) == ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    assert shown["AP"] == pytest.approx(1)
    assert shown["APl"] == -1
    _, out, _ = command(*arguments, "-p", "coco")
    out = " ".join(out.replace("│", " ").split())
    assert "COCO, boxes, 1 image" in out
    assert "AP IoU 0.50:0.95 100.00" in out
    assert "APl large objects no objects" in out


def test_ilsvrc(tmp_path: Path, command: Command) -> None:
    """Of val2 where no other set is named: each class, and a note on those without objects."""
    root, path = write_det(tmp_path / "det", released=2014, images=False), tmp_path / "found.txt"
    path.write_text("4 58 0.9 10 10 19 19\n4 58 0.8 10 11 19 20\n4 1 0.9 0 0 9 9\n")
    arguments = ["detect", "score", "-g", str(root), "-d", str(path), "-p", "ilsvrc"]
    code, out, err = command(*arguments, "--json")
    assert code == 0
    shown = json.loads(out)
    assert (shown["mean_ap"], shown["ap"]["dog"], shown["ap"]["accordion"], len(shown["ap"])) == (1, 1, None, 200)
    code, out, _ = command(*arguments)
    assert code == 0
    assert "ILSVRC AP" in out and "mean" in out
    code, out, err = command(*arguments, "--split", "val3")
    assert (code, out, err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        (["--protocol", "voc12"], 2, "'voc12' (did you mean voc"),
        (["--protocol", "voc", "--iou-type", "segm"], 2, "voc"),
        (["--protocol", "coco", "--iou-type", "mask"], 2, "'mask'"),
        (["--protocol", "coco", "--split", "val"], 2, "'val'"),
        (["--protocol", "voc", "--split", "train"], 1, "train.txt"),
        (["--protocol", "coco"], 1, "VOC2007"),
        ([], 2, "--protocol"),
    ],
)
def test_a_wrong_score_is_one_line(found: list[str], more: list[str], code: int, named: str, command: Command) -> None:
    """Wrong options have exit code 2, wrong files 1; nothing is printed on standard output."""
    actual, out, err = command(*[*found, *more])
    assert actual == code
    assert out == ""
    assert named in err
    assert err.count("\n") == 1


def test_check_counts_and_lists(tmp_path: Path, command: Command) -> None:
    """Images and objects of each split, difficult ones among them, notes, and repairs: ten, or all on request."""
    objects = [("dog", 1, 1, 9, 9), ("dog", 9, 9, 1, 1), ("cat", 1, 1, 9, 9, True)]
    many = [("dog", 9, 9, 1, 1)] * 11
    root = write_voc(tmp_path / "own", {"train": {"a": objects, "b": [], "c": objects * 6}, "val": {"d": many}})
    code, out, _ = command("detect", "check", f"voc:{root}", "--json")
    shown = json.loads(out)
    counts = shown["splits"]["train"]
    assert code == 0
    assert (counts["images"], counts["without_objects"], counts["difficult"], counts["crowd"]) == (3, 1, 7, 0)
    assert {name: count for name, count in counts["objects"].items() if count} == {"cat": 7, "dog": 7}
    assert len(shown["repairs"]) == 18
    assert ["19 of 20 classes" in note for note in shown["notes"]] == [True]
    code, short, _ = command("detect", "check", f"voc:{root}")
    code, long, _ = command("detect", "check", f"voc:{root}", "--all")
    assert (short.count(": object "), long.count(": object ")) == (10, 18)
    assert "19 of 20 classes" in short
    code, out, _ = command("detect", "check", f"voc:{root}", "--classes", "dog")
    assert code == 0
    assert "'cat'" in out


def test_a_damaged_image_is_listed(voc: Path, start: Path, tmp_path: Path, command: Command) -> None:
    """A training that it stops names the command that lists all of them, which has exit code 1."""
    source = f"voc:{shutil.copytree(voc, tmp_path / 'cells')}"
    assert command("detect", "check", source, "--images")[0] == 0
    image = next((tmp_path / "cells" / "JPEGImages").iterdir())
    image.write_bytes(image.read_bytes()[:-200])
    options = ["--iterations", "4", "--size", "64", "--anchors", "16", "--recipe", "small", "--workers", "0"]
    out = str(tmp_path / "run")
    code, _, err = command(
        "detect", "train", "resnet18", "--data", source, "--weights", str(start), "--out", out, *options
    )
    assert code == 1
    assert str(image) in err and f"`resnets detect check {source} --images`" in err
    code, found, _ = command("detect", "check", source, "--images", "--json")
    assert code == 1
    assert [line.startswith(f"{image}: ") for line in json.loads(found)["damaged"]] == [True]
    code, found, _ = command("detect", "check", source, "--images")
    assert code == 1
    assert "1 damaged image\n" in found and str(image) in found


@pytest.mark.data
def test_perfect_detections_of_real_annotations(real_data: Path, tmp_path: Path, command: Command) -> None:
    """The objects of VOC 2007 test as detections, the difficult ones among them, have an AP of 1 in every class."""
    from resnets.detection import voc as layout

    root = real_data / "voc" / "VOCdevkit" / "VOC2007"
    lines: dict[str, list[str]] = {}
    for image_id in layout.Folder(root).image_ids("test"):
        record = layout.read(root / "Annotations" / f"{image_id}.xml")
        for name, corners in zip(record.names, record.corners.tolist(), strict=True):
            lines.setdefault(name, []).append(f"{image_id} 0.5 {' '.join(map(str, corners))}\n")
    for name, entries in lines.items():
        (tmp_path / f"comp4_det_test_{name}.txt").write_text("".join(entries))
    code, out, _ = command("detect", "score", "-g", root, "-d", tmp_path, "-p", "voc07", "--json")
    assert code == 0
    shown = json.loads(out)
    assert len(shown["ap"]) == 20
    assert shown["ap"] == pytest.approx(dict.fromkeys(layout.CLASSES, 1.0))
