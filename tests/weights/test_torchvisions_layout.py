"""To torchvision and from it: what is written loads there with `strict=True`, what it publishes loads here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from other_projects import trained

import resnets
from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.specs import InputSpec
from resnets.weights import weights_file
from resnets.weights.layouts import torchvision as layout


@pytest.mark.parametrize(("ours", "theirs"), [("resnet18", "resnet18"), ("resnet50_v1_5", "resnet50")])
def test_torchvision_loads_what_is_written_for_it(tmp_path: Path, ours: str, theirs: str) -> None:
    """torchvision's network loads the file strictly, gives the same logits, and comes back unchanged."""
    network = registry.create(ours, num_classes=7)
    network.load_state_dict(trained(network))
    input_spec = InputSpec(size=224, resize=256, mean=(0.5, 0.5, 0.5))
    weights_file.save(tmp_path / "w.safetensors", network, input_spec=input_spec)
    done = resnets.convert(tmp_path / "w.safetensors", tmp_path / "w.pth")
    assert done.to == "torchvision" and done.layout == "resnets"
    assert any("224 x 224 out of a shorter side of 256" in note for note in done.notes)
    peer = torchvision.models.get_model(theirs, num_classes=7)
    peer.load_state_dict(torch.load(tmp_path / "w.pth", weights_only=True), strict=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(peer.eval()(images), network.eval()(images), rtol=1e-4, atol=1e-4)
    back = resnets.convert(tmp_path / "w.pth", tmp_path / "back.safetensors")
    assert back.spec == network.spec
    returned = weights_file.load(back.out).tensors
    assert all(torch.equal(returned[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {}, "resnet20.*resnet18, "),
        ("plain18", {}, "plain18"),
        ("resnet50", {}, "3x3.*1x1"),
        ("resnet18", {"shortcut": "C"}, "shortcut B.* C"),
        ("resnet18", {"in_channels": 1}, "in_channels 3.* 1"),
    ],
)
def test_networks_that_torchvision_has_not_are_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    """Another depth, kind, stride, shortcut or input is named, and nothing is written."""
    weights_file.save(tmp_path / "w.safetensors", registry.create(name, num_classes=2, **options))
    with pytest.raises(WeightsError, match=message):
        resnets.convert(tmp_path / "w.safetensors", tmp_path / "w.pth")
    assert not (tmp_path / "w.pth").exists()


def test_torchvisions_published_weights_come_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file lies where torch keeps it: nothing is fetched, and the input comes with it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    peer = torchvision.models.resnet18()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(peer.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    network = resnets.create("resnet18", weights="torchvision")
    assert torch.equal(network.fc.weight, peer.fc.weight)
    done = resnets.convert("torchvision", tmp_path / "w.safetensors", network="resnet18")
    assert done.input_spec is not None and (done.input_spec.size, done.input_spec.resize) == (224, 256)
    assert done.classes is not None and len(done.classes) == 1000


def test_offline_the_file_to_fetch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the file's name, of the chosen version."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"resnet50-0676ba61.pth .*checkpoints/") as caught:
        resnets.create("resnet50_v1_5", weights="torchvision")
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"resnet50-11ad3fa6.pth"):
        resnets.create("resnet50_v1_5", weights="torchvision:IMAGENET1K_V2")


@pytest.mark.parametrize(
    ("name", "weights", "right"),
    [
        ("resnet50", "torchvision", "resnet50_v1_5"),
        ("resnet20", "torchvision", "resnet18, "),
        ("resnet18", "torchvision:V9", "'V9'.*IMAGENET1K_V1"),
    ],
)
def test_weights_that_torchvision_does_not_publish_are_refused(name: str, weights: str, right: str) -> None:
    """The error names what torchvision has instead."""
    with pytest.raises(WeightsError, match=right):
        resnets.create(name, weights=weights)


def test_the_input_that_is_assumed_of_a_renamed_file_is_said(tmp_path: Path) -> None:
    """torchvision published two versions of a network with other inputs: only the file's name says which."""
    assert layout.assumed("resnet18", "resnet18-f37072fd.pth") is None
    two = layout.assumed("resnet50_v1_5", "mine.pth")
    assert two is not None and "224 of 256" in two and "224 of 232" in two
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), tmp_path / "mine.pth")
    assert (
        layout.assumed("resnet18", "mine.pth")
        in resnets.convert(tmp_path / "mine.pth", tmp_path / "w.safetensors").notes
    )
