"""Every network is found by its name, starts as section 3.4 says, and what cannot be is refused with what can."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.comparison.vgg import VGG
from resnets.networks.complexity import skeleton
from resnets.networks.resnet import ResNet
from resnets.specs import ResNetSpec, VGGSpec


def test_the_catalogue_holds_every_network_of_the_paper() -> None:
    """Plain and residual networks of all depths, v1.5, and those that the paper compares with, each name once."""
    cifar = {f"{kind}{depth}" for kind in ("plain", "resnet") for depth in (20, 32, 44, 56, 110, 1202)}
    imagenet = {f"{kind}{depth}" for kind in ("plain", "resnet") for depth in (18, 34, 50, 101, 152)}
    v1_5 = {f"resnet{depth}_v1_5" for depth in (50, 101, 152)}
    compared = {"vgg16", "vgg19", "maxout", "nin", "dsn", "fitnet19", "highway19", "highway32"}
    compared |= {"googlenet", "bn_inception", "prelu_net_a", "prelu_net_b", "prelu_net_c"}
    assert set(registry.names()) == cifar | imagenet | v1_5 | compared
    assert len(registry.names()) == len(set(registry.names()))


@pytest.mark.parametrize("name", registry.names())
def test_a_name_gives_the_papers_defaults(name: str) -> None:
    """Classes, size, shortcut option and stride placement are the paper's for each name."""
    spec = registry.declare(name)
    assert spec.name == name
    assert spec.num_classes == (10 if spec.type == "cifar" else 1000)
    assert spec.in_channels == 3 and spec.input_size == (32 if spec.type == "cifar" else 224)
    if isinstance(spec, ResNetSpec):
        assert spec.residual is name.startswith("resnet")
        assert spec.shortcut == (None if not spec.residual else "A" if spec.type == "cifar" else "B")
        assert spec.stride == (None if spec.block == "basic" else "3x3" if name.endswith("_v1_5") else "1x1")
        assert spec.bn_group is None and spec.residual_layers == 2


def test_any_depth_6n_plus_2_is_a_cifar_network() -> None:
    """Depths outside the catalogue are declared by the rule."""
    for depth in (8, 14, 26, 164, 1004):
        spec = registry.declare(f"plain{depth}")
        assert isinstance(spec, ResNetSpec)
        assert (spec.type, spec.depth, spec.blocks) == ("cifar", depth, ((depth - 2) // 6,) * 3)


def test_a_depth_of_both_types_is_the_imagenet_one_unless_it_says_cifar() -> None:
    """50 is ImageNet's, resnet50_cifar has 8 basic blocks per stage."""
    assert registry.declare("resnet50").type == "imagenet"
    spec = registry.declare("resnet50_cifar")
    assert isinstance(spec, ResNetSpec)
    assert (spec.type, spec.block, spec.blocks) == ("cifar", "basic", (8, 8, 8))


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet20", {"shortcut": "A", "num_classes": 7}, 32),
        ("resnet20", {"shortcut": "B", "in_channels": 1}, 28),
        ("resnet20", {"shortcut": "C", "bn_group": 1}, 8),
        ("plain20", {}, 33),
        ("resnet18", {"shortcut": "C", "num_classes": 3}, 64),
        ("plain34", {"in_channels": 4}, 65),
        ("resnet50", {"shortcut": "A"}, 64),
        ("resnet50_v1_5", {}, 64),
        ("plain50", {"stride": "3x3"}, 64),
    ],
)
def test_networks_run_forward_and_backward_on_any_size(name: str, options: dict[str, Any], size: int) -> None:
    """Logits are finite and each parameter has a gradient."""
    network = registry.create(name, **options).train()
    logits = network(torch.randn(2, network.spec.in_channels, size, size))
    assert logits.shape == (2, network.spec.num_classes) and logits.isfinite().all()
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["resnet20", "plain20", "resnet56"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_residual_functions_of_1_2_and_3_layers_keep_the_depth(name: str, layers: int) -> None:
    """The same 3x3 layers and parameters; only the shortcuts span more or fewer of them."""
    network = registry.create(name, residual_layers=layers).train()
    assert isinstance(network, ResNet)
    depth = 2 + sum(block.depth for block in network.blocks())
    assert depth == network.spec.depth == int(name.removeprefix("resnet").removeprefix("plain"))
    assert {block.depth for block in network.blocks()} == {layers}
    counterpart = skeleton(registry.declare(name))
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in counterpart.parameters())
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_an_imagenet_network_can_have_one_layer_residual_functions_too() -> None:
    """34 layers are 32 blocks of one layer."""
    network = skeleton(registry.declare("resnet34", residual_layers=1))
    assert isinstance(network, ResNet) and network.spec.blocks == (6, 8, 12, 6)
    assert 2 + sum(block.depth for block in network.blocks()) == 34


