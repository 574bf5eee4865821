"""A user's own module and map-style datasets train by the public call, and go on as exactly as ours."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import RECIPE, Crash, differences
from torch import Tensor
from torch.utils.data import Dataset

import resnets


class Noisy(Dataset[Any]):
    """A map-style dataset that draws its augmentation from torch's global random numbers."""

    classes = ("bright", "dark")

    def __init__(self, count: int, crash_after: int | None = None) -> None:
        self.images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))
        self.left = crash_after

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash
        image = self.images[index]
        return image + 0.1 * torch.randn(1, 8, 8), int(image.mean() < 0.5)


class Own(torch.nn.Module):
    """A user's own module, which has dropout and knows nothing of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(),
            torch.nn.Dropout(0.3), torch.nn.Linear(8, 2),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


@pytest.mark.parametrize("samples", [3, 20, 47])
def test_own_module_and_datasets(tmp_path: Path, samples: int) -> None:
    """They train by the public call and, when the data set fails on the way, go on bit-identical."""

    def train_own(path: Path, crash_after: int | None = None, *, seed: int = 0) -> resnets.TrainResult:
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return resnets.train(
                Own(),
                (Noisy(30, crash_after), Noisy(10)),
                recipe=RECIPE,
                out=path,
                resume=True,
                device="cpu",
                precision="fp32",
                workers=0,
                save_every=1,
            )

    whole = train_own(tmp_path / "whole")
    assert whole.network == "Own"
    with pytest.raises(Crash):
        train_own(tmp_path / "resumed", crash_after=16 * 3 + samples)
    train_own(tmp_path / "resumed", seed=1)
    assert differences(tmp_path / "whole", tmp_path / "resumed") == []
