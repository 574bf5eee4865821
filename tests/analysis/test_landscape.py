"""Loss surfaces: directions have the norms of the network's filters, and the middle is the trained network."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import resnets
from resnets.analysis.landscape import direction
from resnets.cli import run
from resnets.errors import DataError, UsageError
from resnets.records import base
from resnets.records.analyses import Landscape, Surface
from resnets.report.landscape import findings
from resnets.training.run_folder import RunFolder


def test_directions_are_normalised_filter_by_filter() -> None:
    """Each filter, and each row of the last layer, has the network's norm; vectors have no direction."""
    network = resnets.create("resnet8", shortcut="B")
    found = direction(network, torch.Generator().manual_seed(0))
    assert found.keys() == {name for name, weight in network.named_parameters() if weight.ndim > 1}
    for name, drawn in found.items():
        weight = network.get_parameter(name).detach()
        assert torch.allclose(drawn.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1), rtol=1e-4)
    again = direction(network, torch.Generator().manual_seed(0))
    assert all(torch.equal(again[name], drawn) for name, drawn in found.items())


def test_the_middle_is_the_trained_network(digits_run: Path) -> None:
    """The error there is that of the training images; the network is as before, and the seed decides the rest."""
    model = resnets.load(digits_run)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    one, other = (resnets.landscape(model, "digits", points=3, images=200, seed=seed) for seed in (0, 1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert one.steps == (-1.0, 0.0, 1.0) and one.images == 200
    surface = one.surfaces[0]
    splits = resnets.load_data("digits")
    tested = resnets.evaluate(
        model,
        resnets.DataSplits(
            name="training images", train=splits.train, test=splits.train.subsample(200), classes=splits.classes
        ),
    )
    assert surface.errors[1][1] == pytest.approx(tested.top1_error)
    assert surface.losses[1][1] == pytest.approx(tested.loss, rel=1e-4)
    assert other.surfaces[0].losses[1][1] == surface.losses[1][1]
    assert other.surfaces[0].losses[0][0] != surface.losses[0][0]


def test_findings(digits_run: Path) -> None:
    """How much of the plane is better than chance; a loss that is not finite is not."""
    losses = ((None, 5.0), (0.1, 0.2))
    surface = Surface(network="plain8", source="runs/x", losses=losses, errors=((90.0, 90.0), (1.0, 2.0)))
    run_record = RunFolder(digits_run).record()
    assert run_record is not None
    record = Landscape(
        protocol="p",
        data="digits",
        classes=10,
        images=9,
        seed=0,
        steps=(-1.0, 1.0),
        surfaces=(surface,),
        provenance=run_record.provenance[0],
    )
    (said,) = findings(record)
    assert "50 %" in said and f"{math.log(10):.2f}" in said


def test_what_cannot_be(digits_run: Path, tiny_splits: resnets.DataSplits) -> None:
    """A grid has an odd number of points and an extent, and the images are those that the network knows."""
    with pytest.raises(UsageError, match="points is 4"):
        resnets.landscape(digits_run, "digits", points=4)
    with pytest.raises(UsageError, match="extent is -1"):
        resnets.landscape(digits_run, "digits", extent=-1.0)
    with pytest.raises(DataError, match="tiny"):
        resnets.landscape(digits_run, tiny_splits)


def test_the_command(digits_run: Path, plain_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two networks are side by side on one page, and the file has the grid of each."""
    arguments = ["landscape", str(plain_run), str(digits_run), "--data", "digits", "--points", "3", "--images", "50"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    assert "plain8: the loss is" in capsys.readouterr().out
    found = base.read(tmp_path / "landscape.json", Landscape)
    assert found is not None and [len(one.losses) for one in found.surfaces] == [3, 3]
    assert (tmp_path / "landscape.html").read_text().count("<svg") == 2
    assert (tmp_path / "landscape.png").read_bytes().startswith(b"\x89PNG")
