"""Layer responses of trained runs: by a call, by the command, and in the report."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import resnets
from resnets.cli import run
from resnets.errors import UsageError
from resnets.records import base
from resnets.records.evaluations import Responses
from resnets.report.collect import collect


def test_the_call(digits_run: Path, plain_run: Path) -> None:
    """Several runs at once are measured each as alone; a loaded model is what its folder is."""
    both = resnets.responses([digits_run, resnets.load(plain_run)], "digits")
    (alone,) = resnets.responses(plain_run, "digits")
    assert [one.network for one in both] == ["resnet8", "plain8"]
    assert both[1] == alone
    assert len(alone.layers) == 7 and alone.images == 360 and alone.source == str(plain_run)
    assert alone.result is not None and alone.result.run.network.name == "plain8"
    assert alone.bn_group == 128  # the recipe names none
    assert None not in [value for one in alone.layers for value in msgspec.structs.astuple(one)]


def test_some_images(plain_run: Path) -> None:
    """Of fewer images the responses differ, by little."""
    (some,) = resnets.responses(plain_run, "digits", images=50)
    (whole,) = resnets.responses(plain_run, "digits")
    assert some.images == 50
    assert some.layers != whole.layers
    assert [one.std for one in some.layers] == pytest.approx([one.std for one in whole.layers], rel=0.2)


def test_what_cannot_be(plain_run: Path) -> None:
    """A measurement has at least one image and one run."""
    with pytest.raises(UsageError, match="images is 0"):
        resnets.responses(plain_run, "digits", images=0)
    with pytest.raises(UsageError, match="weights are"):
        resnets.responses([], "digits")


def test_the_command(digits_run: Path, plain_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table and what it is of; the file is read by `resnets report`, which then knows the runs' responses."""
    arguments = ["responses", str(digits_run), str(plain_run), "--data", "digits"]
    file, plot = tmp_path / "responses.json", tmp_path / "figure7.png"
    assert run([*arguments, "--out", str(file), "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    for part in ("360 test images of digits", "running statistics", "batch median", "largest std", "resnet8 responds"):
        assert part in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = base.read(file, Responses)
    assert found is not None and found.provenance.versions
    assert [(one.network, one.bn_group) for one in found.networks] == [("resnet8", 128), ("plain8", 128)]
    runs = collect([digits_run, plain_run, file]).runs
    assert [(run.network, len(run.responses)) for run in runs] == [("resnet8", 7), ("plain8", 7)]
    (alone,) = resnets.responses(plain_run, "digits")
    assert runs[1].responses == alone.layers


def test_a_plot_that_cannot_be_is_said_first(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plot's name with an unknown ending is refused before anything is measured."""
    assert run(["responses", str(digits_run), "--data", "digits", "--plot", "figure.gif"]) == 2
    captured = capsys.readouterr()
    assert "figure.gif" in captured.err and not captured.out
