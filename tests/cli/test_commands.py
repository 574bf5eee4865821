"""The commands as a user types them: what they print, their JSON and their exit codes."""

from __future__ import annotations

import inspect
import itertools
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import pytest

import resnets
from resnets.cli import ELSEWHERE, PANELS, app, detect, locate, run, train
from resnets.cli.options import GROUPS
from resnets.errors import RunError
from resnets.records.runs import ClassifierResult
from resnets.training.run_folder import RunFolder
from resnets.weights import weights_file

Command = Callable[..., tuple[int, str, str]]


def test_help_imports_no_torch() -> None:
    """Neither the package, nor its public names, nor help and version import torch, which takes seconds."""
    code = "import sys, resnets; from resnets.cli import run; dir(resnets)\n"
    code += "for arguments in ['--help'], ['train', '--help'], ['--version']: run(arguments)\n"
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Usage: resnets train" in done.stdout


def test_python_m_resnets_is_the_command() -> None:
    """`python -m resnets` runs it where the script is not on the path."""
    done = subprocess.run([sys.executable, "-m", "resnets", "--version"], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"resnets \d+\.\d+\.\d+\n", done.stdout)


def test_every_command_and_option_is_explained() -> None:
    """Also those of the groups `data`, `detect` and `locate`."""
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    assert len(groups) == 4
    for command in (command for group in groups for command in group.registered_commands):
        assert command.callback is not None and command.callback.__doc__, command.name
        hints = get_type_hints(command.callback, include_extras=True)
        assert all(name == "return" or hint.__metadata__ for name, hint in hints.items())


def test_the_help_shows_all_commands_by_their_purpose(command: Command) -> None:
    """In panels, in the order of PANELS."""
    code, out, _ = command("--help")
    assert code == 0
    shown = [out.index(title) for title in PANELS]
    assert shown == sorted(shown)
    names = [name for commands in PANELS.values() for name in commands]
    lines = [line for line in out.splitlines() if len(line.split()) > 1 and line.split()[1] in names]
    assert [line.split()[1] for line in lines] == names


@pytest.mark.parametrize("name", [(), ("train",), ("data",), ("data", "shard"), ("detect", "train")])
def test_an_option_without_a_value_has_no_type_in_the_help(name: tuple[str, ...], command: Command) -> None:
    """Else `--resume <bool>` reads as if `--resume true` were right."""
    lines = command(*name, "--help")[1].splitlines()
    shown = [line.split() for line in lines if re.search(r"--(help|resume|version) ", line)]
    assert shown and not any("bool" in word for words in shown for word in words)


def test_a_paragraph_of_the_help_fills_its_lines(command: Command) -> None:
    """Where the source breaks a line the help does not, or lines of a few words would alternate with full ones."""
    parts = (command(name, "--help")[1].partition("╭")[0].splitlines() for name in ("train", "predict", "export"))
    for lines in parts:
        text = [line.strip() for line in lines]
        for line, following in itertools.pairwise(text):
            if line and following:
                assert len(line) + 1 + len(following.split()[0]) > 78


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["train"], "hf:REPO[@SPLIT]"),
        (["data", "check"], "hf-stream:REPO[@SPLIT]"),
        (["detect", "train"], "voc:PATH[@SETS]"),
        (["detect", "evaluate"], "coco:PATH[@SETS]"),
        (["detect", "check"], "voc:PATH[@SETS]"),
        (["locate", "train"], "clsloc:PATH[@TRAIN/TEST]"),
        (["locate", "check"], "clsloc:PATH[@TRAIN/TEST]"),
    ],
)
def test_the_help_keeps_what_stands_in_brackets(arguments: list[str], shown: str, command: Command) -> None:
    """What looks like markup is escaped."""
    assert shown in command(*arguments, "--help")[1]


