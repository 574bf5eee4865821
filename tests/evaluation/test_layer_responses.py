"""A layer's response is what batch norm gives, before ReLU or the addition, however batches are cut."""

from __future__ import annotations

import contextlib
import copy
import pickle
import statistics

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from resnets.data import normalization
from resnets.data.arrays import ImageArrays
from resnets.data.map_datasets import MapSplit
from resnets.errors import UsageError
from resnets.evaluation.responses import layer_responses, responding_layers, statistics_group
from resnets.networks import registry
from resnets.networks.blocks import Block
from resnets.networks.resnet import ResNet
from resnets.specs import InputSpec, Preprocessing

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split() -> ImageArrays:
    generator = np.random.default_rng(0)
    return ImageArrays(generator.integers(0, 256, (21, 8, 8, 3), np.uint8), np.zeros(21, np.int64))


@pytest.fixture(scope="module")
def input_spec(split: ImageArrays) -> InputSpec:
    return normalization.fit(split.images, Preprocessing())


def _network(name: str, **options: object) -> ResNet:
    """A network whose running statistics and affine parameters are not those of the start."""
    torch.manual_seed(0)
    network = registry.create(name, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    assert isinstance(network, ResNet)
    return network


def _images(split: ImageArrays, input_spec: InputSpec) -> Tensor:
    images, _ = next(iter(split.test_batches(input_spec, batch_size=len(split))))
    return images


def _by_hand(network: ResNet, images: Tensor) -> dict[str, Tensor]:
    """The responses with the blocks written out, one layer after the other, without any hook."""
    found: dict[str, Tensor] = {}
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
    return {name: output.double() for name, output in found.items()}


def _all_at_once(output: Tensor) -> float:
    return float(output.std(correction=0))


def _of_the_median_image(output: Tensor) -> float:
    return statistics.median(float(image.std(correction=0)) for image in output)


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
    name: str, options: dict[str, object], layers: int, split: ImageArrays, input_spec: InputSpec
) -> None:
    """Each layer's deviation is that of its output when the blocks are computed by hand, without hooks."""
    network = _network(name, **options)
    found = {one.layer: one for one in layer_responses(network, split, input_spec, device=CPU)}
    expected = _by_hand(network.eval(), _images(split, input_spec))
    assert list(found) == list(expected)
    assert len(found) == layers
    for layer, output in expected.items():
        assert found[layer].std == pytest.approx(_all_at_once(output), rel=1e-4), layer
        assert found[layer].median == pytest.approx(_of_the_median_image(output), rel=1e-4), layer


def test_batch_statistics_are_those_of_training_in_evenly_spaced_mini_batches(
    split: ImageArrays, input_spec: InputSpec
) -> None:
    """21 images in groups of at most 8 are three mini-batches of every third image, normalised in training mode."""
    network = _network("resnet8", bn_group=8)
    found = layer_responses(network, split, input_spec, device=CPU)
    images, training = _images(split, input_spec), copy.deepcopy(network).train()
    batches = [_by_hand(training, images[first::3]) for first in range(3)]
    for one in found:
        output = torch.cat([batch[one.layer] for batch in batches])
        assert one.batch_std == pytest.approx(_all_at_once(output), rel=1e-4), one.layer
        assert one.batch_median == pytest.approx(_of_the_median_image(output), rel=1e-4), one.layer
        assert one.batch_std != pytest.approx(one.std, rel=0.01), one.layer


@pytest.mark.parametrize(("options", "group"), [({}, 128), ({"bn_group": 32}, 32)])
def test_mini_batches_are_of_the_network(options: dict[str, object], group: int) -> None:
    """They have the images that shared statistics in training, and 128 where the network does not say."""
    assert statistics_group(registry.create("resnet8", **options)) == group


@pytest.mark.parametrize("batch_size", [1, 4, 21])
def test_it_is_of_no_account_how_batches_are_cut(batch_size: int, split: ImageArrays, input_spec: InputSpec) -> None:
    """The batch size of the measurement changes no response."""
    network = _network("resnet8", bn_group=8)
    whole = layer_responses(network, split, input_spec, device=CPU)
    cut = layer_responses(network, split, input_spec, device=CPU, batch_size=batch_size)
    for ours, theirs in zip(cut, whole, strict=True):
        ours_numbers, numbers = (msgspec.structs.astuple(one)[1:] for one in (ours, theirs))
        assert ours_numbers == pytest.approx(numbers, rel=1e-5), ours.layer


def test_one_outlier_image_changes_the_deviation_of_all_and_not_the_median(input_spec: InputSpec) -> None:
    """Batch norm has zero biases, so that an image 1,000 times as bright responds 1,000 times as strongly."""
    images = torch.randn(21, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network = _network("plain8")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.bias)
            module.running_mean.zero_()
    with_outlier = images.clone()
    strongest = int(images.std((1, 2, 3)).argmax())
    with_outlier[strongest] *= 1000
    before, after = (
        layer_responses(network, MapSplit(TensorDataset(tensor, torch.zeros(21, dtype=torch.int64))), None, device=CPU)
        for tensor in (images, with_outlier)
    )
    for ours, theirs in zip(before, after, strict=True):
        assert theirs.std > 50 * ours.std, ours.layer
        assert theirs.median == pytest.approx(ours.median, rel=0.1), ours.layer


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails: bool, split: ImageArrays, input_spec: InputSpec) -> None:
    """Neither a hook nor another mode stays, and no buffer moves: also where the second pass fails."""
    network = _network("resnet8", bn_group=8).train()
    network.bn1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = pickle.dumps(network)
    momenta = [module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    calls: list[object] = []

    def fail_in_the_second_mini_batch(*call: object) -> None:
        calls.append(call)
        if fails and len(calls) == 3:  # the first pass is one call
            raise ArithmeticError

    hook = network.fc.register_forward_pre_hook(fail_in_the_second_mini_batch)
    with pytest.raises(ArithmeticError) if fails else contextlib.nullcontext():
        layer_responses(network, split, input_spec, device=CPU)
    assert len(calls) == (3 if fails else 4)
    hook.remove()
    assert network.training and not network.bn1.training and network.layer1.training
    assert pickle.dumps(network) == whole
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert momenta == [module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_layers_are_those_of_the_figure() -> None:
    """6n + 1 in a CIFAR-type network; projections and 1x1 layers are none."""
    assert len(responding_layers(registry.create("resnet110"))) == 109
    names = list(responding_layers(registry.create("resnet20", shortcut="C")))
    assert len(names) == 19 and names[0] == "conv1" and names[-1] == "layer3.2.conv2"


def test_a_network_without_batch_norm_is_refused(split: ImageArrays, input_spec: InputSpec) -> None:
    """Responses are outputs of batch norm; a network without it has none."""
    with pytest.raises(UsageError, match="conv1"):
        layer_responses(nn.Sequential(nn.Conv2d(3, 4, 3)), split, input_spec, device=CPU)
