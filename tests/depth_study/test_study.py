"""A study: one length for every network, within the budget, kept when resumed, chosen without the test images."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import resnets
from resnets.cli import run
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.depth_study import budget as planner_of
from resnets.depth_study.candidates import candidates, share_to_hold_out
from resnets.errors import Interrupted, RecordError, RunError, TrainingError, UsageError
from resnets.planning.forecast import Rates
from resnets.planning.measure import Measurement, StepTime
from resnets.records import base
from resnets.records.runs import ClassifierResult, LogLine, Result
from resnets.records.studies import StudyRecord
from resnets.report.collect import collect
from resnets.training.config import TrainingConfig, resolve
from resnets.training.observers import Observer

TINY: dict[str, Any] = {"depths": (8, 14), "budget": 88.0, "seed": 1}  # by the reckoning below 22 iterations


pytestmark = pytest.mark.usefixtures("estimated")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What the finished study reports."""
    return []


@pytest.fixture(scope="module")
def finished(estimated: None, lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> resnets.Study:
    """A study of four networks on digits. Its folder is only read."""
    return resnets.study("digits", out=tmp_path_factory.mktemp("studies") / "s", notify=lines.append, **TINY)


@pytest.fixture
def copied(finished: resnets.Study, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return shutil.copytree(finished.file.parent, tmp_path / "s")


# ---------------------------------------------------------------- the whole


def test_a_study_of_digits(finished: resnets.Study, lines: list[str]) -> None:
    """Every network has the same iterations and images, and the numbers are those of its result file."""
    assert [row.network for row in finished.rows] == ["plain8", "plain14", "resnet8", "resnet14"]
    plan, folder = finished.plan, finished.file.parent
    assert plan.iterations == 22  # 88 s for four networks, a second a step
    assert (plan.training_images, plan.validation_images, plan.test_images) == (1148, 289, 360)
    for row in finished.rows:
        result = base.read(folder / "runs" / row.network / "result.json", ClassifierResult)
        assert result is not None and result.validation_error == row.validation_error
        assert result.run.recipe.iterations == plan.iterations
        assert result.run.data.split == "20%" and result.run.seed == 1
        assert row.curve[-1] == (plan.iterations, row.training_error, row.validation_error)
        assert row.interval[0] < row.validation_error < row.interval[1]
    assert any("1,148" in line and "289" in line for line in lines)
    page = finished.page.read_text()
    assert (
        finished.recommendation.headline.replace(" %", "\N{NO-BREAK SPACE}%") in page
        and "plain14" in page
        and "<svg" in page
        and "<script src" not in page
    )
    assert finished.plot.read_bytes().startswith(b"\x89PNG")
    recorded = base.read(finished.file, StudyRecord)
    assert recorded is not None and recorded.provenance[0].versions
    assert (recorded.plan, recorded.rows, recorded.recommendation) == (plan, finished.rows, finished.recommendation)
    assert len(collect([folder]).runs) == 4
    assert not collect([folder]).problems


def test_a_finished_study_is_read_again(finished: resnets.Study, copied: Path) -> None:
    """With --resume no network is trained again, and plan, rows and recommendation are the same."""
    again = resnets.study("digits", out=copied, resume=True, **TINY)
    assert again.done_before == ("plain8", "plain14", "resnet8", "resnet14")
    assert (again.plan, again.rows, again.recommendation) == (finished.plan, finished.rows, finished.recommendation)


class StopSecond(Observer):
    """An observer that stops the study, as a signal does, in the network that is trained after the first."""

    def __init__(self) -> None:
        self.networks: list[str] = []
        self.stopped = False

    def __call__(self, network: str) -> StopSecond:
        self.networks.append(network)
        return self

    def logged(self, line: LogLine) -> None:
        if len(self.networks) == 2 and not self.stopped:  # a second signal would end this process
            self.stopped = True
            signal.raise_signal(signal.SIGTERM)


def test_an_interrupted_study_keeps_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured once counts, though it would be measured otherwise now."""
    asked: dict[str, Any] = {"out": tmp_path, "depths": (8, 14), "kinds": ["plain"], "budget": 44.0}
    with pytest.raises(Interrupted):
        resnets.study("digits", observe=StopSecond(), **asked)
    begun = base.read(tmp_path / "study.json", StudyRecord)
    monkeypatch.setattr(planner_of, "measure", lambda *_, **__: pytest.fail("measured again"))
    found = resnets.study("digits", resume=True, **asked)
    assert begun is not None and found.plan == begun.plan and found.plan.iterations == 22
    assert found.done_before == ("plain8",)
    assert {row.network for row in found.rows} == {"plain8", "plain14"}


class StopFinished(Observer):
    """An observer that sends a signal when a network is trained and tested."""

    def __init__(self) -> None:
        self.networks: list[str] = []

    def __call__(self, network: str) -> StopFinished:
        self.networks.append(network)
        return self

    def finished(self, result: Result) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("command", ["study", "demo"])
def test_a_signal_in_the_last_test_of_a_network_starts_no_other(tmp_path: Path, command: str) -> None:
    """What was running is finished and has its result, and the networks after it are not trained."""
    observe = StopFinished()
    with pytest.raises(Interrupted) as caught:
        if command == "study":
            resnets.study("digits", out=tmp_path, depths=(8, 14), kinds=["plain"], budget=44.0, observe=observe)
        else:
            resnets.demo(tmp_path, depths=(8, 14), iterations=1, observe=observe)
    assert caught.value.exit_code == 143
    assert observe.networks == ["plain8"]
    assert [file.parent.name for file in tmp_path.rglob("result.json")] == ["plain8"]


def test_another_study_is_not_mixed_in(copied: Path) -> None:
    """Not without --resume, with other settings, nor into a folder whose file is of something else."""
    with pytest.raises(RunError, match="--resume"):
        resnets.study("digits", out=copied, **TINY)
    with pytest.raises(RunError, match=r"budget 88.0, seed 1.*--out$"):
        resnets.study("digits", out=copied, resume=True, **TINY | {"budget": 90.0, "seed": 3})
    damaged = json.loads((copied / "study.json").read_text())
    damaged["plan"]["iterations"] = "many"
    for content, field in ((damaged, r"\$.plan.iterations"), ({}, "`request`")):
        (copied / "study.json").write_text(json.dumps(content))
        with pytest.raises(RecordError, match=f"{copied}.*{field}"):
            resnets.study("digits", out=copied, resume=True, **TINY)


class Diverges(nn.Module):
    """A network whose loss is not a number."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.mean((2, 3))) * float("nan")


def test_a_network_that_fails_does_not_end_the_study(tmp_path: Path) -> None:
    """It is named with its error; where all fail, the study does."""
    resnets.register_network("diverges", Diverges, input_size=32)
    found = resnets.study("digits", out=tmp_path / "some", networks=["diverges", "resnet8"], budget=46.0)
    assert [row.network for row in found.rows] == ["resnet8"]
    assert found.failed.keys() == {"diverges"} and "loss is nan" in found.failed["diverges"]
    assert any("diverges" in caution and "loss is nan" in caution for caution in found.recommendation.cautions)
    with pytest.raises(TrainingError):
        resnets.study("digits", out=tmp_path / "none", networks=["diverges"], budget=46.0)


def test_networks_at_once_learn_what_they_learn_alone(finished: resnets.Study, tmp_path: Path) -> None:
    """A study that trains its networks at once ends with the same rows, but for their times."""
    shutil.copy(finished.file.parent / "study.json", tmp_path)  # so that the plan is the same
    found = resnets.study("digits", out=tmp_path, together=2, resume=True, **TINY)
    assert found.done_before == ()

    def untimed(study: resnets.Study) -> list[Any]:
        return [row.with_changes(seconds=0.0) for row in study.rows]

    assert untimed(found) == untimed(finished)


def test_a_network_that_cannot_be_measured_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss is not finite in the first steps: it is named with advice, and the others are studied."""
    real = planner_of.measure

    def measured(training: Any, *arguments: Any, **options: Any) -> Any:
        if training.record.network.name == "plain8":
            raise TrainingError("iteration 1: the loss is nan")
        return real(training, *arguments, **options)

    monkeypatch.setattr(planner_of, "measure", measured)
    found = resnets.study("digits", out=tmp_path, depths=[8], budget=46.0)
    assert [row.network for row in found.rows] == ["resnet8"]
    assert "loss is nan" in found.failed["plain8"] and "--recipe" in found.failed["plain8"]
    assert any("plain8" in caution for caution in found.recommendation.cautions)
    with pytest.raises(TrainingError, match="plain8"):
        resnets.study("digits", out=tmp_path / "all", networks=["plain8"], budget=46.0)


# ---------------------------------------------------------------- any data


def test_a_folder_of_photos(photo_folder: Path, tmp_path: Path) -> None:
    """Photos under 64 pixels are for CIFAR-type networks, and are decoded once for all of them."""
    found = resnets.study(f"folder:{photo_folder}", out=tmp_path / "s", depths=[8], kinds=["plain"], budget=23.0)
    assert found.plan.data == "photos"
    assert (found.plan.training_images, found.plan.validation_images) == (9, 3)  # one of four of each class
    assert [row.network for row in found.rows] == ["plain8"]


@pytest.mark.parametrize(("given", "images"), [("", 12), ("train", 6)])
def test_it_says_how_many_images_a_training_has(
    given: str, images: int, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All training images, or of one folder of images those that `train` leaves after tests and validation."""
    data = f"folder:{photo_folder / given}"
    arguments = ["--networks", "resnet8", "--budget", "23s", "--out", str(tmp_path / "s")]
    assert run(["study", "--data", data, *arguments]) == 0
    assert f"To train it:  resnets train resnet8 --data {data}  ({images} training images" in capsys.readouterr().out
    task = resolve("resnet8", data, TrainingConfig(device="cpu"))
    assert len(task.data.train) == images


def test_dataset_objects(tmp_path: Path) -> None:
    """A user's dataset is studied, and divided for validation."""
    dataset = TensorDataset(torch.randn(40, 1, 8, 8), torch.arange(40) % 4)
    splits = DataSplits(name="own", train=dataset, test=dataset, classes=tuple("abcd"))
    found = resnets.study(splits, out=tmp_path / "s", depths=[8], kinds=["residual"], budget=25.0, workers=0)
    assert (found.plan.training_images, found.plan.validation_images) == (32, 8)
    assert found.plan.majority_class_error == 75  # no class is known to be commoner


def test_a_validation_split_of_ones_own_is_taken(tiny_splits: DataSplits, tmp_path: Path) -> None:
    """And the majority-class error is that of its commonest class."""
    uneven = tiny_splits.test.select(np.array([0, 3, 6, 1]))  # three of one class, one of another
    own = dataclasses.replace(tiny_splits, validation=uneven)
    plan = resnets.study(own, out=tmp_path / "s", depths=[8], kinds=["plain"], budget=25.0).plan
    assert (plan.split, plan.training_images, plan.validation_images, plan.majority_class_error) == ("all", 96, 4, 25)


def test_which_networks(tiny_splits: DataSplits, make_photos: Callable[..., Path]) -> None:
    """By the type of the images, the depths and kinds that are named, and the recipe."""
    small = ("plain20", "plain56", "plain110", "resnet20", "resnet56", "resnet110")
    both = ("plain", "residual")
    assert candidates(tiny_splits, None, both) == (small,)
    assert candidates(tiny_splits, None, ["residual"]) == (small[3:],)
    photos = resnets.load_data(f"folder:{make_photos('large', size=(80, 70))}")
    assert isinstance(photos.train, ImageFiles)
    assert candidates(photos, None, both) == (
        ("plain18", "plain34", "resnet18", "resnet34", "resnet50"),
        ("plain18", "plain34", "resnet18", "resnet34"),
        small,
    )
    assert candidates(photos, (50, 18), both) == (("plain18", "plain50", "resnet18", "resnet50"),)
    assert candidates(photos, (20, 50), ["plain"]) == (("plain20", "plain50_cifar"),)
    assert candidates(tiny_splits, (50,), ["residual"]) == (("resnet50_cifar",),)
    assert candidates(photos, None, both, resnets.find_recipe("cifar")) == (small,)
    assert len(candidates(photos, None, both, resnets.find_recipe("imagenet"))) == 2
    assert len(candidates(photos, None, both, resnets.find_recipe("imagenet-90"))) == 2
    for depths, kind, message in ((None, "odd", "'odd'"), ((21,), "plain", "plain21"), ((), "plain", "depths")):
        with pytest.raises(UsageError, match=message):
            candidates(tiny_splits, depths, [kind])


def test_shares() -> None:
    """The more images there are, the smaller the share of them that distinguishes networks."""
    assert [share_to_hold_out(n) for n in (500, 50_000, 200_000, 1_281_167)] == ["20%", "10%", "5%", "1%"]


# ---------------------------------------------------------------- budgets


def test_a_budget_that_is_too_small_says_what_would_do(tmp_path: Path) -> None:
    """The longer budget does, and so does the largest part of the networks that fits; nothing was started."""
    with pytest.raises(UsageError, match=r"6 networks.* 14 .* 20 .*--budget 3m .*plain8,plain14,resnet8,resnet14"):
        resnets.study("digits", out=tmp_path / "s", depths=[8, 14, 20], budget=88.0)
    assert not (tmp_path / "s").exists()


def test_a_machine_that_is_too_busy_is_noticed_while_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before all networks are measured, since that alone would use the budget up."""
    monkeypatch.setattr(planner_of.Planner, "elapsed", lambda planner: 40.0 * len(planner.measured))
    with pytest.raises(UsageError, match="160 s .* 88s.*--budget 10m .*--networks resnet8"):
        resnets.study("digits", out="never", **TINY)


def test_photos_for_which_the_budget_is_too_small(
    make_photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ImageNet type is left where the photos would be seen fewer than ten times, with a word on it."""

    def by_macs(*_: Any, macs: int, **__: Any) -> Measurement:
        step = macs / 1.8e9  # a second of ResNet-18
        rates = Rates(step=step, start=0.0, test=0.0, final_test=0.0, save=0.0, log=0.0)
        return Measurement(StepTime(batch_size=256, step=step, start=0.0, spread=0.0, steps=5), rates)

    monkeypatch.setattr(planner_of, "measure", by_macs)
    monkeypatch.setattr(planner_of, "loading_rate", lambda *_: 100.0)
    monkeypatch.setattr(planner_of, "LEAST", 3)
    monkeypatch.setattr(planner_of, "available_memory", lambda _: 64 * 2**30)
    photos = resnets.load_data(f"folder:{make_photos('large', size=(80, 70), train=20)}")
    lines: list[str] = []

    def planned(budget: float) -> tuple[str, ...]:
        config = TrainingConfig(device="cpu", precision="fp32", workers=0)
        planner = planner_of.Planner(time.perf_counter(), budget, config)
        chosen = candidates(photos, None, ["residual"])
        plan, _ = planner.plan(photos, chosen, lines.append)
        return tuple(network.network for network in plan.networks)

    assert planned(5.0) == ("resnet20", "resnet56", "resnet110")
    assert "each would be trained for" in lines[0]
    assert planned(90.0) == ("resnet18", "resnet34", "resnet50")
    monkeypatch.setattr(planner_of, "available_memory", lambda _: 2 * 2**30)
    assert planned(90.0) == ("resnet20", "resnet56", "resnet110")
    assert "GiB of memory with 64 images per iteration, and 2.0 GiB are free" in lines[-2]
    monkeypatch.setattr(planner_of, "available_memory", lambda _: 2**30)
    with pytest.raises(UsageError, match="GiB are free, or --networks resnet20"):
        planned(90.0)


# ---------------------------------------------------------------- the command


def test_the_command(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new study, one that is refused without --resume, and one that was finished before."""
    new = ["--depths", "8", "--kinds", "plain", "--budget", "23s", "--out", str(tmp_path / "new")]
    assert run(["study", "--data", "digits", *new]) == 0
    out = capsys.readouterr().out
    for part in ("plain8", "validation error", "study.html"):
        assert part in out
    assert "test error" not in out.replace("no part in the choice", "")  # in no line of a network
    old = ["study", "--data", "digits", "--depths", "8,14", "--budget", "88s", "--seed", "1", "--out", str(copied)]
    assert run(old) == 1
    assert "--resume" in capsys.readouterr().err
    assert run([*old, "--resume"]) == 0
    assert "plain8, plain14, resnet8, resnet14" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--depths", "a,b"], "numbers of layers"),
        (["--depths", "21"], "nearest: 20 and 26"),
        (["--budget", "soon"], "such as 90s, 30m or 2h"),
        (["--kinds", "odd"], "plain and residual"),
        (["--recipe", "ciffar"], "did you mean cifar"),
        (["--budget", "1s"], "too small"),
        (["--workers", "-1"], "workers is -1"),
        (["--seed", "-1"], "seed is -1"),
        (["--recipe", "finetune"], "starts from trained weights"),
        (["--recipe", "authors-fitnet"], "learns from a trained network"),
    ],
)
def test_bad_usage(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line with the offending value, exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert run(["study", "--data", "digits", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
