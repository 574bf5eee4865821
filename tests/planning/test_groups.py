"""Which trainings a device makes at once."""

from __future__ import annotations

import pytest
import torch

from resnets.planning import together as planning

GB = 10**9


@pytest.mark.parametrize(
    ("most", "devices", "free", "sizes"),
    [
        (None, 1, 90, [1, 1, 1, 1, 1, 1]),  # a CPU trains one at a time
        (10, 1, 90, [6]),
        (4, 1, 90, [4, 2]),
        (10, 3, 90, [2, 2, 2]),  # no device is idle
        (10, 1, 26, [2, 2, 2]),  # four fifths of the memory
        (10, 1, 1, [1, 1, 1, 1, 1, 1]),  # and one in any case
    ],
)
def test_groups(most: int | None, devices: int, free: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of runs of 10 GB are as large as is asked for, as memory allows and as leaves no device idle."""
    monkeypatch.setattr(planning, "available_memory", lambda device: free * GB)
    found = planning.groups("abcdef", lambda run: 10 * GB, [torch.device("cpu")] * devices, most)
    assert [len(group) for group in found] == sizes
    assert "".join(run for group in found for run in group) == "abcdef"


def test_what_fills_a_device_is_alone() -> None:
    """Runs without a number of bytes are trained alone, and those around them still at once."""
    found = planning.groups("aBcD", lambda run: 1 if run.islower() else None, [torch.device("cpu")], 10)
    assert found == (("a", "c"), ("B",), ("D",))
