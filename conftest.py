"""What the tests of the package and of its benchmarks share."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed what a test and its fixtures draw, so that they draw the same in any order and on any number of workers."""
    import torch

    torch.manual_seed(0)
