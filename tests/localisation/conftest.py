"""A localiser that learnt six images by heart, made once for all tests, which only read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_localisers import TinyLocaliser, train, write_clsloc


@pytest.fixture(scope="session")
def tiny_localiser(make_once: Callable[..., Any]) -> TinyLocaliser:
    """A run of 100 iterations on six images, which are its test images too."""

    def make(folder: Path) -> TinyLocaliser:
        drawn = write_clsloc(folder / "data")
        with pytest.warns(UserWarning, match="random weights"):
            train(folder / "data", folder / "run")
        return TinyLocaliser(folder / "run", folder / "data", drawn)

    return make_once("located", make)
