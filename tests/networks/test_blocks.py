"""Blocks and shortcuts are those of section 3.2 and 4.1: order of layers, the addition, options A, B and C."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.networks import registry
from resnets.networks.blocks import Block, basic, bottleneck
from resnets.networks.complexity import skeleton
from resnets.networks.resnet import ResNet
from resnets.networks.shortcuts import ZeroPad, is_projection, make_shortcut
from resnets.specs import Shortcut, ZeroChannels

X = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))


def randomised(block: Block) -> Block:
    """Return the block in evaluation mode, with batch norms that do something."""
    torch.manual_seed(0)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return block.eval()


def conv(block: Block, number: int, x: Tensor, stride: int = 1) -> Tensor:
    """Return W x, then batch norm, from the block's weights alone."""
    kernel = block.get_submodule(f"conv{number}").weight
    norm = block.get_submodule(f"bn{number}")
    x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def test_the_bottleneck_is_figure_5() -> None:
    """1x1 reduces, 3x3, 1x1 restores; W_s projects where the dimensions differ, with a batch norm and no ReLU."""
    block = randomised(bottleneck(8, 4, 2, nn.BatchNorm2d, placement="1x1", residual=True, shortcut="B"))
    assert isinstance(block.downsample, nn.Sequential)
    project, norm = block.downsample
    skip = F.conv2d(X, project.weight, stride=2)
    skip = F.batch_norm(skip, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    out = F.relu(conv(block, 1, X, stride=2))
    out = conv(block, 3, F.relu(conv(block, 2, out)))
    torch.testing.assert_close(block(X), F.relu(out + skip))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_basic_block_is_figure_2(layers: int, residual: bool) -> None:
    """y = relu(BN(W2 relu(BN(W1 x))) + x), the second ReLU after the addition; plain without "+ x".

    Section 3.2: F may have more layers, or one, y = W1 x + x, in which "we have not observed advantages".
    """
    shortcut: Shortcut | None = "A" if residual else None
    block = randomised(basic(8, 8, 1, nn.BatchNorm2d, layers=layers, residual=residual, shortcut=shortcut))
    out = X
    for number in range(1, layers + 1):
        out = conv(block, number, out)
        if number < layers:
            out = F.relu(out)
    torch.testing.assert_close(block(X), F.relu(out + X if residual else out))


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_block_whose_last_batch_norm_is_zero_is_an_identity(shortcut: Shortcut) -> None:
    """On what ReLU has passed. Section 3.1: solvers can drive F to zero."""
    block = randomised(basic(8, 8, 1, nn.BatchNorm2d, layers=2, residual=True, shortcut=shortcut))
    nn.init.zeros_(block.last_norm().weight)  # type: ignore[arg-type]
    nn.init.zeros_(block.last_norm().bias)  # type: ignore[arg-type]
    assert torch.equal(block(F.relu(X)), F.relu(X))


@pytest.mark.parametrize(("zeros", "before", "after"), [("after", 0, 8), ("around", 4, 4)])
def test_option_a_keeps_every_second_pixel_and_adds_zero_maps(zeros: ZeroChannels, before: int, after: int) -> None:
    """The zero maps are after the identity ones, or half before, as in weights of other projects."""
    out = ZeroPad(8, 16, 2, zeros)(X)
    assert torch.equal(out[:, before : before + 8], X[:, :, ::2, ::2])
    assert out.shape == (2, 16, 3, 3) and not out[:, :before].any() and not out[:, 16 - after :].any()


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_shortcut_and_residual_function_agree_in_size_for_odd_and_even_maps(option: Shortcut, size: int) -> None:
    """Both halve 7 and 8 pixels to 4."""
    block = basic(8, 16, 2, nn.BatchNorm2d, layers=2, residual=True, shortcut=option)
    assert block(torch.randn(2, 8, size, size)).shape == (2, 16, 4, 4)


@pytest.mark.parametrize(
    ("option", "same", "wider", "smaller"),
    [
        # dimensions agree, more maps,   smaller maps
        ("A", "identity", "zeros", "zeros"),
        ("B", "identity", "projection", "projection"),
        ("C", "projection", "projection", "projection"),
    ],
)
def test_the_three_options(option: Shortcut, same: str, wider: str, smaller: str) -> None:
    """Where only the stride differs, the dimensions differ too."""

    def kind(in_channels: int, out_channels: int, stride: int) -> str:
        shortcut = make_shortcut(option, in_channels, out_channels, stride, nn.BatchNorm2d)
        return "identity" if shortcut is None else "projection" if is_projection(shortcut) else "zeros"

    assert (kind(8, 8, 1), kind(8, 32, 1), kind(8, 8, 2)) == (same, wider, smaller)


def shortcuts(name: str, option: Shortcut) -> list[str]:
    """Return where a network's shortcuts are more than the bare identity, as `layer2.0`."""
    network = skeleton(registry.declare(name, shortcut=option))
    return [key.removesuffix(".downsample") for key, _ in network.named_modules() if key.endswith(".downsample")]


def test_where_the_dimensions_increase() -> None:
    """conv3_1, conv4_1 and conv5_1; with bottlenecks conv2_1 as well, from 64 to 256 maps at the same size."""
    assert shortcuts("resnet34", "A") == shortcuts("resnet34", "B") == ["layer2.0", "layer3.0", "layer4.0"]
    assert shortcuts("resnet50", "B") == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    assert shortcuts("resnet20", "A") == shortcuts("resnet20", "B") == ["layer2.0", "layer3.0"]
    assert len(shortcuts("resnet34", "C")) == 16  # the 3 and "the thirteen extra projection shortcuts"


@pytest.mark.parametrize(
    ("name", "options", "conv", "projected"),
    [
        ("resnet50", {}, "conv1", True),
        ("resnet50_v1_5", {}, "conv2", True),
        ("resnet50", {"stride": "3x3"}, "conv2", True),
        ("resnet18", {}, "conv1", True),
        ("plain50", {}, "conv1", False),
    ],
)
def test_the_stride_is_on_the_first_1x1_or_in_v1_5_on_the_3x3(
    name: str, options: dict[str, Any], conv: str, projected: bool
) -> None:
    """Each stage but the first halves its maps once, in its first block, with the projection alike."""
    layers = [conv, "downsample.0"] if projected else [conv]
    expected = {f"layer{stage}.0.{layer}" for stage in (2, 3, 4) for layer in layers} | {"conv1"}
    modules = skeleton(registry.declare(name, **options)).named_modules()
    assert {key: m.stride[0] for key, m in modules if isinstance(m, nn.Conv2d) and m.stride[0] > 1} == dict.fromkeys(
        expected, 2
    )


def test_there_are_no_biases_before_batch_norm() -> None:
    """Convolutions have no bias, the classifier has."""
    network = skeleton(registry.declare("resnet50", shortcut="C"))
    assert all(module.bias is None for module in network.modules() if isinstance(module, nn.Conv2d))
    assert network.fc.bias is not None


def test_a_network_and_its_plain_counterpart_differ_by_the_shortcuts_alone() -> None:
    """Option A has no parameters: the same weights fit both, and give another function."""
    residual, plain = registry.create("resnet20"), registry.create("plain20")
    plain.load_state_dict(residual.state_dict(), strict=True)
    assert isinstance(residual, ResNet) and isinstance(plain, ResNet)
    assert [block.depth for block in residual.blocks()] == [block.depth for block in plain.blocks()]
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(residual.eval()(x), plain.eval()(x))


def test_gradients_reach_the_image_through_the_identities_of_a_very_deep_network() -> None:
    """With every F switched off, 110 layers of option A hand the stem's maps on, and the gradient back."""
    network = registry.create("resnet110").eval()
    assert isinstance(network, ResNet)
    for block in network.blocks():
        nn.init.zeros_(block.last_norm().weight)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 32, 32, requires_grad=True)
    stem = F.relu(network.bn1(network.conv1(x)))
    assert torch.equal(network.features(x)[:, :16], stem[:, :, ::4, ::4])
    network(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
