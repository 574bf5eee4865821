"""Weights to start from, by their source: published ones from a cache, other projects' files, other channels."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from hub_cache import hub_cache
from torch.utils.data import TensorDataset

import resnets
from resnets.data.splits import DataSplits
from resnets.errors import Interrupted, RunError, WeightsError
from resnets.files import sha256_of
from resnets.networks import registry
from resnets.records import base
from resnets.records.runs import ClassifierResult, RunRecord
from resnets.specs import InputSpec
from resnets.training.observers import Observer
from resnets.weights import weights_file
from resnets.weights.adapt import adapted_channels
from resnets.weights.sources import find_weights


@pytest.mark.parametrize(("own", "channels"), [(3, 1), (3, 2), (3, 3), (3, 7), (1, 3)])
def test_channels_are_adapted_as_timm_does(own: int, channels: int) -> None:
    """The weights for other channels are timm's."""
    timm = pytest.importorskip("timm.models")
    weight = torch.randn(4, own, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        adapted_channels(weight, channels), timm.adapt_input_conv(channels, weight, base_chans=own)
    )


TIMM = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "crop_pct": 0.95}}


@pytest.mark.parametrize("source", ["timm:resnet18.mine", "hf:timm/resnet18.mine", "hf:timm/resnet18.mine@main"])
def test_the_hubs_cache_is_read_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """What was fetched once is found again with its input; a file that is damaged there is refused."""
    network = registry.create("resnet18", num_classes=2)
    content = safetensors.torch.save(dict(network.state_dict()))
    blob = hub_cache(tmp_path, monkeypatch, "timm/resnet18.mine", content, TIMM)
    found = find_weights(source, "resnet18").weights
    assert torch.equal(found.tensors["fc.weight"], network.fc.weight)
    assert found.input_spec is not None and found.input_spec.mean == (0.5, 0.5, 0.5)
    assert torch.equal(resnets.load(source).network.fc.weight, network.fc.weight)
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=blob.name):
        find_weights(source, "resnet18")
    with pytest.raises(WeightsError, match="timm/other") as caught:
        find_weights("timm:other", "resnet18")
    assert "\n" not in str(caught.value)


