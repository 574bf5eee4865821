"""A fully convolutional network is the same network: on its own size of image, and at each position of larger ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.comparison.vgg import VGG
from resnets.networks.dense import Dense
from resnets.networks.resnet import ResNet
from resnets.specs import VGGSpec


class NarrowVGG(VGGSpec, frozen=True, kw_only=True):
    widths = (4, 4, 4, 4, 4)
    hidden = 32


def _vgg() -> VGG:
    torch.manual_seed(0)
    return VGG(NarrowVGG(name="vgg", depth=8, convolutions=(1, 1, 1, 1, 1), num_classes=5)).eval()


def _resnet(name: str) -> ResNet:
    torch.manual_seed(0)
    network = registry.create(name, num_classes=5).eval()
    assert isinstance(network, ResNet)
    return network


def _images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 224), ("plain18", 224), ("resnet18", 112), ("resnet18", 97), ("resnet8", 32), ("vgg", 224)],
)
@torch.inference_mode()
def test_on_its_own_size_a_network_gives_what_it_gives(name: str, size: int) -> None:
    """On 224x224 the dense form equals the ordinary forward pass; likewise on another size of training."""
    network, images = _vgg() if name == "vgg" else _resnet(name), _images(2, 3, size, size)
    torch.testing.assert_close(Dense(network, size)(images), network(images), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_resnet_is_read_at_every_position() -> None:
    """On 4x5 maps a 2x2 window has 3x4 positions; the scores are the mean of the classifier's at each."""
    network, images = _resnet("resnet18"), _images(1, 3, 128, 160)
    maps = network.features(images)
    assert maps.shape[2:] == (4, 5)
    windows = [maps[:, :, top : top + 2, left : left + 2] for top in range(3) for left in range(4)]
    scores = torch.stack([network.fc(window.mean((2, 3))) for window in windows])
    torch.testing.assert_close(Dense(network, 64)(images), scores.mean(0), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(Dense(network, 64)(images), network(images), rtol=1e-3)  # global pooling is another test


@torch.inference_mode()
def test_a_vgg_is_read_at_every_position() -> None:
    """On 8x9 maps a 7x7 window has 2x3 positions, each through the fully connected layers."""
    network, images = _vgg(), _images(1, 3, 256, 300)
    maps = network.features(images)
    assert maps.shape[2:] == (8, 9)
    windows = [maps[:, :, top : top + 7, left : left + 7] for top in range(2) for left in range(3)]
    scores = torch.stack([network.classifier(window.flatten(1)) for window in windows])
    torch.testing.assert_close(Dense(network, 224)(images), scores.mean(0), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_dense_says_why() -> None:
    """A custom module, and a VGG of another size than 224, are refused."""
    with pytest.raises(UsageError, match="Flatten is a custom module"):
        Dense(nn.Flatten(), 224)
    with pytest.raises(UsageError, match="of 112 x 112 pixels here"):
        Dense(_vgg(), 112)
