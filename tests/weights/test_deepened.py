"""Deepened weights: the deeper network computes what the shallow one does, and a training starts from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.cli import run
from resnets.errors import UsageError
from resnets.records.evaluations import Calibration
from resnets.weights import weights_file
from resnets.weights.deepened import deepen_weights


def test_the_command_and_a_training_from_it(
    plain_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file has the run's classes and input and its logits, and `train --weights` takes it."""
    out = tmp_path / "deep" / "plain14.safetensors"
    assert run(["deepen", str(plain_run), "plain14", str(out)]) == 0
    assert "6 new layers" in capsys.readouterr().out
    shallow, deep = resnets.load(plain_run), resnets.load(out)
    assert (deep.classes, deep.input_spec) == (shallow.classes, shallow.input_spec)
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(deep.network(images), shallow.network(images), atol=1e-4)
    arguments = ["train", "plain14", "--weights", str(out), "--data", "digits", "--iterations", "12"]
    assert run([*arguments, "--out", str(tmp_path / "run")]) == 0


def test_calibrated_weights_stay_calibrated(plain_run: Path, tmp_path: Path) -> None:
    """The temperature is in the last layer, which is the same, so a second calibration is to know of it."""
    shallow = weights_file.load(plain_run / "weights.safetensors")
    numbers = {"ece_before": 9.0, "ece_after": 2.0, "nll_before": 0.8, "nll_after": 0.7}
    found = Calibration(temperature=1.5, data="digits", validation_images=289, test_images=360, **numbers)
    calibrated, out = tmp_path / "calibrated.safetensors", tmp_path / "deep.safetensors"
    about: dict[str, Any] = {"classes": shallow.classes, "input_spec": shallow.input_spec}
    weights_file.save(calibrated, shallow.build(), calibration=found, **about)
    deepen_weights(calibrated, "plain14", out)
    assert weights_file.load(out).calibration == found


@pytest.mark.parametrize("network", ["plain8", "resnet14", "plain15"])
def test_what_cannot_be(network: str, plain_run: Path, tmp_path: Path) -> None:
    """A network that is no deeper, is of another kind, or does not exist."""
    with pytest.raises(UsageError, match=network.removeprefix("resnet").removeprefix("plain")):
        deepen_weights(plain_run, network, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match=r"x\.pth"):
        deepen_weights(plain_run, "plain14", tmp_path / "x.pth")
