"""Weights of other projects for the networks that the paper compares with become ours, with their input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from resnets.data.normalization import normalize
from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.weights.convert import convert
from resnets.weights.import_weights import import_weights
from resnets.weights.layouts.layout import IMAGENET_MEAN, IMAGENET_STD
from resnets.weights.sources import find_weights

# blobs of Caffe, and Cadene's layers, by the names of ours that a few of them must become
CAFFE_GOOGLENET = {
    "conv1.conv": "conv1/7x7_s2",
    "conv2.conv": "conv2/3x3_reduce",
    "conv3.conv": "conv2/3x3",
    "aux1.conv.conv": "loss1/conv",
    "aux1.fc1": "loss1/fc",
    "aux1.fc2": "loss1/classifier",
    "aux2.conv.conv": "loss2/conv",
    "aux2.fc1": "loss2/fc",
    "aux2.fc2": "loss2/classifier",
    "fc": "loss3/classifier",
}
GOOGLENETS = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
CADENES = ("1x1", "3x3_reduce", "3x3", "double_3x3_reduce", "double_3x3_1", "double_3x3_2", "pool_proj")


def created(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    network = registry.create(name, num_classes=7, **options)
    for key, tensor in network.state_dict().items():
        if "running" in key:
            tensor.uniform_(0.5, 1.5)
    return network.eval()


def theirs(layer: str, inner: tuple[str, ...], pattern: str) -> str:
    """The other project's name of a unit of an inception module, `inception3a.branch2.1`."""
    module, branch, *number = layer.removeprefix("inception").split(".")
    places = {"branch1": inner[:1], "branch2": inner[1:3], "branch3": inner[3:-1], "branch4": (None, inner[-1])}
    return pattern.format(module, places[branch][int(number[0]) if number else 0])


def same_scores(path: Path, network: nn.Module, size: int) -> Any:
    """The import of a file, whose network must have the scores of another one."""
    imported = import_weights(path)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(imported.weights.build()(images), network(images), atol=1e-5, rtol=1e-4)
    return imported


def nins_blobs(network: nn.Module) -> dict[str, Any]:
    """NIN's tensors as Caffe's blobs."""
    blobs = {}
    for key, tensor in network.state_dict().items():
        layer, _, field = key.rpartition(".")
        blobs[f"{layer}/{int(field == 'bias')}"] = tensor.numpy()
    return blobs


def test_torchvisions_googlenet(tmp_path: Path) -> None:
    """Its file becomes the variant of GoogLeNet that it is, with inputs of 2 x - 1, with and without auxiliary ones."""
    for aux in (True, False):
        network = torchvision.models.googlenet(weights=None, aux_logits=aux, init_weights=False, num_classes=7).eval()
        torch.save(network.state_dict(), tmp_path / "googlenet.pth")
        found = same_scores(tmp_path / "googlenet.pth", network, 64)
        assert found.weights.spec.auxiliary is aux and found.weights.spec.batch_norm
        assert found.weights.input_spec.mean == found.weights.input_spec.std == (0.5, 0.5, 0.5)
    with pytest.raises(WeightsError, match="googlenet, not of resnet18"):
        import_weights(tmp_path / "googlenet.pth", "resnet18")


def test_torchvisions_published_googlenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From torch's cache: the logits of its network, whose `transform_input` is in the input, and the way back."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False).eval()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub" / "checkpoints" / "googlenet-1378be20.pth")
    found = find_weights("torchvision", "googlenet").weights
    assert found.input_spec is not None and found.classes is not None and len(found.classes) == 1000
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    own = found.input_spec.with_changes(size=64)
    imagenet = own.with_changes(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    ours, expected = (
        network(torch.from_numpy(normalize(pixels, spec)).permute(0, 3, 1, 2))
        for network, spec in ((found.build().eval(), own), (theirs, imagenet))
    )
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    convert("torchvision", tmp_path / "ours.safetensors", network="googlenet")
    convert(tmp_path / "ours.safetensors", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.mark.parametrize("auxiliary", [True, False])
def test_caffes_googlenet(tmp_path: Path, auxiliary: bool) -> None:
    """Blobs by the layers of bvlc_googlenet in an archive and in HDF5, old ones too; BGR from 0 to 255."""
    network = created("googlenet", auxiliary=auxiliary)
    blobs: dict[str, Any] = {}
    for key, tensor in network.state_dict().items():
        layer, _, field = key.rpartition(".")
        if layer.startswith("inception"):
            name = theirs(layer.removesuffix(".conv"), GOOGLENETS, "inception_{}/{}")
        else:
            name = CAFFE_GOOGLENET[layer]
        blobs[f"{name}/{int(field == 'bias')}"] = tensor[None, None] if tensor.dim() == 2 else tensor
    if auxiliary:
        file = tmp_path / "blobs.npz"
        np.savez(file, **{name: blob.numpy() for name, blob in blobs.items()})
    else:
        file = tmp_path / "blobs.caffemodel.h5"
        with pytest.importorskip("h5py").File(file, "w") as written:
            for name, blob in blobs.items():
                written[f"data/{name}"] = blob.numpy()
    found = same_scores(file, network, 64)
    assert found.weights.spec.lrn and found.weights.spec.auxiliary is auxiliary
    assert (found.weights.input_spec.channel_order, found.weights.input_spec.max_value) == ("BGR", 255)


def test_caffes_nin(tmp_path: Path) -> None:
    """Its second pooling is the average; its input is not known, since its images were whitened."""
    network = created("nin", pool2="avg")
    blobs = nins_blobs(network)
    np.savez(tmp_path / "nin.npz", **blobs)
    found = same_scores(tmp_path / "nin.npz", network, 32)
    assert found.weights.input_spec is None and found.layout == "Caffe's NIN"


def test_cadenes_bn_inception(tmp_path: Path) -> None:
    """Its 69 batch norms and the biases before them, in the variant of Caffe; BGR from 0 to 255."""
    network = created("bn_inception", variant="caffe")
    stem = {"conv1": "conv1_7x7_s2", "conv2": "conv2_3x3_reduce", "conv3": "conv2_3x3"}
    tensors: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        layer, _, field = key.rpartition(".")
        if layer == "fc":
            tensors[f"last_linear.{field}"] = tensor
            continue
        unit, _, kind = layer.rpartition(".")
        name = stem.get(unit) or theirs(unit, CADENES, "inception_{}_{}")
        tensors[f"{name}{'_bn' if kind == 'bn' else ''}.{field}"] = tensor
    assert sum(name.endswith("_bn.weight") for name in tensors) == 69
    torch.save(tensors, tmp_path / "bn_inception.pth")
    found = same_scores(tmp_path / "bn_inception.pth", network, 64)
    assert found.weights.input_spec.mean == (104.0, 117.0, 128.0)


def test_a_layer_that_is_not_known_is_reported(tmp_path: Path) -> None:
    """By its own name."""
    network = created("nin", pool2="avg")
    blobs = nins_blobs(network)
    np.savez(tmp_path / "nin.npz", **blobs, **{"cccp7/0": np.zeros(3, np.float32)})
    with pytest.raises(WeightsError, match="cccp7/0"):
        import_weights(tmp_path / "nin.npz")