def test_train_says_how_it_ended_and_fills_the_folder(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """With the resolved recipe and provenance; the same command with --resume prints the result again."""
    names = {path.name for path in digits_run.iterdir()}
    assert {"run.json", "metrics.jsonl", "tensorboard", "checkpoints", "weights.safetensors", "result.json"} <= names
    result = RunFolder(digits_run).result(ClassifierResult)
    assert result is not None
    assert result.run.network.name == "resnet8"
    assert result.run.data.training_images == 1437
    assert result.run.recipe.milestones == (15, 22)  # half and three quarters of 30, rounded
    assert result.run.provenance[0].versions["resnets"] == resnets.__version__
    assert result.curve[-1].test_error == pytest.approx(result.test_error, abs=2)  # bf16 and float32
    copy = shutil.copytree(digits_run, tmp_path / "run")  # which no other process locks
    code, out, _ = command("train", "resnet8", "--data", "digits", "--iterations", 30, "--out", copy, "--resume")
    assert code == 0
    assert f"test error {result.test_error:.2f} %" in out


def test_train_refuses_a_folder_with_a_run(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """Unless --resume is given, which the error names."""
    copy = shutil.copytree(digits_run, tmp_path / "run")
    code, _, err = command("train", "resnet8", "--data", "digits", "--iterations", 30, "--out", copy)
    assert code == 1
    assert "--resume" in err


def test_evaluate_agrees_with_the_run(digits_run: Path, command: Command) -> None:
    """The error in result.json is what `resnets evaluate` prints, exactly."""
    code, out, _ = command("evaluate", digits_run, "--data", "digits", "--json")
    evaluation = json.loads(out)
    assert code == 0
    assert evaluation["network"] == "resnet8"
    assert evaluation["samples"] == 360
    result = RunFolder(digits_run).result(ClassifierResult)
    assert result is not None and evaluation["top1_error"] == result.test_error
    assert 0 <= evaluation["top5_error"] <= evaluation["top1_error"]
    assert sum(map(sum, evaluation["confusion"])) == 360


def test_evaluate_shows_classes_and_confusion(digits_run: Path, command: Command) -> None:
    """Of a weights file, as tables."""
    weights = digits_run / "weights.safetensors"
    code, out, _ = command("evaluate", weights, "--data", "digits", "--per-class", "--confusion")
    assert code == 0
    assert "360 test images of digits" in out
    assert "columns: predicted class" in out


def test_predict_names_images_and_reports_bad_ones(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """Each image has its classes, or its error with exit code 1, as text and as JSON."""
    from PIL import Image

    good, bad = tmp_path / "four.png", tmp_path / "broken.png"
    Image.new("RGBA", (30, 20), "white").save(good)
    bad.write_bytes(good.read_bytes()[:40])
    code, out, err = command("predict", digits_run, good, bad, "--top", 3)
    assert code == 1
    assert out.startswith(f"{good}: ")
    assert out.count("%") == 3
    assert str(bad) in err
    code, out, _ = command("predict", digits_run, good, "--json")
    classes = json.loads(out)[0]["classes"]
    assert code == 0
    assert len(classes) == 5
    assert classes[0]["probability"] >= classes[1]["probability"]
    code, out, err = command("predict", digits_run, good, bad, good, "--json", "--precision", "bf16")
    entries = json.loads(out)
    assert code == 1
    assert [entry["image"] for entry in entries] == [str(good), str(bad), str(good)]
    assert str(bad) in entries[1]["error"] and "classes" not in entries[1]
    assert str(bad) in err


def test_evaluate_in_bf16_has_its_agreement(digits_run: Path, command: Command) -> None:
    """For how many images the class is that of float32, as text and as JSON."""
    code, out, _ = command("evaluate", digits_run, "--data", "digits", "--precision", "bf16")
    assert code == 0
    assert re.search(r"bf16.* fp32 .*\d+ .*360", out)
    _, out, _ = command("evaluate", digits_run, "--data", "digits", "--precision", "bf16", "--json")
    assert json.loads(out)["agreement"]["samples"] == 360


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("fitnet19", ("published are 2.5 M parameters, 382 M multiply-adds", "not met")),
        ("bn_inception", ("published are 13.6 M parameters", "not met")),
        ("highway32", ("published are 1.25 M parameters", "reconstruction")),
        ("maxout", ("5 pieces",)),
    ],
)
def test_info_has_the_published_size(command: Command, network: str, said: tuple[str, ...]) -> None:
    """Of a network that the paper compares with, its source, and where ours is another."""
    _, out, _ = command("info", network)
    (line,) = [line for line in out.splitlines() if line.startswith("size: ")]
    assert all(part in line for part in said)
    assert "size: " not in command("info", "nin")[1]


def test_list_has_the_costs_and_the_papers_error(command: Command) -> None:
    """Of each network, as JSON and as a table."""
    code, out, _ = command("list", "--json")
    networks = {network["name"]: network for network in json.loads(out)}
    assert code == 0
    assert networks["resnet56"]["depth"] == 56
    assert networks["resnet56"]["parameters"] == 853_018
    assert networks["resnet56"]["macs"] == 125_485_696
    assert networks["resnet56"]["published"]["value"] == 6.97
    assert networks["vgg16"]["parameters"] == 138_357_544
    _, out, _ = command("list")
    assert re.search(r"resnet110 +110 +1,727,962 +252,887,680 +32 +6.43 %, Table 6", out)


def test_recipes_are_listed_with_what_they_are_of(command: Command) -> None:
    """Of classifiers, detectors and localisers, in the table as in JSON."""
    listed = {recipe["name"]: recipe["kind"] for recipe in json.loads(command("list", "recipes", "--json")[1])}
    assert [listed[name] for name in ("fast", "voc", "small-rpn")] == ["classification", "detection", "localisation"]
    shown = command("list", "recipes")[1]
    assert all(re.search(rf"^ {name} +{kind} ", shown, re.MULTILINE) for name, kind in listed.items() if len(name) < 14)


def test_info_is_a_column_of_table_1(command: Command) -> None:
    """Stages with their sizes and the total costs; also of a network with options, and as JSON."""
    code, out, _ = command("info", "resnet50")
    assert code == 0
    for stage, size in (("conv1", 112), ("conv2_x", 56), ("conv3_x", 28), ("conv4_x", 14), ("conv5_x", 7), ("fc", 1)):
        assert re.search(rf"{stage} +{size} x {size}", out)
    assert "25,557,032  3,857,973,248" in out
    _, out, _ = command("info", "resnet20", "--shortcut", "B", "--layers")
    assert "272,474" in out
    code, out, _ = command("info", "plain34", "--json")
    assert json.loads(out)["cost"]["parameters"] == 21_623_848


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("train resnt20 --data digits", 2, "did you mean resnet20"),
        ("train resnet21 --data digits", 2, "nearest: 20 and 26"),
        ("train resnet20 --data digit", 2, "did you mean digits"),
        ("train resnet20 --data folder", 2, "folder:PATH"),
        ("train resnet20 --data folder:/no/such", 1, "no folder /no/such"),
        ("train resnet20 --data digits --recipe ciffar", 2, "did you mean cifar"),
        ("train resnet20 --data digits --batch-size 0", 2, "batch size is 0"),
        ("train resnet20 --data digits --lr nan", 2, "lr is nan"),
        ("train resnet20 --data digits --iterations 0", 2, "iterations is 0"),
        ("train resnet20 --data digits --epochs -1", 2, "epochs is -1"),
        ("train resnet20 --data digits --epochs 1 --iterations 9", 2, "one of them"),
        ("train resnet20 --data digits --split 45k5k", 2, "50,000"),
        ("train resnet20 --data digits --split half", 2, "all or 45k5k"),
        ("train resnet20 --data digits --split 100%", 2, "such as 10%"),
        ("train resnet20 --data digits --seed -1", 2, "seed is -1"),
        ("train resnet20 --data digits --shortcut D", 2, "A, B, C"),
        ("train plain20 --data digits --shortcut A", 2, "no shortcuts"),
        ("train resnet20 --data digits --device gpu7", 2, "device 'gpu7'"),
        ("train resnet20 --data digits --precision fp8", 2, "fp8"),
        ("train vgg16 --data digits", 2, "32 x 32 pixels or more"),
        ("train resnet20", 2, "--data"),
        ("train resnet20 --data digits --nope", 2, "--nope"),
        ("train resnet20 --data digits --pretrained", 2, "--pretrained; use --weights"),
        ("train resnet20 --data digits --batch 9", 2, "--batch; use --batch-size"),
        ("train resnet20 --data digits --batch_size 9", 2, "--batch_size; use --batch-size"),
        ("train resnet20 --data digits --epoch 9", 2, "--epoch; use --epochs"),
        ("train resnet20 --data digits --learning-rate=1", 2, "--learning-rate; use --lr"),
        ("train resnet20 --data digits --wd 0", 2, "--wd; use --weight-decay"),
        ("train resnet20 --data digits --opt adam", 2, "--opt; use --recipe"),
        ("train --model resnet20 --data digits", 2, "argument NETWORK"),
        ("train resnet20 --data digits --smoothing 0.1", 2, "--smoothing; use --label-smoothing"),
        ("train resnet20 --data digits --label-smoothing 1", 2, "label smoothing is 1.0"),
        ("train resnet20 --data digits --num-classes 10", 2, "--num-classes; use --data"),
        ("study --data digits --model resnet20", 2, "--model; use --networks"),
        ("study --data digits --epochs 9", 2, "--epochs; use --budget"),
        ("responses --model run", 2, "argument RUNS"),
        ("gradients --model run", 2, "argument TARGETS"),
        ("convert --pretrained model.pth", 2, "argument SOURCE"),
        ("train resnet20 --data digits --recipe finetune", 2, "recipe 'finetune'"),
        ("detect train resnet50 --epochs 9", 2, "--epochs; use --iterations"),
        ("detect train resnet50 --imgsz 600", 2, "--imgsz; use --size"),
        ("predict --arch resnet50", 2, "argument WEIGHTS"),
        ("predict image.jpg", 2, "RUN IMAGE"),
        ("predict resnet20-cifar image.jpg", 1, "did you mean resnet20-cifar10"),
        ("predict run image.jpg --gpu 0", 2, "--gpu; use --device"),
        ("report --gpu 0", 2, "No such option: --gpu"),
        ("plan resnet20 --data cifar11", 2, "did you mean cifar10"),
        ("plan resnet20 --data cifar10 --device-kind k80", 2, "known: h200"),
        ("plan resnet20 --data cifar10 --devices 0", 2, "devices is 0"),
        ("evaluate /no/such/run --data digits", 1, "/no/such/run"),
        ("detect predict nowhere x.png", 1, "nowhere: no such file or folder; name"),
        ("detect evaluate nowhere --data voc:none", 1, "nowhere: no such file or folder; name"),
        ("locate evaluate nowhere --data clsloc:none", 1, "nowhere: no such file or folder; name"),
        ("locate predict nowhere x.png --classifier nowhere", 1, "nowhere: no such file or folder; name"),
        ("calibrate nowhere --data digits", 1, "nowhere: no such file or folder, and no weights"),
        ("explain nowhere x.png", 1, "nowhere: no such file or folder, and no weights"),
        ("export nowhere x.onnx", 1, "nowhere: no such file or folder, and no weights"),
        ("embed nowhere x.png --out x.npz", 1, "nowhere: no such file or folder, and no weights"),
        ("gradients nowhere --data digits", 2, "nowhere is no folder with a run.json"),
        ("info resnet99", 2, "no network 'resnet99'"),
        ("data check foldr:/x", 2, "did you mean folder"),
        ("data check folder:/no/such", 1, "no folder /no/such"),
        ("data check digits --workers 0", 2, "workers is 0"),
        ("data shard digits none", 2, "digits is kept in memory"),
        ("data shard digits none --size 0", 2, "size is 0 MB"),
        ("reproduce tabel6", 2, "did you mean table6"),
        ("reproduce table6 --only resnet-21", 2, "no row 'resnet-21'"),
        ("reproduce table6 --scale tiny", 2, "scale is 'tiny'"),
    ],
)
def test_bad_usage_is_one_clear_line(
    arguments: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """The exit code, the offending value, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    actual, out, err = command(*arguments.split())
    assert (actual, out) == (code, "")
    assert message in err
    assert err.startswith("resnets: error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback() -> None:
    """--debug raises the error itself."""
    from resnets.errors import UsageError

    with pytest.raises(UsageError):
        run(["train", "resnet21", "--data", "digits", "--debug"])


@pytest.mark.filterwarnings("default")
def test_an_imagenet_network_on_small_images_is_noted(tmp_path: Path, command: Command) -> None:
    """`resnet18` on small images is not a network of the paper for them: the note names those that are.

    One iteration is singular, and its epochs, which round to zero, are omitted. On a CPU bf16 leaves uninitialised
    gradients where maps shrink to a pixel, so `auto` does not choose it.
    """
    code, out, err = command(
        "train", "resnet18", "--data", "digits", "--iterations", 1, "--batch-size", 8, "--out", tmp_path / "run"
    )
    assert code == 0
    assert "resnets: note: resnet18 is made for photos" in err
    assert ": 1 iteration of 8, seed 0" in out and "after 1 iteration in" in out
    record = RunFolder(tmp_path / "run").record()
    assert record is not None and record.precision == "fp32"


def test_a_librarys_warning_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first one; torch's may go on for several."""

    def program(*_: Any, **__: Any) -> int:
        warnings.warn("strides do not match\ngrad.sizes() = [6, 1, 3, 3]", stacklevel=1)
        return 0

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which `run` replaces
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run([], program) == 0  # type: ignore[arg-type]  # what stands in for the command
    assert capsys.readouterr().err == "resnets: note: strides do not match\n"


def test_demo_shows_what_it_found(tmp_path: Path, command: Command) -> None:
    """With an iteration nothing is learned; the table, both sentences and the plots are there all the same."""
    code, out, _ = command("demo", "--depths", "8,14", "--iterations", 1, "--out", tmp_path / "demo")
    assert code == 0
    for name in ("plain8", "plain14", "resnet8", "resnet14"):
        assert name in out
    assert "From 8 to 14 layers" in out
    assert "With shortcuts" in out
    assert (tmp_path / "demo" / "degradation.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "demo" / "degradation.html").read_text()
    assert "<svg" in page
    assert "http://" not in re.sub(r'xmlns[:\w]*="[^"]*"|rdf:\w+="[^"]*"|"http://www.w3.org[^"]*"', "", page)


def test_a_demo_is_of_20_and_56_layers(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Figure 1, by the command and by the call, unless other depths are named."""
    asked: dict[str, Any] = {}
    by_call = inspect.signature(resnets.demo).parameters["depths"].default

    def demo(_: Path, **settings: Any) -> NoReturn:
        asked.update(settings)
        raise RunError("nothing is trained")

    monkeypatch.setattr("resnets.depth_study.demo.demo", demo)
    assert command("demo", "--out", tmp_path)[0] == 1
    assert tuple(asked["depths"]) == by_call == (20, 56)


@pytest.mark.parametrize("depths", ["21", "", "twenty", "0"])
def test_depths_that_a_demo_cannot_have(depths: str, tmp_path: Path, command: Command) -> None:
    """Wrong usage, before anything is trained."""
    code, _, err = command("demo", "--depths", depths, "--out", tmp_path / "demo")
    assert code == 2 and err.count("\n") == 1
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("arguments", [["train"], ["detect", "train"], ["locate", "train"]])
def test_the_help_of_a_training_is_in_groups(arguments: list[str], command: Command) -> None:
    """In the order of GROUPS, each of which has options; of a cluster there are some for classifiers alone."""
    _, out, _ = command(*arguments, "--help")
    parts = re.split("|".join(f"─ {title} ─" for title in GROUPS), out)[1:]
    shown = ["--data", "--iterations", "--lr", "--weights", "--device"] + ["--cluster"] * (arguments == ["train"])
    for part, option in zip(parts, shown, strict=True):
        assert f" {option} " in part


@pytest.mark.parametrize("training", [train.train, detect.train, locate.train])
def test_every_option_of_a_training_is_in_a_group(training: Callable[..., None]) -> None:
    """But for the recipe, the folder and resumption, which come before the groups."""
    grouped = {name for names in GROUPS.values() for name in names}
    assert inspect.signature(training).parameters.keys() - grouped == {"network", "recipe", "out", "resume"}


def test_every_other_tools_option_has_a_parameter() -> None:
    """The names on the left of ELSEWHERE are those of parameters."""
    groups = [app, *(found.typer_instance for found in app.registered_groups)]
    commands = [command.callback for group in groups for command in group.registered_commands]
    assert set(ELSEWHERE) <= {name for command in commands if command is not None for name in get_type_hints(command)}


def test_help_shows_the_defaults_that_depend(command: Command) -> None:
    """On the recipe, the data and the time."""
    _, out, _ = command("train", "--help")
    for default in ("the recipe's", "by the data and", "every 30"):
        assert default in out


def test_names_with_brackets_are_shown_as_they_are(
    make_photos: Callable[..., Path], tmp_path: Path, command: Command
) -> None:
    """A folder or class whose name looks like markup neither crashes a command nor disappears."""
    folder = make_photos("my[red]photos", classes=("a[bold]", "[red]"))
    arguments = ("--data", f"folder:{folder}")
    code, out, _ = command(
        "train", "resnet8", *arguments, "--iterations", 1, "--batch-size", 4, "--out", tmp_path / "run"
    )
    assert code == 0
    assert "my[red]photos" in out
    code, out, _ = command("evaluate", tmp_path / "run", *arguments, "--per-class", "--confusion")
    assert code == 0
    assert "a[bold]" in out and "[red]" in out


def test_plan_says_what_a_run_takes_and_what_that_rests_on(command: Command) -> None:
    """Estimates for named devices have their assumptions, as text and as JSON."""
    arguments = ["plan", "resnet20", "--data", "cifar10", "--device-kind", "a100", "--devices", "2"]
    code, out, _ = command(*arguments)
    assert code == 0
    for part in ("ESTIMATED", "on 2 a100", "largest batch", "loader cores", "Based on:", "data sheet"):
        assert part in out
    code, out, _ = command(*arguments, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["network"], found["devices"], found["estimate"]) == ("resnet20", 2, True)
    assert found["hours"] > 0


def test_names_in_files_never_command_the_terminal(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """Class names, names of images and errors, in tables, lines and JSON."""
    from PIL import Image

    hostile = "\x1b]0;title\x07\x9b31m[bold]red\x7f"
    trained = resnets.load(digits_run)
    names = tuple(f"{hostile}{number}" for number in range(10))
    weights, image = tmp_path / "w.safetensors", tmp_path / f"{hostile[:-9]}.png"
    weights_file.save(weights, trained.network, classes=names, input_spec=trained.input_spec)
    Image.new("L", (8, 8)).save(image)
    lines = [
        command("predict", weights, image, tmp_path / f"{hostile}.png"),
        command("predict", weights, image, "--json"),
        command("evaluate", weights, "--data", "digits", "--per-class", "--confusion"),
        command("convert", weights, tmp_path / "copy.safetensors"),
        command("data", "check", f"folder:{tmp_path}/{hostile}"),
    ]
    shown = "".join(out + err for _, out, err in lines) + repr(resnets.load(weights))
    assert "[bold]red" in shown and not set(shown) & {"\x1b", "\x07", "\x9b", "\x7f"}
