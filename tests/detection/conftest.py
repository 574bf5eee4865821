"""A classifier, and a detector that learnt two images by heart: made once for all tests, which only read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_detectors
from small_detectors import RECIPE, TinyDetector, save_classifier, splits, train


@pytest.fixture
def small_networks() -> Iterator[None]:
    """Let the catalogue have the networks of `small_detectors`."""
    with small_detectors.small_networks():
        yield


@pytest.fixture(scope="session")
def start(make_once: Callable[..., Any]) -> Path:
    """A classifier's weights file."""
    with small_detectors.small_networks():
        return make_once(
            "classifier", lambda folder: save_classifier(folder / "resnet10.safetensors", small_detectors.network())
        )


@pytest.fixture(scope="session")
def tiny_detector(start: Path, make_once: Callable[..., Any]) -> TinyDetector:
    """A run of 160 iterations on two images."""

    def make(folder: Path) -> TinyDetector:
        data = splits(folder / "data")
        recipe = RECIPE.with_changes(iterations=160, lr=0.01, milestones=(100,), flip=False)
        with small_detectors.small_networks():
            train(start, folder / "run", data, recipe)
        return TinyDetector(folder / "run", data)

    return make_once("learnt", make)
