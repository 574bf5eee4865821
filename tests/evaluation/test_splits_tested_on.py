"""Which images of a data set are tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.errors import DataError, UsageError
from resnets.inference.model import Model
from resnets.specs import InputSpec


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
