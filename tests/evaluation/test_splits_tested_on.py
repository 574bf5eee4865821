"""Which images of a data set are tested on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.errors import DataError, UsageError
from resnets.inference.model import Model
from resnets.records.runs import RunRecord, record_of
from resnets.specs import InputSpec
from resnets.training.run_folder import RunFolder


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Return a folder of 3 + 7 images of two classes."""
    for name, count in (("cat", 3), ("dog", 7)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            image = np.full((16, 16, 3), 40 * number, np.uint8)
            Image.fromarray(image).save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def model_of_pets() -> Model:
    """Return an untrained network of their classes."""
    network = resnets.create("resnet8", num_classes=2)
    return Model(Path("none"), network, ("cat", "dog"), InputSpec(size=32, resize=32), torch.device("cpu"))


@pytest.mark.parametrize(("split", "samples"), [("test", 2), ("train", 8), ("all", 10)])
@pytest.mark.filterwarnings("ignore:pets has no test/")
def test_each_image_of_the_split_is_tested_on(flat: Path, split: str, samples: int) -> None:
    """All images of a folder, or those on one side of what is drawn; the data's name says which."""
    found = resnets.evaluate(model_of_pets(), f"folder:{flat}", split=split, workers=0, device="cpu")
    assert found.samples == samples
    assert found.data == ("pets" if split == "test" else f"pets ({split})")
    if split == "all":
        assert [sum(row) for row in found.confusion] == [3, 7]


def test_a_drawn_test_split_is_no_silent_choice(flat: Path) -> None:
    """Of a folder that the network was not trained on, a warning says how few images are tested on, of how many."""
    with pytest.warns(UserWarning, match=r"2 images.* of 10 are tested on"):
        resnets.evaluate(model_of_pets(), f"folder:{flat}", workers=0, device="cpu")


def test_a_split_that_is_not_there(flat: Path, tmp_path: Path) -> None:
    """Those that are there are listed; of a folder test/ alone it is said how it is tested on."""
    with pytest.raises(UsageError, match="'tset'; of pets there are train, test, all"):
        resnets.evaluate(model_of_pets(), f"folder:{flat}", split="tset")
    flat.rename(tmp_path / "test")
    with pytest.raises(DataError, match=f"--data folder:{tmp_path / 'test'} --split all"):
        resnets.evaluate(model_of_pets(), f"folder:{tmp_path}")


def run_on(folder: Path, out: Path, **options: Any) -> RunRecord:
    """Train for an iteration, and return the record."""
    options |= {"iterations": 1, "batch_size": 4, "device": "cpu", "precision": "fp32", "workers": 0}
    resnets.train("resnet8", f"folder:{folder}", out=out, **options)
    found = record_of(out)
    assert found is not None
    return found


@pytest.mark.parametrize("options", [{}, {"split": "40%"}])
def test_training_and_validation_images_are_those_of_the_run(
    flat: Path, tmp_path: Path, options: dict[str, str]
) -> None:
    """As it drew them by its seed: the validation loss is the one that it logged, and both are all the others."""
    record = run_on(flat, tmp_path / "run", seed=3, **options)
    on = {
        split: resnets.evaluate(tmp_path / "run", split=split, workers=0, device="cpu")
        for split in ("train", "validation")
    }
    assert on["train"].samples == record.data.training_images == 8 - on["validation"].samples
    logged = RunFolder(tmp_path / "run").logged()[-1].validation_loss
    assert on["validation"].loss == pytest.approx(logged, abs=1e-5)
    assert on["train"].digest != on["validation"].digest


def test_runs_that_held_out_different_images(flat: Path, tmp_path: Path) -> None:
    """Together they are tested on test images only; a page of mistakes says what its images are."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, run in enumerate(runs):
        run_on(flat, run, seed=seed)
    assert resnets.evaluate(runs, workers=0, device="cpu").samples == 2
    with pytest.raises(UsageError, match="held out different images of pets"):
        resnets.evaluate(runs, split="validation", workers=0, device="cpu")
    resnets.evaluate(runs[0], split="train", mistakes=tmp_path / "page", workers=0, device="cpu")
    page = (tmp_path / "page" / "mistakes.html").read_text()
    assert "training images of pets (train)" in page and "test image" not in page


def test_a_folder_that_may_have_been_trained_on(flat: Path, tmp_path: Path) -> None:
    """One of the same name with other images is refused, all of it is tested, and a moved one is the run's."""
    run_on(flat, tmp_path / "run")
    moved, other = tmp_path / "moved" / "animals", tmp_path / "other" / "pets"
    shutil.copytree(flat, moved)
    shutil.copytree(flat, other)
    Image.new("RGB", (16, 16)).save(other / "cat" / "new.png")
    options: dict[str, Any] = {"workers": 0, "device": "cpu"}
    assert resnets.evaluate(tmp_path / "run", f"folder:{moved}", **options).samples == 2
    with pytest.raises(DataError, match="another folder .* or has changed.*--split all"):
        resnets.evaluate(tmp_path / "run", f"folder:{other}", **options)
    assert resnets.evaluate(tmp_path / "run", f"folder:{other}", split="all", **options).samples == 11
