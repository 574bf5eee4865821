"""Weights that come with the package: found by name wherever weights are named, and as good as their result says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.cli import run
from resnets.errors import WeightsError
from resnets.records import base
from resnets.records.runs import ClassifierResult, RunRecord
from resnets.weights import shipped
from resnets.weights.sources import find_weights
from resnets.weights.tensor_file import read_tensors

NAME = "resnet20-digits"


@pytest.mark.parametrize("name", shipped.names())
def test_each_has_the_result_of_its_run(name: str) -> None:
    """Its network and classes are those of the result next to it, which names no folder; a file is some megabyte."""
    model, result = resnets.load(name, device="cpu"), shipped.shipped_result(name)
    assert resnets.describe(result.run.network.name).spec.name == result.run.network.name
    assert model.classes == result.run.data.classes and model.input_spec is not None
    assert result.run.data.source is None
    assert model.path.stat().st_size < 1_200_000
    assert all(parameter.dtype == torch.float32 for parameter in model.network.parameters())


def test_the_error_is_that_of_the_result() -> None:
    """Half precision in the file changes no answer on the digits' test images."""
    assert resnets.evaluate(NAME, "digits").top1_error == shipped.shipped_result(NAME).test_error < 4


def test_the_name_is_taken_where_weights_are(
    tmp_path: Path, tiny_splits: resnets.DataSplits, capsys: pytest.CaptureFixture[str]
) -> None:
    """By predict, as the start of a training, which records it, and in the list."""
    digits = resnets.load_data("digits").test
    seven = digits.images[np.flatnonzero(digits.labels == 7)[0], ..., 0]
    Image.fromarray(seven).save(tmp_path / "seven.png")
    assert run(["predict", NAME, str(tmp_path / "seven.png"), "--top", "1"]) == 0
    assert "7 " in capsys.readouterr().out
    settings = {"iterations": 1, "batch_size": 8, "workers": 0, "device": "cpu", "out": tmp_path / "run"}
    resnets.train("resnet20", tiny_splits, weights=NAME, **settings)
    assert find_weights(NAME).weights.name == NAME  # in notes
    record = base.read(tmp_path / "run" / "run.json", RunRecord)
    assert record is not None and record.start is not None and record.start.file == NAME
    assert run(["list", "weights", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {one["name"] for one in listed} == {*shipped.names()}


def test_what_is_here_has_precedence(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder of the same name is read; and a name that is nearly one is answered with it."""
    (tmp_path / NAME).symlink_to(digits_run)
    monkeypatch.chdir(tmp_path)
    assert resnets.load(NAME, device="cpu").network.spec.name == "resnet8"
    for written, meant in (("resnet20-digit", NAME), ("torchvison", "torchvision")):
        with pytest.raises(WeightsError, match=f"did you mean {meant}"):
            find_weights(written)


@pytest.mark.parametrize("half", [True, False])
def test_a_run_is_made_into_weights_to_ship(digits_run: Path, tmp_path: Path, half: bool) -> None:
    """The file is half as large with half precision, and without where the data was."""
    target = tmp_path / "resnet8-digits.safetensors"
    shipped.write(digits_run, target, half=half)
    stored, trained = (read_tensors(path)[0] for path in (target, digits_run / "weights.safetensors"))
    assert stored["conv1.weight"].dtype == (torch.float16 if half else torch.float32)
    for name, tensor in trained.items():
        torch.testing.assert_close(stored[name].to(tensor.dtype), tensor, rtol=1e-3, atol=1e-6)
    result = base.read(target.with_suffix(".json"), ClassifierResult)
    assert result is not None and result.run.data.source is None
    assert torch.equal(resnets.load(target).network.conv1.weight.cpu(), stored["conv1.weight"].float())
