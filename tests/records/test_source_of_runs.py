"""The data of runs, where a command is given none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import run
from resnets.errors import DataError, UsageError
from resnets.records.runs import source_of_runs


def with_source(original: Path, folder: Path, source: str | None) -> Path:
    """Write the run.json of a run, trained on another source, into a folder of its own."""
    folder.mkdir()
    record: dict[str, Any] = json.loads((original / "run.json").read_text())
    record["data"]["source"] = source
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_a_run_is_tested_on_its_own_data(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its folder, its weights and as a model, and in commands that analyse it."""
    expected = resnets.evaluate(digits_run, "digits").top1_error
    for one in (digits_run, digits_run / "weights.safetensors", resnets.load(digits_run)):
        assert resnets.evaluate(one).top1_error == expected
    assert run(["evaluate", str(digits_run)]) == 0
    assert f"{expected:.2f} %" in capsys.readouterr().out
    assert resnets.responses(digits_run, images=8)[0].data == "digits"


def test_data_that_is_not_known_must_be_named(digits_run: Path, tmp_path: Path) -> None:
    """Weights without a run, data that was an object, and runs on several data sets are an error that names them."""
    weights = Path(shutil.copy(digits_run / "weights.safetensors", tmp_path))
    of_object = with_source(digits_run, tmp_path / "object", None)
    of_cifar = with_source(digits_run, tmp_path / "cifar", "cifar10:there")
    for paths, named in (([weights], weights), ([of_object], of_object), ([digits_run, of_cifar], "cifar10:there")):
        with pytest.raises(UsageError, match=str(named)):
            source_of_runs(paths)
    with pytest.raises(UsageError, match=str(weights)):
        resnets.evaluate(weights)


def test_another_folder_of_the_same_name_is_not_the_runs(
    make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative source names other images elsewhere, or none: all commands refuse them, unless they are named."""
    make_photos("here/photos")
    make_photos("there/photos", train=5)
    monkeypatch.chdir(tmp_path / "here")
    out = tmp_path / "run"
    resnets.train("resnet8", "folder:photos", iterations=1, batch_size=4, out=out, device="cpu", workers=0)
    options: dict[str, Any] = {"device": "cpu", "workers": 0}
    expected = resnets.evaluate(out, **options)
    calls: list[Callable[..., Any]] = [resnets.evaluate, resnets.calibrate, resnets.responses, resnets.gradients]
    monkeypatch.chdir(tmp_path / "there")
    for call in calls:
        with pytest.raises(DataError, match="12 training"):
            call(out, **options)
    assert resnets.evaluate(out, "folder:photos", **options).samples == expected.samples
    monkeypatch.chdir(tmp_path)
    for call in calls:
        with pytest.raises(DataError, match=f"{out} was trained on folder:photos.*{tmp_path}.*--data"):
            call(out, **options)
