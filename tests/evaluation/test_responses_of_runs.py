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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of two iterations on the digits: resnet8 and plain8."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("resnet8", "plain8"):
        resnets.train(name, "digits", iterations=2, out=folder / name)
    return folder


def test_the_call(folder: Path) -> None:
    """Several runs at once are measured each as alone; a loaded model is what its folder is."""
    both = resnets.responses([folder / "resnet8", resnets.load(folder / "plain8")], "digits")
    (alone,) = resnets.responses(folder / "plain8", "digits")
    assert [one.network for one in both] == ["resnet8", "plain8"]
    assert both[1] == alone
    assert len(alone.layers) == 7 and alone.images == 360 and alone.source == str(folder / "plain8")
    assert alone.result is not None and alone.result.run.network.name == "plain8"
    assert alone.bn_group == 128  # the recipe names none
    assert None not in [value for one in alone.layers for value in msgspec.structs.astuple(one)]


def test_some_images(folder: Path) -> None:
    (some,) = resnets.responses(folder / "plain8", "digits", images=50)
    (whole,) = resnets.responses(folder / "plain8", "digits")
    assert some.images == 50
    assert some.layers != whole.layers
    assert [one.std for one in some.layers] == pytest.approx([one.std for one in whole.layers], rel=0.2)


def test_what_cannot_be(folder: Path) -> None:
    with pytest.raises(UsageError, match="images is 0"):
        resnets.responses(folder / "plain8", "digits", images=0)
    with pytest.raises(UsageError, match="no runs"):
        resnets.responses([], "digits")


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table and what it is of; the file is read by `resnets report`, which then knows the runs' responses."""
    arguments = ["responses", str(folder / "resnet8"), str(folder / "plain8"), "--data", "digits"]
    file, plot = tmp_path / "responses.json", tmp_path / "figure7.png"
    assert run([*arguments, "--json", str(file), "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    for part in ("360 test images of digits", "running statistics", "batch median", "largest std", "resnet8 responds"):
        assert part in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = base.read(file, Responses)
    assert found is not None and found.provenance.versions
    assert [(one.network, one.bn_group) for one in found.networks] == [("resnet8", 128), ("plain8", 128)]
    runs = collect([folder, file]).runs
    assert [(run.network, len(run.responses)) for run in runs] == [("plain8", 7), ("resnet8", 7)]
    (alone,) = resnets.responses(folder / "plain8", "digits")
    assert runs[0].responses == alone.layers


def test_a_plot_that_cannot_be_is_said_first(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["responses", str(folder / "resnet8"), "--data", "digits", "--plot", str(tmp_path / "figure.gif")])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("resnets: error: plot") and not captured.out
