"""Runs of a reproduction that are trained at once: which, and that nothing else about them changes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from observing import Recorder

import resnets
from resnets.errors import Interrupted, UsageError
from resnets.records.base import read
from resnets.records.evaluations import ReproducedRun
from resnets.reproduction.planned_run import PlannedRun
from resnets.weights.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = ("resnet20", "plain20", "resnet32")
ROWS: dict[str, Any] = {"only": NETWORKS, "scale": "smoke", "data": "digits", "device": "cpu", "workers": 0}


def stop(run: PlannedRun) -> Recorder:
    """Return an observer that sends SIGTERM to this process when an iteration of plain-20 is logged."""
    after = 3 if run.task.training.network == "plain20" else None
    return Recorder(after, lambda: signal.raise_signal(signal.SIGTERM))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> resnets.Reproduction:
    """All three, one after the other."""
    return resnets.reproduce("all", out=tmp_path_factory.mktemp("alone"), **ROWS)


def require_same(ours: resnets.Reproduction, theirs: resnets.Reproduction) -> None:
    for one, other in zip(ours.plan.runs, theirs.plan.runs, strict=True):
        weights, expected = (read_tensors(run.folder / "weights.safetensors")[0] for run in (one, other))
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
        records = [read(run.file, ReproducedRun) for run in (one, other)]
        assert records[0] is not None and records[1] is not None
        assert records[0].result.curve == records[1].result.curve
        assert records[0].responses == records[1].responses


def test_weights_are_those_of_runs_alone(alone: resnets.Reproduction, tmp_path: Path) -> None:
    """Three networks at once get the weights, curves and responses that each gets alone."""
    result = resnets.reproduce("all", out=tmp_path, together=3, **ROWS)
    assert [len(group) for group in result.plan.groups] == [3]
    require_same(result, alone)


def test_stopped_together_and_resumed_alone(alone: resnets.Reproduction, tmp_path: Path) -> None:
    """A signal saves all runs of a group; continued one by one they end as they would have."""
    with pytest.raises(Interrupted):
        resnets.reproduce("all", out=tmp_path, together=3, observe=stop, **ROWS)
    plan = resnets.plan_reproduction("all", out=tmp_path, **{k: v for k, v in ROWS.items() if k != "workers"})
    assert all(run.iteration in (3, 4) for run in plan.runs)
    require_same(resnets.reproduce("all", out=tmp_path, resume=True, **ROWS), alone)


def test_networks_for_photos_are_trained_alone(tmp_path: Path) -> None:
    """A network of the ImageNet type fills a device, and is never in a group."""
    plan = resnets.plan_reproduction(
        "all", only=("resnet20", "resnet18", "plain20"), scale="smoke", data="digits", out=tmp_path, together=5
    )
    small = [[run.task.training.network for run in group] for group in plan.groups]
    assert ["resnet20", "plain20"] in small and ["resnet18"] in small


@pytest.mark.parametrize("together", [0, -1])
def test_impossible_numbers(together: int, tmp_path: Path) -> None:
    """Fewer than one network at once is refused before anything is read."""
    with pytest.raises(UsageError) as caught:
        resnets.plan_reproduction("table6", out=tmp_path, together=together)
    assert str(together) in str(caught.value)
