"""A localiser that learnt six images by heart, made once for all tests, which only read it."""

from __future__ import annotations

import pytest
from small_localisers import TinyLocaliser, train, write_clsloc


@pytest.fixture(scope="session")
def tiny_localiser(tmp_path_factory: pytest.TempPathFactory) -> TinyLocaliser:
    """A run of 100 iterations on six images, which are its test images too."""
    folder = tmp_path_factory.mktemp("located")
    drawn = write_clsloc(folder / "data")
    with pytest.warns(UserWarning, match="random weights"):
        train(folder / "data", folder / "run")
    return TinyLocaliser(folder / "run", folder / "data", drawn)
