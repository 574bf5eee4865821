"""The estimated time of a run that is about to start, and the warning of a default length of more than a day."""

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
from resnets.planning.defaults import estimated_seconds
from resnets.planning.measure import StepTime
from resnets.records.runs import RunRecord
from resnets.training.config import TrainingConfig, network_record, resolve
from resnets.training.recipes import CIFAR, SCRATCH

DAY = 86_400


def record(network: str | nn.Module, data: DataSplits, iterations: int) -> RunRecord:
    config = TrainingConfig(recipe=CIFAR.scaled(iterations), device="cpu", precision="fp32")
    return resolve(network, data, config).record


def test_a_run_of_days_is_estimated(tiny_splits: DataSplits) -> None:
    """In proportion to its iterations, from steps that leave torch's random numbers alone."""
    long = record("resnet8", tiny_splits, 1_000_000_000)
    before = torch.get_rng_state()
    seconds = estimated_seconds(long)
    assert torch.equal(before, torch.get_rng_state())
    assert seconds is not None and seconds > 10 * DAY


def test_a_detectors_step_is_that_of_its_pixels(tiny_splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second for 224 x 224 pixels is 0.96 s for 600 x 800, in each of 80,000 iterations of two images."""
    step = StepTime(batch_size=1, step=0.1, start=0.0, spread=0.0, steps=6)
    monkeypatch.setattr(defaults, "measure_steps", lambda *_, **__: (step, None))
    network = network_record(registry.build(registry.declare("resnet50", num_classes=20)))
    recipe = VOC.with_changes(iterations=80_000, batch_size=2, milestones=())
    run = record("resnet8", tiny_splits, 1).with_changes(network=network, recipe=recipe)
    assert estimated_seconds(run) == pytest.approx(
        80_000 * 2 * 0.1 * 600 * 800 / 224**2, rel=0.02
    )  # with its checkpoints


def test_what_surely_is_shorter_is_not_measured(tiny_splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a custom module, whose images are not known."""
    monkeypatch.setattr(defaults, "measure_steps", lambda *_, **__: pytest.fail("steps were measured"))
    assert estimated_seconds(record("resnet8", tiny_splits, 8)) is None
    custom = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    assert estimated_seconds(record(custom, tiny_splits, 1_000_000_000)) is None


def test_reading_photos_counts(tiny_splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that computes for 0.1 s takes longer on a CPU whose one core also reads its image files."""
    step = StepTime(batch_size=30, step=0.1, start=0.0, spread=0.0, steps=6)
    monkeypatch.setattr(defaults, "measure_steps", lambda *_, **__: (step, None))
    network = network_record(registry.build(registry.declare("resnet18")))
    recipe = SCRATCH.scaled(10_000).with_changes(batch_size=30)
    run = record("resnet8", tiny_splits, 1).with_changes(network=network, recipe=recipe, workers=1)
    seconds = estimated_seconds(run)
    assert seconds is not None and 10_000 * (0.1 + 30 / defaults.READING) <= seconds < 1.1 * 10_000 * 0.2


@pytest.mark.filterwarnings("default:recipe digits")
@pytest.mark.parametrize("chosen", [[], ["--iterations", "20"]])
def test_the_command_says_how_long_it_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chosen: list[str]
) -> None:
    """Before it starts; a length that was chosen is not warned of."""

    def three_days(run: RunRecord) -> float:
        signal.raise_signal(signal.SIGTERM)  # so that one iteration is all
        return 3 * DAY

    monkeypatch.setattr(defaults, "estimated_seconds", three_days)
    code = run(["train", "resnet8", "--data", "digits", "--device", "cpu", "--out", str(tmp_path), *chosen])
    out, err = capsys.readouterr()
    assert code == 128 + signal.SIGTERM
    assert "estimated time: 3 days" in out and ("3 days" in err) == (not chosen)
