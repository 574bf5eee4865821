"""The warning of a default length that takes more than a day."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from resnets.cli import run
from resnets.data.splits import DataSplits
from resnets.networks import registry
from resnets.paper.detection_recipes import VOC
from resnets.planning import defaults
from resnets.planning.defaults import DAY, days_long
from resnets.planning.measure import StepTime
from resnets.records.runs import RunRecord
from resnets.training.config import TrainingConfig, network_record, resolve
from resnets.training.recipes import CIFAR


def record(network: str | nn.Module, data: DataSplits, iterations: int) -> RunRecord:
    config = TrainingConfig(recipe=CIFAR.scaled(iterations), device="cpu", precision="fp32")
    return resolve(network, data, config).record


def test_a_run_of_days_is_estimated(tiny_splits: DataSplits) -> None:
    """In proportion to its iterations, from steps that leave torch's random numbers alone."""
    long = record("resnet8", tiny_splits, 1_000_000_000)
    before = torch.get_rng_state()
    seconds = days_long(long)
    assert torch.equal(before, torch.get_rng_state())
    assert seconds is not None and seconds > 10 * DAY


def test_a_detectors_step_is_that_of_its_pixels(tiny_splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second for 224 x 224 pixels is 0.96 s for 600 x 800, in each of 80,000 iterations of two images."""
    step = StepTime(batch_size=1, step=0.1, start=0.0, spread=0.0, steps=6)
    monkeypatch.setattr(defaults, "measure_steps", lambda *_, **__: (step, None))
    network = network_record(registry.build(registry.declare("resnet50", num_classes=20)))
    recipe = VOC.with_changes(iterations=80_000, batch_size=2, milestones=())
    run = record("resnet8", tiny_splits, 1).with_changes(network=network, recipe=recipe)
    assert days_long(run) == pytest.approx(80_000 * 2 * 0.1 * 600 * 800 / 224**2, rel=0.02)  # with its checkpoints


def test_what_surely_is_shorter_is_not_measured(tiny_splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a custom module, whose images are not known."""
    monkeypatch.setattr(defaults, "measure_steps", lambda *_, **__: pytest.fail("steps were measured"))
    assert days_long(record("resnet8", tiny_splits, 64_000)) is None
    custom = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    assert days_long(record(custom, tiny_splits, 1_000_000_000)) is None


@pytest.mark.filterwarnings("default:recipe digits")
@pytest.mark.parametrize("chosen", [[], ["--iterations", "1"]])
def test_the_command_warns_of_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chosen: list[str]
) -> None:
    """Before it starts; a length that was chosen is not commented on."""

    def three_days(run: RunRecord) -> float:
        signal.raise_signal(signal.SIGTERM)  # so that one iteration is all
        return 3 * DAY

    monkeypatch.setattr(defaults, "days_long", three_days)
    if chosen:
        monkeypatch.setattr(defaults, "days_long", lambda _: pytest.fail("it was estimated"))
    code = run(["train", "resnet8", "--data", "digits", "--device", "cpu", "--out", str(tmp_path), *chosen])
    assert code == (0 if chosen else 128 + signal.SIGTERM)
    assert ("3 days" in capsys.readouterr().err) == (not chosen)
