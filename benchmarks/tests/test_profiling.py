"""`python -m benchmarks.profiling` as a user types it."""

from __future__ import annotations

import pytest

from benchmarks.profiling import app
from resnets.cli import run


def test_the_shares_of_operators_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a step of ours: the largest share first, and convolutions have one."""
    assert run(["resnet20-cifar", "--steps", "1", "--operators", "3"], app, "profiling") == 0
    first, *operators = capsys.readouterr().out.splitlines()
    assert "resnets, ResNet-20 training" in first and "convolution is" in first
    shares = [float(line.split()[0]) for line in operators]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True)
    assert any("convolution" in line for line in operators)


@pytest.mark.parametrize("row", ["cifar-pipeline", "resnet20-batch1", "resnet21"])
def test_other_rows_are_refused(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By name, in one line."""
    assert run([row], app, "profiling") == 2
    assert row in capsys.readouterr().err
