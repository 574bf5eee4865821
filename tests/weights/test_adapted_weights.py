"""Weights are taken by networks of the same name in their variant, with other channels or auxiliary classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resnets
from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.training.config import TrainingConfig, resolve
from resnets.weights import weights_file
from resnets.weights.adapt import separable_channels, with_channels_of

pytestmark = pytest.mark.filterwarnings("ignore:.*(first layer is|auxiliary classifiers)")


def written(folder: Path, name: str, **options: Any) -> tuple[Path, nn.Module]:
    """Return a weights file of a network, and the network in evaluation mode."""
    torch.manual_seed(0)
    network = registry.create(name, **options).eval()
    weights_file.save(folder / "w.safetensors", network)
    return folder / "w.safetensors", network


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nin", {"pool2": "avg"}),
        ("maxout", {"fc_pieces": 2}),
        ("highway32", {"head": "fc500"}),
        ("bn_inception", {"variant": "caffe"}),
        ("googlenet", {"batch_norm": True, "branch3_kernel": 3, "auxiliary": False}),
        ("resnet20", {"shortcut": "B", "residual_layers": 3}),
    ],
)
def test_the_variant_is_that_of_the_weights(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    """Where the options leave it open; classes, channels and what initialisation is like are the network's own."""
    start = registry.declare(name, num_classes=7, **options)
    found = registry.declare_as(start, name, num_classes=5)
    assert found == start.with_changes(num_classes=5)
    given = {option: getattr(registry.declare(name), option) for option in options}
    assert registry.declare_as(start, name, num_classes=7, **given) == registry.declare(name, num_classes=7)
    assert registry.declare_as(start, "plain20") == registry.declare("plain20")


def test_create_and_train_take_it(tmp_path: Path) -> None:
    """A network that is created or trained from a file computes what the file's network does."""
    path, network = written(tmp_path, "nin", pool2="avg", in_channels=1)
    images = torch.randn(2, 1, 32, 32)
    found = resnets.create("nin", weights=path, in_channels=1).eval()
    torch.testing.assert_close(found(images), network(images))
    training = resolve("nin", "digits", TrainingConfig(recipe="cifar", weights=path, device="cpu"))
    assert training.network.spec.pool2 == "avg"  # type: ignore[union-attr]


@pytest.mark.usefixtures("registering")
def test_registered_networks_take_variant_and_channels(tmp_path: Path) -> None:
    """Those of functions too: their options, and a first layer for other channels."""
    path, network = written(tmp_path, "two-layers", width=6)
    found = resnets.create("two-layers", weights=path, in_channels=1).eval()
    assert found.spec.options == {"width": 6}  # type: ignore[union-attr]
    assert torch.equal(found[0].weight, network[0].weight.sum(1, keepdim=True))  # type: ignore[index]


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_separable_stems_take_other_channels(tmp_path: Path, channels: int) -> None:
    """As other first layers: six channels, of twice the same three images, give what three did."""
    path, network = written(tmp_path, "bn_inception", num_classes=3)
    found = registry.create("bn_inception", num_classes=3, in_channels=channels).eval()
    notes = weights_file.load(path).load_adapted(found)
    assert len(notes) == 1 and f"for {channels}" in notes[0]
    if channels == 6:
        images = torch.randn(1, 3, 64, 64)
        twice = torch.cat([images, images], 1)
        torch.testing.assert_close(found(twice), network(images), rtol=1e-3, atol=1e-3)


def test_a_separable_layer_for_grey_is_the_nearest() -> None:
    """The sum over the channels has so many separable terms at most as one channel keeps: then it is exact."""
    generator = torch.Generator().manual_seed(0)
    depthwise = torch.randn(6, 1, 3, 3, generator=generator)  # two maps of three channels
    pointwise = torch.randn(5, 6, 1, 1, generator=generator)
    depthwise[2:] = depthwise[:2].repeat(2, 1, 1, 1)  # the same kernels for each channel
    filters, combined = separable_channels(depthwise, pointwise, 1, 2)
    grey = torch.randn(1, 1, 8, 8, generator=generator)
    expected = convolved(grey.expand(-1, 3, -1, -1), depthwise, pointwise)
    torch.testing.assert_close(convolved(grey, filters, combined), expected, rtol=1e-4, atol=1e-4)


def convolved(images: Tensor, depthwise: Tensor, pointwise: Tensor) -> Tensor:
    maps = nn.functional.conv2d(images, depthwise, groups=images.shape[1])
    return nn.functional.conv2d(maps, pointwise)


def test_a_network_without_convolutions_keeps_its_weights() -> None:
    """What has no first convolution is not adapted."""
    tensors = nn.Linear(3, 2).state_dict()
    assert with_channels_of(nn.Linear(4, 2), dict(tensors)) == (tensors, None)


@pytest.mark.parametrize("kept", [True, False])
def test_auxiliary_classifiers(tmp_path: Path, kept: bool) -> None:
    """Left out where a network has none, new where weights have none, both noted; the other layers are loaded."""
    path, network = written(tmp_path, "dsn", auxiliary=not kept)
    found = registry.create("dsn", auxiliary=kept).eval()
    own = found.state_dict().get("companions.0.fc.weight", torch.zeros(0)).clone()
    notes = weights_file.load(path).load_adapted(found)
    assert len(notes) == 1 and ("are new" if kept else "left out") in notes[0]
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(found(images), network(images))
    assert torch.equal(found.state_dict().get("companions.0.fc.weight", torch.zeros(0)), own)
    spec = resnets.create("dsn", weights=path).spec
    assert spec.auxiliary is not kept  # type: ignore[union-attr]  # by default as in the file


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    """A file that says which network it is of is named with it, rather than by its tensors; these are the details."""
    path, _ = written(tmp_path, "resnet8")
    for name in ("nin", "resnet14"):
        with pytest.raises(WeightsError, match=f"than {name}.* holds those of resnet8") as caught:
            resnets.create(name, weights=path)
        assert caught.value.details and "missing" not in str(caught.value)