@pytest.mark.parametrize("how", ["he_fan_in", "he_fan_out"])
@pytest.mark.parametrize(("name", "option"), [("resnet20", "C"), ("resnet18", "B")])
def test_weights_start_as_hes(name: str, option: str, how: str) -> None:
    """Zero-mean Gaussian weights of variance 2 / fan, projections and fc included; biases 0; batch norm 1 and 0."""
    torch.manual_seed(0)
    network = registry.create(name, shortcut=option, initialization=how)
    for key, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            outputs, inputs, *kernel = module.weight.shape
            fan = (inputs if how == "he_fan_in" else outputs) * math.prod(kernel)
            std, count = math.sqrt(2 / fan), module.weight.numel()
            assert module.weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * count)), key
            assert abs(module.weight.mean().item()) < 5 * std / math.sqrt(count), key
            beyond = (module.weight.abs() > 2 * std).float().mean().item()  # 4.55 % of a Gaussian
            assert beyond == pytest.approx(0.0455, abs=5 * math.sqrt(0.0455 / count)), key
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and not module.bias.any(), key
            assert not module.running_mean.any() and (module.running_var == 1).all(), key


def test_a_seed_determines_the_weights() -> None:
    """The same seed gives the same bits."""

    def weights() -> torch.Tensor:
        torch.manual_seed(7)
        return nn.utils.parameters_to_vector(registry.create("resnet20").parameters())

    assert torch.equal(weights(), weights())


def test_there_is_no_dropout_in_a_residual_network() -> None:
    """The paper uses none."""
    assert not any(isinstance(module, nn.Dropout) for module in skeleton(registry.declare("resnet152")).modules())


def test_vgg_is_what_figure_3_shows() -> None:
    """Widths, kernels, biases and the three fully connected layers."""
    network = skeleton(registry.declare("vgg19", num_classes=20))
    assert isinstance(network, VGG) and isinstance(network.spec, VGGSpec)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    assert all(conv.kernel_size == (3, 3) and conv.bias is not None for conv in convs)
    linear = [module.out_features for module in network.modules() if isinstance(module, nn.Linear)]
    assert linear == [4096, 4096, 20]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet5O", "resnet50"),
        ("restnet20", "resnet20"),
        ("ResNet50", "resnet50"),
        ("resnet-50", "resnet50"),
        ("plain_20", "plain20"),
        ("vgg13", "vgg16"),
        ("vgg16_cifar", "vgg16"),
        ("alexnet", "'alexnet'"),
        ("resnet050", "'resnet050'"),
        ("resnet٥٠", "unknown network"),
        ("", "''"),
        ("resnet21", "20 and 26.* 18, 34, 50, 101 or 152"),
        ("plain19", "14 and 20"),
        ("resnet2", "8 and 14"),
        ("resnet7", "8 and 14"),
        ("resnet18_cifar", "14 and 20"),
        ("resnet20_v1_5", "bottleneck"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    """One line with the wrong name, and the nearest name or depths where there are any."""
    with pytest.raises(UsageError, match=nearest) as caught:
        registry.declare(name)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("resnet20", {"shortcut": "D"}, "'D'.*A, B, C"),
        ("resnet50", {"stride": "5x5"}, "'5x5'.*1x1, 3x3"),
        ("resnet20", {"initialization": "xavier"}, "he_fan_in or he_fan_out"),
        ("plain20", {"shortcut": "A"}, "no shortcuts"),
        ("resnet34", {"stride": "1x1"}, "bottleneck"),
        ("resnet50_v1_5", {"stride": "1x1"}, "resnet50"),
        ("resnet50", {"residual_layers": 2}, "basic"),
        ("resnet20", {"residual_layers": 4}, r"6 \+ 6 \+ 6 .*residual_layers=4"),
        ("resnet34", {"residual_layers": 3}, r"6 \+ 8 \+ 12 \+ 6"),
        ("resnet20", {"residual_layers": 0}, "residual_layers is 0"),
        ("resnet20", {"num_classes": 0}, "num_classes is 0"),
        ("resnet20", {"in_channels": -1}, "in_channels is -1"),
        ("resnet20", {"bn_group": 0}, "bn_group is 0"),
        ("vgg16", {"shortcut": "A"}, "'shortcut'"),
        ("vgg16", {"bn_group": 32}, "'bn_group'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(name: str, options: dict[str, Any], named: str) -> None:
    """The error names the option and its value, or what it applies to."""
    with pytest.raises(UsageError, match=named):
        registry.declare(name, **options)
