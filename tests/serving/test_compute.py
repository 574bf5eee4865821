"""How a server computes a batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import resnets
from resnets.serving.compute import quickest


@pytest.mark.parametrize(("seconds", "by_engine"), [(0.0, [1, 3, 8]), (1e9, [])])
def test_few_images_are_computed_by_what_is_faster(digits_run: Path, seconds: float, by_engine: list[int]) -> None:
    """A compiled engine takes the time of a whole batch for one image; either way the answers are the network's."""
    model = resnets.load(digits_run, device="cpu")
    sizes: list[int] = []

    def run(images: Tensor) -> Tensor:
        sizes.append(len(images))
        with torch.inference_mode():
            return model.network(images)

    engine = resnets.Engine("compile", "fp32", model.device, 8, (1, 8, 8), 10, run, seconds)
    compute = quickest(dataclasses.replace(model, engine=engine), 8)
    for count in (1, 3, 8):
        views = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 1), np.uint8)
        assert np.allclose(compute(views), model.probabilities(views).numpy(), atol=1e-6)
    assert sizes == by_engine
