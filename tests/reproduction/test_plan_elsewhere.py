"""Plans of a reproduction: for devices that are not here, what is measured, and what time several devices take."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import run
from resnets.data import sources
from resnets.errors import UsageError
from resnets.planning import dataset_stats, measure
from resnets.planning.devices import DEVICES
from resnets.reproduction import summary
from resnets.reproduction.estimates import Estimates
from resnets.reproduction.run_list import ReproductionPlan
from resnets.specs import IMAGENET_IMAGES, PUBLISHED_IMAGES

ROWS = {"only": ["resnet-20-layers", "resnet-56-layers"], "scale": "short", "data": "digits"}


def test_devices_of_a_kind_need_not_be_here(tmp_path: Path) -> None:
    """Nothing is measured; more devices take less time, but no less than the longest run, and the plan says so."""
    measured: list[str] = []
    one, eight = (
        resnets.plan_reproduction(
            "table6", out=tmp_path, device_kind="h100", devices=devices, together=1, notify=measured.append, **ROWS
        )
        for devices in (1, 8)
    )
    assert not measured and len(eight.devices) == 8
    times = [run.seconds for run in one.runs]
    assert None not in times and one.seconds == pytest.approx(sum(time or 0 for time in times))
    assert eight.seconds == pytest.approx(max(time or 0 for time in times))
    (sentence, *_) = summary.plan_sentences(eight)
    assert "8 h100" in sentence and "ESTIMATED" in sentence
    at_once = resnets.plan_reproduction("table6", out=tmp_path, device_kind="h100", **ROWS)
    assert [len(group) for group in at_once.groups] == [2] and (at_once.seconds or 0) < (one.seconds or 0)


def test_a_group_takes_no_less_than_its_longest_run(tmp_path: Path) -> None:
    """More rows make no plan shorter, also where the deepest network has more iterations left than the others."""
    rows = {"only": ["resnet-20-layers", "resnet-32-layers", "resnet-110-layers"], "scale": "short", "data": "digits"}
    one_by_one, at_once = (
        resnets.plan_reproduction("table6", out=tmp_path, device_kind="h100", together=together, **rows)
        for together in (1, None)
    )
    alone = [run.seconds or 0.0 for run in one_by_one.runs]
    assert len(at_once.groups) == 1 and max(alone) <= (at_once.seconds or 0) < sum(alone)
    estimates = Estimates("cpu", timed=True, known=DEVICES.find("h100"))
    nearly_done = [dataclasses.replace(run, iteration=run.recipe.iterations - 9) for run in one_by_one.runs[:2]]
    left = [run for one in (*nearly_done, one_by_one.runs[2]) for run in estimates.of([one])]
    (group,) = estimates.grouped(left, ("h100:0",), None)
    assert max(run.seconds or 0 for run in left) <= sum(run.seconds or 0 for run in group)


@pytest.mark.parametrize("scale", ["full", "smoke"])
@pytest.mark.parametrize(
    ("name", "only", "data", "of"),
    [
        ("table6", "resnet-20-layers", (), "cifar10"),
        ("table6", "resnet-20-layers", "cifar10", "cifar10"),
        ("table6", "resnet-20-layers", "digits", "digits"),
        ("figure4", "resnet18", (), "imagenet"),
    ],
)
def test_known_data_sets_need_not_be_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    only: str,
    data: str | Sequence[str],
    of: str,
    scale: str,
) -> None:
    """A plan for a device that is not here neither reads nor fetches them, named or not, and counts their images."""

    def read(source: str) -> None:
        raise AssertionError(f"{source} was read")

    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "load", read)
    plan = resnets.plan_reproduction(name, only=only, data=data, scale=scale, out=tmp_path / "out", device_kind="h100")
    (run,) = plan.runs
    assert run.data.name.partition(" (")[0] == of and not plan.left_out and not list(tmp_path.iterdir())
    kind = dataset_stats.KNOWN[of]
    most = (2_000, 400) if scale == "smoke" else (kind.train, kind.test)
    counted = (min(kind.train, most[0]), min(kind.test, most[1]))
    assert (len(run.data.splits.train), len(run.data.splits.test)) == counted
    assert scale == "smoke" or run.seconds


def numbers(plan: ReproductionPlan) -> list[tuple[Any, ...]]:
    """Return what a plan says, the disk's free space apart, and the estimates of each run."""
    plan = dataclasses.replace(plan, free_bytes=0)
    runs = [(run.seconds, run.memory_bytes, run.disk_bytes, run.peak_bytes, run.tests, run.recipe) for run in plan.runs]
    said = [(summary.plan_title(plan), *summary.plan_lines(plan), *summary.plan_sentences(plan))]
    return [*said, *runs, (plan.seconds, plan.disk_bytes)]


