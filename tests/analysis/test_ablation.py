"""Removed blocks: what is left is the shortcut, everything else is as it was, and errors are those of a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.analysis import ablation
from resnets.analysis.ablation import removable, without
from resnets.cli import run
from resnets.errors import UsageError
from resnets.records import base
from resnets.records.analyses import Ablation
from resnets.report.ablation import findings


@pytest.mark.parametrize("option", ["A", "B"])
def test_without_a_block_its_shortcut_stays(option: str) -> None:
    """A block whose F is 0 computes the same; afterwards the network is whole again."""
    torch.manual_seed(0)
    network = resnets.create("resnet8", shortcut=option, in_channels=1).eval()
    images = torch.randn(4, 1, 8, 8)
    whole = network(images)
    assert removable(network) == ["layer1.0", "layer2.0", "layer3.0"]
    for unit in removable(network):
        with without(network, unit):
            found = network(images)
        norm = network.get_submodule(f"{unit}.bn2")
        kept = norm.weight.detach().clone()
        torch.nn.init.zeros_(norm.weight)
        assert torch.allclose(found, network(images), atol=1e-6) and not torch.allclose(found, whole)
        norm.weight.data.copy_(kept)
        assert torch.equal(network(images), whole)


def test_without_a_layer_of_a_plain_network() -> None:
    """One that is the identity may be missing; one that changes the maps' shape cannot be removed."""
    torch.manual_seed(0)
    deep = resnets.deepen(resnets.create("plain8").eval(), 14)
    assert "layer2.0.conv1" not in removable(deep)
    images = torch.randn(4, 3, 8, 8)
    whole = deep(images)
    with without(deep, "layer2.1.conv2"):
        assert torch.allclose(deep(images), whole, atol=1e-5)
    with without(deep, "layer2.0.conv2"):
        assert not torch.allclose(deep(images), whole, atol=1e-5)


def test_a_projection_where_nothing_changes_is_none_of_shape() -> None:
    """Option C projects on every shortcut; two blocks of ResNet-8 change the maps' shape."""
    for option in "ABC":
        network = resnets.create("resnet8", shortcut=option)
        changing = [unit for unit in ("layer1.0", "layer2.0", "layer3.0") if ablation._changes_shape(network, unit)]
        assert changing == ["layer2.0", "layer3.0"]


def test_the_call(digits_run: Path, plain_run: Path) -> None:
    """The whole is what `evaluate` says; named blocks alone are removed, of a plain network their layers."""
    found = resnets.ablate([digits_run, plain_run], "digits", drop="layer2.0")
    of_run, plain = found.networks
    assert of_run.error == resnets.evaluate(digits_run, "digits").top1_error
    assert [(one.unit, one.is_projection) for one in of_run.removed] == [("layer2.0", True)]
    assert [one.unit for one in plain.removed] == ["layer2.0.conv2"] and "layer2.0.conv1" in plain.kept
    labels = resnets.load_data("digits").test.labels
    assert labels is not None and found.chance == pytest.approx(100 * (1 - np.bincount(labels).max() / len(labels)))


def test_what_cannot_be(digits_run: Path) -> None:
    """A block that the network does not have, and a network without blocks."""
    with pytest.raises(UsageError, match=r"layer9\.9"):
        resnets.ablate(digits_run, "digits", drop="layer9.9")
    with pytest.raises(UsageError, match="Linear"):
        removable(torch.nn.Linear(1, 1))


def test_the_command(digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All blocks, one after the other: a table, the figure, and a page."""
    assert run(["ablate", str(digits_run), "--data", "digits", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    record = base.read(tmp_path / "ablation.json", Ablation)
    assert record is not None and len(record.networks[0].removed) == 3
    assert "layer3.0" in out and next(iter(findings(record))) in out
    assert "<svg" in (tmp_path / "ablation.html").read_text()
