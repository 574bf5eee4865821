"""Deepened weights: the deeper network computes what the shallow one does, and a training starts from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resnets
from resnets.cli import run
from resnets.errors import UsageError
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


@pytest.mark.parametrize("network", ["plain8", "resnet14", "plain15"])
def test_what_cannot_be(network: str, plain_run: Path, tmp_path: Path) -> None:
    """A network that is no deeper, is of another kind, or does not exist."""
    with pytest.raises(UsageError, match=network.removeprefix("resnet").removeprefix("plain")):
        deepen_weights(plain_run, network, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match=r"x\.pth"):
        deepen_weights(plain_run, "plain14", tmp_path / "x.pth")
