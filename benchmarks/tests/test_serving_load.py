"""`python -m benchmarks.serving` as a user types it."""

from __future__ import annotations

import pytest

from benchmarks.serving import app
from resnets.cli import run


@pytest.mark.slow
def test_a_load_test_prints_all_three_sides(capsys: pytest.CaptureFixture[str]) -> None:
    """The smallest network, for a moment: a loop of `predict`, a server with and one without batches."""
    arguments = "--network resnet8 --engine eager --clients 2 --rounds 1 --seconds 0.3"
    assert run(arguments.split(), app, "load") == 0
    out = capsys.readouterr().out
    assert "resnet8, 2 clients" in out
    for side in ("predict, one by one", "server, one by one", "server, batches"):
        rate, middle, late = (float(word) for word in out.split(f"\n{side}")[1].split()[:3])
        assert rate > 0 and 0 < middle <= late