def test_a_plan_is_the_same_with_the_images_and_without(tmp_path: Path) -> None:
    """Also in the identity of the runs, by which those that are made are found."""
    unread, read = (
        resnets.plan_reproduction("table6", out=tmp_path, device_kind="h100", **(ROWS | {"data": data}))
        for data in ("digits", resnets.load_data("digits"))
    )
    assert numbers(unread) == numbers(read)
    assert [(run.name, run.identity) for run in unread.runs] == [(run.name, run.identity) for run in read.runs]


def test_a_plan_of_photos_is_the_same_without_them(
    tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many photos declared as there are the plan is the same, and says that it cannot know runs by them."""
    counts: dict[str, Any] = {"train": 12, "test": 6, "classes": 3}
    monkeypatch.setitem(PUBLISHED_IMAGES, "imagenet", dataclasses.replace(IMAGENET_IMAGES, **counts))
    declared = dataclasses.replace(dataset_stats.KNOWN["imagenet"], **counts)
    monkeypatch.setitem(dataset_stats.KNOWN, "imagenet", declared)
    rows = {"only": ["resnet18", "resnet34"], "device_kind": "h100", "devices": 2}
    unread, read = (
        resnets.plan_reproduction("figure4", out=tmp_path / "out", data=data, **rows)
        for data in ((), f"folder:{photo_folder}")
    )
    assert numbers(unread) == numbers(read) and unread.notes == ()
    (tmp_path / "out" / "runs").mkdir(parents=True)
    (note,) = resnets.plan_reproduction("figure4", out=tmp_path / "out", **rows).notes
    assert "--data imagenet:PATH" in note


def test_each_measurement_is_announced(tmp_path: Path) -> None:
    """With the network, and which of how many it is."""
    notes: list[str] = []
    row = ROWS | {"only": "resnet-20-layers"}
    plan = resnets.plan_reproduction("table6", out=tmp_path, device="cpu", notify=notes.append, **row)
    assert plan.runs[0].seconds and len(notes) == 1
    assert "resnet20" in notes[0] and "1 of 1" in notes[0]


def test_a_measurement_ends_in_time(tiny_splits: resnets.DataSplits) -> None:
    """After its limit a single step that was timed is enough."""
    training = measure_training(tiny_splits)
    steps, _ = measure.measure_steps(training, warm_up=3, seconds=60.0, limit=0.0)
    assert steps.steps == 1 and steps.step > 0


def measure_training(splits: resnets.DataSplits) -> measure.Training:
    from resnets.training.config import TrainingConfig, resolve

    training = resolve("resnet8", splits, TrainingConfig(device="cpu"))
    return dataclasses.replace(training, recipe=training.recipe.with_changes(batch_size=8))


def test_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several devices of no kind, an unknown kind, and a kind without --plan: nothing can run there."""
    with pytest.raises(UsageError, match="devices is 8"):
        resnets.plan_reproduction("table6", out=tmp_path, devices=8, **ROWS)
    with pytest.raises(UsageError, match="h1000"):
        resnets.plan_reproduction("table6", out=tmp_path, device_kind="h1000", **ROWS)
    arguments = ["reproduce", "table6", "--data", "digits", "--device-kind", "h100", "--out", str(tmp_path / "x")]
    assert run(arguments) == 2
    assert "--plan" in capsys.readouterr().err and not (tmp_path / "x").exists()
