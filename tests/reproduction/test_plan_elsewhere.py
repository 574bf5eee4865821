"""Plans of a reproduction: for devices that are not here, what is measured, and what time several devices take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import resnets
from resnets.cli import run
from resnets.errors import UsageError
from resnets.planning import measure
from resnets.planning.devices import DEVICES
from resnets.reproduction import summary
from resnets.reproduction.estimates import Estimates

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
