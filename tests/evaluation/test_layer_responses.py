"""A layer's response is what batch norm gives, before ReLU or the addition, however batches are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnets.data import convention as conventions
from resnets.data.datasets import ImageArrays
from resnets.data.pipeline import single_pass
from resnets.errors import UsageError
from resnets.evaluation.responses import layer_deviations, responding_layers
from resnets.networks import catalog
from resnets.networks.blocks import Block
from resnets.networks.resnet import ResNet
from resnets.specs import InputConvention, Preprocessing

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split() -> ImageArrays:
    generator = np.random.default_rng(0)
    return ImageArrays(generator.integers(0, 256, (21, 8, 8, 3), np.uint8), np.zeros(21, np.int64))


@pytest.fixture(scope="module")
def convention(split: ImageArrays) -> InputConvention:
    return conventions.fit(split, Preprocessing())


def _network(name: str, **options: object) -> ResNet:
    """A network whose running statistics and affine parameters are not those of the start."""
    torch.manual_seed(0)
    network = catalog.create(name, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    assert isinstance(network, ResNet)
    return network


def _by_hand(network: ResNet, images: Tensor) -> dict[str, float]:
    """The responses with the blocks written out, one layer after the other, without any hook."""
    found: dict[str, Tensor] = {}
    network.eval()
    with torch.no_grad():
        found["conv1"] = network.bn1(network.conv1(images))
        x = network.maxpool(torch.relu(found["conv1"]))
        for stage in network.stages:
            for index, block in enumerate(network.get_submodule(stage).children()):
                assert isinstance(block, Block)
                skip: Tensor | float = 0.0
                if block.residual:
                    skip = x if block.downsample is None else block.downsample(x)
                for number in range(1, block.depth + 1):
                    conv = block.get_submodule(f"conv{number}")
                    assert isinstance(conv, nn.Conv2d)
                    x = block.get_submodule(f"bn{number}")(conv(x))
                    if conv.kernel_size == (3, 3):
                        found[f"{stage}.{index}.conv{number}"] = x
                    x = torch.relu(x if number < block.depth else x + skip)
    return {name: float(output.double().std(correction=0)) for name, output in found.items()}


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [
        ("resnet8", {"shortcut": "B"}, 7),
        ("plain8", {}, 7),
        ("resnet14", {"residual_layers": 1}, 13),
        ("resnet50", {"num_classes": 10}, 17),  # conv1 and the 3x3 of each of 16 bottlenecks
    ],
)
def test_responses_are_those_of_the_network_written_out(
    name: str, options: dict[str, object], layers: int, split: ImageArrays, convention: InputConvention
) -> None:
    network = _network(name, **options)
    images, _ = next(iter(single_pass(split, convention, batch_size=21)))
    found = layer_deviations(network, split, convention, device=CPU)
    expected = _by_hand(network, images)
    assert list(found) == list(expected)
    assert len(found) == layers
    for layer, std in expected.items():
        assert found[layer] == pytest.approx(std, rel=1e-4), layer


@pytest.mark.parametrize("batch_size", [1, 4, 21])
def test_it_is_of_no_account_how_batches_are_cut(
    batch_size: int, split: ImageArrays, convention: InputConvention
) -> None:
    network = _network("resnet8")
    whole = layer_deviations(network, split, convention, device=CPU)
    cut = layer_deviations(network, split, convention, device=CPU, batch_size=batch_size)
    assert cut == pytest.approx(whole, rel=1e-5)


def test_the_network_is_left_as_it_was(split: ImageArrays, convention: InputConvention) -> None:
    """Neither a hook nor another mode stays, and the running statistics do not move."""
    network = _network("resnet8").train()
    network.bn1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer_deviations(network, split, convention, device=CPU)
    assert network.training and not network.bn1.training and network.layer1.training
    assert all(not module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_layers_are_those_of_the_figure() -> None:
    """6n + 1 in a CIFAR-type network; projections and 1x1 layers are none."""
    assert len(responding_layers(catalog.create("resnet110"))) == 109
    names = list(responding_layers(catalog.create("resnet20", shortcut="C")))
    assert len(names) == 19 and names[0] == "conv1" and names[-1] == "layer3.2.conv2"


def test_a_network_without_batch_norm_is_refused(split: ImageArrays, convention: InputConvention) -> None:
    with pytest.raises(UsageError, match="no convolutions conv1"):
        layer_deviations(nn.Sequential(nn.Conv2d(3, 4, 3)), split, convention, device=CPU)