def images(channels: int) -> tuple[TensorDataset, TensorDataset]:
    """Return training and test images of two classes."""
    made = torch.randn(8, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(made, torch.arange(8) % 2)
    data.classes = ("a", "b")  # type: ignore[attr-defined]
    return data, data


@pytest.mark.parametrize(("source", "channels"), [("torchvision", 4), ("mine.pth", 1)])
def test_a_training_starts_from_other_projects_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, channels: int
) -> None:
    """Head and channels are adapted, the rest is kept; run.json has the source and the SHA-256; it resumes offline."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    if source != "torchvision":
        file = tmp_path / source
        source = str(file)
    peer = torchvision.models.resnet18()
    torch.save(peer.state_dict(), file)
    network = registry.create("resnet18", num_classes=2, in_channels=channels)

    def train(resume: bool) -> resnets.TrainResult:
        return resnets.train(
            network,
            images(channels),
            out=tmp_path / "run",
            weights=source,
            iterations=1,
            batch_size=4,
            bn_images=None,
            recipe="digits",
            lr=1e-12,
            weight_decay=0.0,
            workers=0,
            device="cpu",
            precision="fp32",
            resume=resume,
        )

    train(False)
    expected = adapted_channels(peer.conv1.weight.detach(), channels)
    torch.testing.assert_close(network.conv1.weight.detach(), expected)
    torch.testing.assert_close(network.layer4[1].conv2.weight, peer.layer4[1].conv2.weight)
    record = base.read(tmp_path / "run" / "run.json", RunRecord)
    assert record is not None and record.start is not None
    assert (record.start.file, record.start.sha256) == (source, sha256_of(file))
    assert train(True).already_finished


def test_adapted_channels_are_noted(tmp_path: Path) -> None:
    """A weights file of colour images starts a grey network, with the sum of its channels and a note."""
    trained, grey = (registry.create("resnet8", in_channels=channels) for channels in (3, 1))
    weights_file.save(tmp_path / "w.safetensors", trained, classes=tuple("abcdefghij"))
    (note,) = weights_file.load(tmp_path / "w.safetensors").load_to_train(grey, tuple("abcdefghij"))
    assert "3 channels" in note
    torch.testing.assert_close(grey.conv1.weight, trained.conv1.weight.sum(1, keepdim=True))


class Stop(Observer):
    """An observer that stops a run after an iteration."""

    def started(self, *_: object) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_resumed_run_needs_no_published_weights(
    tiny_splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an emptied cache and no network it ends as one without interruption; a new run says what is missing."""
    trained = registry.create("resnet8", num_classes=7)
    weights_file.save(
        tmp_path / "w.safetensors", trained, input_spec=InputSpec(size=32, resize=32, mean=(0.1, 0.2, 0.3))
    )
    content = (tmp_path / "w.safetensors").read_bytes()
    blob = hub_cache(tmp_path / "hub", monkeypatch, "me/resnet8", content, {})
    settings = {"weights": "hf:me/resnet8", "iterations": 3, "batch_size": 8, "device": "cpu", "workers": 0}
    whole = resnets.train("resnet8", tiny_splits, out=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        resnets.train("resnet8", tiny_splits, out=tmp_path / "run", observers=[Stop()], **settings)
    shutil.rmtree(blob.parent.parent)
    result = resnets.train("resnet8", tiny_splits, out=tmp_path / "run", resume=True, **settings)
    ours, theirs = (weights_file.load(one.folder / "weights.safetensors") for one in (result, whole))
    assert ours.input_spec == theirs.input_spec
    assert all(torch.equal(tensor, theirs.tensors[name]) for name, tensor in ours.tensors.items())
    with pytest.raises(WeightsError, match="me/resnet8"):
        resnets.train("resnet8", tiny_splits, out=tmp_path / "new", resume=True, **settings)


@pytest.mark.parametrize("what", ["calibrated", "removed"])
def test_a_resumed_run_needs_no_weights_of_another_run(tiny_splits: DataSplits, tmp_path: Path, what: str) -> None:
    """Whatever has become of those that it started from, it ends as without interruption; no other network does."""
    base_run, stop = tmp_path / "base", Stop()
    settings = {"iterations": 3, "batch_size": 8, "device": "cpu", "workers": 0}
    resnets.train("resnet8", tiny_splits, out=base_run, **settings)
    whole = resnets.train("resnet8", tiny_splits, weights=base_run, out=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        resnets.train("resnet8", tiny_splits, weights=base_run, out=tmp_path / "run", observers=[stop], **settings)
    other = registry.create("resnet8", num_classes=len(tiny_splits.classes))
    of_base = weights_file.load(base_run / "weights.safetensors")
    weights_file.save(base_run / "weights.safetensors", other, classes=of_base.classes, input_spec=of_base.input_spec)
    shutil.copytree(base_run, tmp_path / "copy")
    if what == "removed":
        shutil.rmtree(base_run)
    for network, source, error in (
        ("plain8", base_run, (RunError, WeightsError)),
        ("resnet8", tmp_path / "copy", RunError),
    ):
        with pytest.raises(error):
            resnets.train(network, tiny_splits, weights=source, out=tmp_path / "run", resume=True, **settings)
    result = resnets.train("resnet8", tiny_splits, weights=base_run, out=tmp_path / "run", resume=True, **settings)
    ours, theirs = (weights_file.load(one.folder / "weights.safetensors") for one in (result, whole))
    assert ours.input_spec == theirs.input_spec
    assert all(torch.equal(tensor, theirs.tensors[name]) for name, tensor in ours.tensors.items())
    recorded = base.read(tmp_path / "run" / "result.json", ClassifierResult)
    assert recorded is not None and recorded.run.start is not None and recorded.run.start.input is None


def test_create_adapts_weights(tmp_path: Path) -> None:
    """The first layer to other channels, and the last one is new for another number of classes, each with a note."""
    trained = registry.create("resnet8", num_classes=4)
    weights_file.save(tmp_path / "w.safetensors", trained)
    with pytest.warns(UserWarning, match=r"first layer|last layer") as notes:
        network = resnets.create("resnet8", num_classes=3, in_channels=1, weights=tmp_path / "w.safetensors")
    assert len(notes) == 2
    torch.testing.assert_close(network.conv1.weight, trained.conv1.weight.sum(1, keepdim=True))
    torch.testing.assert_close(network.layer1[0].conv1.weight, trained.layer1[0].conv1.weight)
    assert network.fc.weight.shape == (3, 64)
    same = resnets.create("resnet8", num_classes=4, weights=tmp_path / "w.safetensors")
    torch.testing.assert_close(same.fc.weight, trained.fc.weight)
