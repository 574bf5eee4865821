"""Every network of the tables and figures takes a training step by its recipe's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from resnets.networks import registry
from resnets.paper import figures, recipes, tables
from resnets.paper.declarations import System

SYSTEMS: list[System] = [
    *(row for table in tables.TABLES.values() for row in table.rows),
    *(curve for figure in figures.FIGURES.values() for curve in figure.curves),
]
NETWORKS = sorted({(system.network, system.shortcut) for system in SYSTEMS if system.network}, key=str)


COMPARED = (
    *("bn_inception", "dsn", "fitnet19", "googlenet", "highway19", "highway32", "maxout", "nin", "prelu_net_c"),
    *("vgg16", "vgg19"),
)
"""Those that the paper compares with."""


def _parameter(network: str, shortcut: str | None) -> Any:
    spec = registry.declare(network)
    slow = [pytest.mark.slow] if spec.depth > 100 or network.startswith(("vgg", "prelu")) else []
    return pytest.param(network, shortcut, id=f"{network}-{shortcut}" if shortcut else network, marks=slow)


def test_they_are_all_here() -> None:
    """Six depths of CIFAR-10, plain ones to 110; on ImageNet 18 and 34 both ways, A, B and C, and 50 to 152; more."""
    names = {network for network, _ in NETWORKS}
    assert names == {
        *(f"resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202, 18, 34, 50, 101, 152)),
        *(f"plain{depth}" for depth in (20, 32, 44, 56, 110, 18, 34)),
        *COMPARED,
    }
    assert {shortcut for network, shortcut in NETWORKS if network == "resnet34"} == {"A", "B", "C"}


@pytest.mark.parametrize(("network", "shortcut"), [_parameter(*pair) for pair in NETWORKS])
def test_a_training_step(network: str, shortcut: str | None) -> None:
    """Two small images: the loss is finite, every weight has a finite gradient, and the step changes the weights."""
    torch.manual_seed(0)
    module = registry.create(network, **({} if shortcut is None else {"shortcut": shortcut}))
    cifar = module.spec.type == "cifar"
    recipe = recipes.CIFAR if cifar else recipes.IMAGENET
    images = torch.randn(2, 3, *((32, 32) if cifar else (64, 64)))
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    last = module.fc.weight if hasattr(module, "fc") else list(module.parameters())[-2]
    before = last.detach().clone()
    module.train()
    outputs = module(images)  # of all heads, where there are several
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = torch.stack([F.cross_entropy(scores, torch.tensor([0, 1])) for scores in several]).sum()
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in module.parameters())
    optimizer.step()
    assert not torch.equal(last, before)
