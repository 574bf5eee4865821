"""The depths that the demo takes: those of the paper's networks for small images."""

from __future__ import annotations

from pathlib import Path

import pytest

import resnets
from resnets.errors import UsageError


@pytest.mark.parametrize("depth", [18, 7, 2])
def test_a_depth_without_a_network_for_small_images(depth: int, tmp_path: Path) -> None:
    """Is refused before any is trained."""
    with pytest.raises(UsageError, match=f"no network of {depth} layers"):
        resnets.demo(tmp_path / "demo", depths=(8, depth), iterations=1)
    assert not (tmp_path / "demo").exists()


def test_a_depth_that_imagenets_networks_have_too(tmp_path: Path) -> None:
    """Is that of CIFAR's, whose deepest networks read digits on the page."""
    found = resnets.demo(tmp_path / "demo", depths=(50,), iterations=1)
    assert [row.network for row in found.rows] == ["plain50_cifar", "resnet50_cifar"]
