"""The commands as a user types them: what they print, their JSON and their exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnets.cli import PANELS, app, run


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run `resnets` with these arguments; return its exit code, standard output and standard error."""
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 10 iterations of ResNet-8 on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "resnet8"
    assert run(["train", "resnet8", "--data", "digits", "--iterations", "10", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = f"import sys; from resnets.cli import run; run({arguments}); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "resnets" in done.stdout


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, resnets; dir(resnets); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_python_m_resnets_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "resnets", "--version"], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"resnets \d+\.\d+\.\d+\n", done.stdout)


def test_every_command_and_option_is_explained() -> None:
    for registered in app.registered_commands:
        assert registered.callback is not None
        assert registered.callback.__doc__, registered.name
        for name, annotation in registered.callback.__annotations__.items():
            assert name == "return" or "Option" in annotation or "Argument" in annotation


def test_the_help_shows_all_commands_by_their_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    shown = [out.index(title) for title in PANELS]
    assert shown == sorted(shown)
    names = [name for commands in PANELS.values() for name in commands]
    lines = [line for line in out.splitlines() if len(line.split()) > 1 and line.split()[1] in names]
    assert [line.split()[1] for line in lines] == names


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["train"], "hf:REPO[@SPLIT]"),
        (["data", "check"], "hf-stream:REPO[@SPLIT]"),
        (["detect", "train"], "voc:PATH[@SETS]"),
        (["detect", "evaluate"], "coco:PATH[@SETS]"),
        (["detect", "check"], "voc:PATH[@SETS]"),
    ],
)
def test_the_help_keeps_what_stands_in_brackets(
    arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--help"]) == 0
    assert shown in capsys.readouterr().out


def test_train_says_how_it_ended_and_fills_the_folder(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {path.name for path in digits_run.iterdir()}
    assert {"run.json", "metrics.jsonl", "tensorboard", "checkpoints", "weights.safetensors", "result.json"} <= names
    result = json.loads((digits_run / "result.json").read_text())
    assert result["network"] == "resnet8"
    assert result["run"]["data"]["training_images"] == 1437
    assert result["run"]["recipe"]["milestones"] == [5, 8]  # half and three quarters of 10, rounded
    assert {"versions", "hardware", "commit"} <= result["run"]["provenance"][0].keys()
    assert result["curve"][-1]["test_error"] == pytest.approx(result["test_error"], abs=2)  # bf16 and float32
    code, out, _ = command(
        capsys, "train", "resnet8", "--data", "digits", "--iterations", 10, "--out", digits_run, "--resume"
    )
    assert code == 0
    assert "is finished; nothing was to do" in out
    assert f"test error {result['test_error']:.2f} %" in out


def test_train_refuses_a_folder_with_a_run(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "train", "resnet8", "--data", "digits", "--iterations", 10, "--out", digits_run)
    assert code == 1
    assert "--resume" in err


def test_evaluate_agrees_with_the_run(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error in result.json is what `resnets evaluate` prints, exactly."""
    code, out, _ = command(capsys, "evaluate", digits_run, "--data", "digits", "--json")
    evaluation = json.loads(out)
    assert code == 0
    assert evaluation["network"] == "resnet8"
    assert evaluation["samples"] == 360
    assert evaluation["top1_error"] == json.loads((digits_run / "result.json").read_text())["test_error"]
    assert 0 <= evaluation["top5_error"] <= evaluation["top1_error"]
    assert sum(map(sum, evaluation["confusion"])) == 360


def test_evaluate_shows_classes_and_confusion(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = digits_run / "weights.safetensors"
    code, out, _ = command(capsys, "evaluate", weights, "--data", "digits", "--per-class", "--confusion")
    assert code == 0
    assert "360 test images of digits" in out
    assert "by column: the predicted class" in out


def test_predict_names_images_and_reports_bad_ones(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    good, bad = tmp_path / "four.png", tmp_path / "broken.png"
    Image.new("RGBA", (30, 20), "white").save(good)
    bad.write_bytes(good.read_bytes()[:40])
    code, out, err = command(capsys, "predict", digits_run, good, bad, "--top", 3)
    assert code == 1
    assert out.startswith(f"{good}: ")
    assert out.count("%") == 3
    assert str(bad) in err
    code, out, _ = command(capsys, "predict", digits_run, good, "--json")
    classes = json.loads(out)[0]["classes"]
    assert code == 0
    assert len(classes) == 5
    assert classes[0]["probability"] >= classes[1]["probability"]
    code, out, err = command(capsys, "predict", digits_run, good, bad, good, "--json", "--precision", "bf16")
    entries = json.loads(out)
    assert code == 1
    assert [entry["image"] for entry in entries] == [str(good), str(bad), str(good)]
    assert str(bad) in entries[1]["error"] and "classes" not in entries[1]
    assert str(bad) in err


def test_evaluate_in_bf16_tells_its_agreement(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "evaluate", digits_run, "--data", "digits", "--precision", "bf16")
    assert code == 0
    assert re.search(r"bf16 by engine eager: the same class as in fp32 for \d+ of the first 360 images", out)
    _, out, _ = command(capsys, "evaluate", digits_run, "--data", "digits", "--precision", "bf16", "--json")
    assert json.loads(out)["agreement"]["samples"] == 360


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "list", "--json")
    networks = {network["name"]: network for network in json.loads(out)}
    assert code == 0
    assert networks["resnet56"]["depth"] == 56
    assert networks["resnet56"]["parameters"] == 853_018
    assert networks["resnet56"]["macs"] == 125_485_696
    assert networks["resnet56"]["published"]["value"] == 6.97
    assert networks["vgg16"]["parameters"] == 138_357_544


def test_list_shows_the_paper_beside(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = command(capsys, "list")
    assert re.search(r"resnet110 +110 +1,727,962 +252,887,680 +32 +6.43 %, Table 6", out)


def test_info_is_a_column_of_table_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "info", "resnet50")
    assert code == 0
    for stage, size in (("conv1", 112), ("conv2_x", 56), ("conv3_x", 28), ("conv4_x", 14), ("conv5_x", 7), ("fc", 1)):
        assert re.search(rf"{stage} +{size} x {size}", out)
    assert "25,557,032  3,857,973,248" in out
    _, out, _ = command(capsys, "info", "resnet20", "--shortcut", "B", "--layers")
    assert "272,474" in out
    code, out, _ = command(capsys, "info", "plain34", "--json")
    assert json.loads(out)["cost"]["parameters"] == 21_623_848


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "resnt20", "--data", "digits"], 2, "did you mean resnet20"),
        (["train", "resnet21", "--data", "digits"], 2, "nearest: 20 and 26"),
        (["train", "resnet20", "--data", "digit"], 2, "did you mean digits"),
        (["train", "resnet20", "--data", "folder"], 2, "folder:PATH"),
        (["train", "resnet20", "--data", "folder:/no/such"], 1, "no folder /no/such"),
        (["train", "resnet20", "--data", "digits", "--recipe", "ciffar"], 2, "did you mean cifar"),
        (["train", "resnet20", "--data", "digits", "--batch-size", "0"], 2, "batch size is 0"),
        (["train", "resnet20", "--data", "digits", "--lr", "nan"], 2, "lr is nan"),
        (["train", "resnet20", "--data", "digits", "--iterations", "0"], 2, "iterations is 0"),
        (["train", "resnet20", "--data", "digits", "--epochs", "-1"], 2, "epochs is -1"),
        (["train", "resnet20", "--data", "digits", "--epochs", "1", "--iterations", "9"], 2, "one of them"),
        (["train", "resnet20", "--data", "digits", "--split", "45k5k"], 2, "50,000"),
        (["train", "resnet20", "--data", "digits", "--split", "half"], 2, "all or 45k5k"),
        (["train", "resnet20", "--data", "digits", "--split", "100%"], 2, "such as 10%"),
        (["train", "resnet20", "--data", "digits", "--seed", "-1"], 2, "seed is -1"),
        (["train", "resnet20", "--data", "digits", "--shortcut", "D"], 2, "A, B, C"),
        (["train", "plain20", "--data", "digits", "--shortcut", "A"], 2, "no shortcuts"),
        (["train", "resnet20", "--data", "digits", "--device", "gpu7"], 2, "device 'gpu7'"),
        (["train", "resnet20", "--data", "digits", "--precision", "fp8"], 2, "fp8"),
        (["train", "vgg16", "--data", "digits"], 2, "32 x 32 pixels or more"),
        (["train", "resnet20"], 2, "--data"),
        (["train", "resnet20", "--data", "digits", "--nope"], 2, "--nope"),
        (["plan", "resnet20", "--data", "cifar11"], 2, "did you mean cifar10"),
        (["plan", "resnet20", "--data", "cifar10", "--device-kind", "k80"], 2, "known: h200"),
        (["plan", "resnet20", "--data", "cifar10", "--devices", "0"], 2, "devices is 0"),
        (["evaluate", "/no/such/run", "--data", "digits"], 1, "/no/such/run"),
        (["info", "resnet99"], 2, "no network 'resnet99'"),
    ],
)
def test_bad_usage_is_one_clear_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    actual, _, err = command(capsys, *arguments)
    assert actual == code
    assert message in err
    assert err.startswith("resnets: error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_debug_shows_the_traceback() -> None:
    from resnets.errors import UsageError

    with pytest.raises(UsageError):
        run(["train", "resnet21", "--data", "digits", "--debug"])


@pytest.mark.filterwarnings("default")
def test_an_imagenet_network_on_small_images_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`resnet18` on small images is not a network of the paper for them: the user is told which are."""
    code, _, err = command(
        capsys, "train", "resnet18", "--data", "digits", "--iterations", 1, "--batch-size", 8, "--out", tmp_path / "run"
    )
    assert code == 0
    assert "resnets: note: resnet18 is made for photos" in err


def test_demo_shows_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With 2 iterations nothing is learned; the table, both sentences and the drawings are there all the same."""
    code, out, _ = command(capsys, "demo", "--iterations", 2, "--out", tmp_path / "demo")
    assert code == 0
    for name in ("plain20", "plain56", "plain110", "resnet20", "resnet56", "resnet110"):
        assert name in out
    assert "From 20 to 110 layers" in out
    assert "With shortcuts" in out
    assert (tmp_path / "demo" / "degradation.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "demo" / "degradation.html").read_text()
    assert "<svg" in page
    assert "http://" not in re.sub(r'xmlns[:\w]*="[^"]*"|rdf:\w+="[^"]*"|"http://www.w3.org[^"]*"', "", page)


def test_help_shows_the_defaults_that_depend(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = command(capsys, "train", "--help")
    for default in ("the recipe's", "the one for the data", "every 30"):
        assert default in out


def test_names_with_brackets_are_shown_as_they_are(
    make_photos: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder or class whose name looks like markup neither crashes a command nor disappears."""
    folder = make_photos("my[red]photos", classes=("a[bold]", "[red]"))
    arguments = ("--data", f"folder:{folder}")
    code, out, _ = command(
        capsys, "train", "resnet8", *arguments, "--iterations", 1, "--batch-size", 4, "--out", tmp_path / "run"
    )
    assert code == 0
    assert "my[red]photos" in out
    code, out, _ = command(capsys, "evaluate", tmp_path / "run", *arguments, "--per-class", "--confusion")
    assert code == 0
    assert "a[bold]" in out and "[red]" in out


def test_plan_says_what_a_run_takes_and_what_that_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "resnet20", "--data", "cifar10", "--device-kind", "a100", "--devices", "2"]
    code, out, _ = command(capsys, *arguments)
    assert code == 0
    for part in ("ESTIMATED", "on 2 a100", "largest batch", "loader cores", "This rests on:", "data sheet"):
        assert part in out
    code, out, _ = command(capsys, *arguments, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["network"], found["devices"], found["estimate"]) == ("resnet20", 2, True)
    assert found["hours"] > 0
