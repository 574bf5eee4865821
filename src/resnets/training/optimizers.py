"""Optimisers as recipes declare them: groups of parameters, their rates, and limits of their norms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.specs import ParameterGroup, Recipe

NAMES = {"momentum_buffer": "momentum"}
"""What the tensors of torch's optimisers are called in checkpoints, where that is not torch's name."""

RMS_DECAY, RMS_FLOOR = 0.9, 1e-5  # of RMSProp, as FitNet's authors have them


Parameters = Iterable[tuple[str, nn.Parameter]]
"""What is trained, by the names that a recipe's groups refer to."""


def make_optimizer(trained: Parameters, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """Return the optimiser of parameters on their device; on a GPU a graph reads its rates from tensors."""
    trained = list(trained)
    fused = device.type in ("cpu", "cuda")
    groups = _groups(trained, recipe)
    for group in groups:
        rate = recipe.lr * group["factor"]
        in_tensor = device.type == "cuda" and recipe.optimizer == "sgd"
        group["lr"] = torch.tensor(rate, device=device) if in_tensor else rate
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)
    else:
        optimizer = torch.optim.RMSprop(groups, alpha=RMS_DECAY, eps=RMS_FLOOR, momentum=recipe.momentum)
    for parameter in (one for _, one in trained if one.requires_grad):
        # from zero, as torch would, if it could start while only some parameters have a gradient
        zeros = {"momentum_buffer": torch.zeros_like(parameter)} if recipe.momentum else {}
        if recipe.optimizer == "rmsprop":
            zeros |= {"step": torch.zeros(()), "square_avg": torch.zeros_like(parameter)}
        if zeros:
            optimizer.state[parameter].update(zeros)
    if any(math.isfinite(group["max_norm"]) for group in groups):
        optimizer.register_step_post_hook(_limit)
    return optimizer


def require_groups(trained: Parameters, recipe: Recipe) -> None:
    """Verify that each group of a recipe has parameters. Raises: UsageError, naming one that has none."""
    names = [name for name, _ in trained]
    for group in recipe.groups:
        if not group.optional and not any(re.fullmatch(group.names, name) for name in names):
            raise UsageError(
                f"the group {group.names!r} of recipe {recipe.name!r} has no parameters in this network, whose names "
                f"are such as {', '.join(names[:3])}; take another recipe or network"
            )


def set_rates(optimizer: torch.optim.Optimizer, lr: float, iteration: int) -> None:
    """Set the rates of all groups for an iteration, counted from 0, from the recipe's rate."""
    for group in optimizer.param_groups:
        rate = lr * group["factor"]
        for grows, power in group["fades"]:
            rate *= (1 + grows * iteration) ** -power
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def fades(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether the rate of a group changes at each iteration, also where the recipe's does not."""
    return any(group["fades"] for group in optimizer.param_groups)


def tensors_of(optimizer: torch.optim.Optimizer, trained: Parameters) -> Iterator[tuple[str, Tensor]]:
    """Yield what an optimiser has of each parameter, as `momentum.NAME`: what a checkpoint has to hold."""
    for name, parameter in trained:
        for key, tensor in optimizer.state.get(parameter, {}).items():
            yield f"{NAMES.get(key, key)}.{name}", tensor


@torch.no_grad()
def _limit(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Scale down the weights of each output whose norm is above the limit of its group; a vector has no limit."""
    for group in optimizer.param_groups:
        if math.isfinite(group["max_norm"]):
            for parameter in (one for one in group["params"] if one.ndim > 1):
                parameter.renorm_(2, 0, group["max_norm"])


def _groups(trained: Parameters, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parameters in groups of equal factors."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in trained:
        own = [group for group in recipe.groups if re.fullmatch(group.names, name)]
        settings = _settings(own, recipe, is_vector=parameter.ndim <= 1)
        group = found.setdefault(tuple(settings.values()), {"params": [], **settings})
        group["params"].append(parameter)
    return list(found.values())


def _settings(own: list[ParameterGroup], recipe: Recipe, *, is_vector: bool) -> dict[str, Any]:
    """Return the settings of a parameter of these groups; `is_vector`: of batch norm, or a bias."""
    decays = recipe.decay_all or not is_vector
    return {
        "factor": math.prod(group.lr for group in own),
        "fades": tuple(group.fade for group in own if group.fade is not None),
        "weight_decay": recipe.weight_decay * math.prod(group.weight_decay for group in own) if decays else 0.0,
        "max_norm": min((group.max_norm for group in own if group.max_norm is not None), default=math.inf),
    }
