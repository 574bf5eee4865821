"""A deepened network computes what it computed: the paper's solution by construction (section 1)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.networks.deepen import deepen
from resnets.networks.resnet import ResNet


def trained(name: str, **options: Any) -> ResNet:
    """Return a network as training might leave it: batch norms with statistics, weights and biases of their own."""
    torch.manual_seed(1)
    network = registry.create(name, **options)
    assert isinstance(network, ResNet)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return network


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


EXACT = [
    ("resnet20", 32, {"shortcut": "A"}),
    ("resnet20", 56, {"shortcut": "B"}),
    ("resnet20", 26, {"residual_layers": 1}),
    ("resnet20", 38, {"residual_layers": 3}),
    ("resnet20", 32, {"bn_group": 2}),
    ("resnet44", 50, {}),
    ("resnet18", 34, {"shortcut": "A", "num_classes": 7}),
    ("resnet18", 34, {"shortcut": "B", "num_classes": 7}),
    ("resnet50", 101, {"shortcut": "A", "num_classes": 7}),
    ("resnet50_v1_5", 101, {"shortcut": "B", "num_classes": 7}),
]


@pytest.mark.parametrize(("name", "depth", "options"), EXACT)
def test_options_a_and_b_give_the_same_logits_bit_for_bit_in_both_modes(
    name: str, depth: int, options: dict[str, Any]
) -> None:
    """An added block of options A and B is an exact identity, also in training mode."""
    network = trained(name, **options)
    deeper = deepen(network, depth)
    with torch.no_grad():
        for training in (False, True):
            network.train(training)
            deeper.train(training)
            assert torch.equal(deeper(images()), network(images())), f"training: {training}"


ROUNDING = [
    ("resnet20", 32, {"shortcut": "C"}),
    ("plain20", 32, {}),
    ("plain20", 26, {"residual_layers": 1}),
    ("plain20", 110, {}),
    ("plain18", 34, {"num_classes": 7}),
    ("resnet18", 34, {"shortcut": "C", "num_classes": 7}),
    ("resnet50", 101, {"shortcut": "C", "num_classes": 7}),
]


@pytest.mark.parametrize(("name", "depth", "options"), ROUNDING)
def test_option_c_and_plain_networks_give_the_same_logits_in_evaluation(
    name: str, depth: int, options: dict[str, Any]
) -> None:
    """Where an identity is learned by batch norm, the logits agree to rounding."""
    network = trained(name, **options).eval()
    deeper = deepen(network, depth)
    with torch.no_grad():
        torch.testing.assert_close(deeper(images()), network(images()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "depth", "options"), [EXACT[1], EXACT[3], EXACT[9], ROUNDING[0], ROUNDING[1]])
def test_the_deeper_network_is_the_catalogues(name: str, depth: int, options: dict[str, Any]) -> None:
    """Its declaration, and its parameters' names and shapes, are those of the network of that depth."""
    deeper = deepen(trained(name, **options), depth)
    grown = name.replace("20", str(depth)).replace("50", str(depth))
    assert deeper.spec == registry.declare(grown, **options)
    expected = registry.create(grown, **options)
    assert {key: tensor.shape for key, tensor in deeper.state_dict().items()} == {
        key: tensor.shape for key, tensor in expected.state_dict().items()
    }


def test_a_depth_of_both_types_stays_of_the_same_type() -> None:
    """A CIFAR-type network of 44 layers grows to the CIFAR-type one of 50."""
    assert deepen(trained("resnet44"), 50).spec == registry.declare("resnet50_cifar")


def test_growing_in_steps_is_growing_at_once() -> None:
    """20 to 32 to 56 layers gives the logits of 20 to 56."""
    network = trained("resnet20").eval()
    assert torch.equal(deepen(deepen(network, 32), 56)(images()), deepen(network, 56)(images()))


def test_the_shallower_network_is_untouched_and_shares_no_memory() -> None:
    """Changing the deeper network changes no weight of the shallower one."""
    network = trained("resnet20")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    deeper = deepen(network, 32)
    for tensor in deeper.state_dict().values():
        tensor.zero_()
    assert network.spec.depth == 20
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_the_number_type_are_kept(training: bool) -> None:
    """Training mode and float64 carry over."""
    deeper = deepen(trained("resnet20", shortcut="C").double().train(training), 32)
    assert {module.training for module in deeper.modules()} == {training}
    assert {parameter.dtype for parameter in deeper.parameters()} == {torch.float64}


def test_a_head_of_ones_own_is_kept() -> None:
    """A replaced classifier is the deeper network's."""
    network = trained("resnet20").eval()
    network.fc = nn.Linear(64, 3)
    assert torch.equal(deepen(network, 32)(images()), network(images()))


@pytest.mark.parametrize(("name", "options"), [("resnet20", {}), ("resnet20", {"shortcut": "C"}), ("plain20", {})])
def test_the_added_blocks_learn(name: str, options: dict[str, Any]) -> None:
    """Two steps of descent move every added weight: the first the last batch norm of F, the second the rest of it."""
    network = trained(name, **options)
    deeper = deepen(network, 26).train()
    added = {key for key, _ in deeper.named_parameters()} - {key for key, _ in network.named_parameters()}
    before = {key: parameter.detach().clone() for key, parameter in deeper.named_parameters() if key in added}
    optimizer = torch.optim.SGD(deeper.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(deeper(images()), torch.arange(4)).backward()
        optimizer.step()
    still = [
        key for key, parameter in deeper.named_parameters() if key in added and torch.equal(parameter, before[key])
    ]
    assert added and not still


@pytest.mark.parametrize(
    ("name", "options", "depth", "possible"),
    [
        ("resnet20", {}, 20, "26, 32 and so on, in steps of 6"),
        ("resnet56", {}, 20, "62, 68"),
        ("resnet20", {}, 21, "26, 32"),
        ("resnet20", {}, -4, "26, 32"),
        ("resnet20", {"residual_layers": 3}, 26, "38, 56 and so on, in steps of 18"),
        ("resnet18", {}, 18, "34"),
        ("resnet18", {}, 20, "34"),
        ("resnet34", {}, 50, "deepest of basic blocks"),
        ("resnet50", {}, 34, "101 or 152"),
        ("resnet152", {}, 200, "deepest of bottleneck blocks"),
        ("plain50", {}, 101, "resnet50"),
        ("vgg16", {}, 19, "VGG"),
    ],
)
def test_a_depth_that_cannot_be_reached_is_refused_with_those_that_can(
    name: str, options: dict[str, Any], depth: int, possible: str
) -> None:
    """The error names the next depths of this network, in whole blocks, or that there is none."""
    with pytest.raises(UsageError, match=possible):
        deepen(skeleton(registry.declare(name, **options)), depth)
