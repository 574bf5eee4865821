"""Networks tried before they are trained: what cannot be trained is refused before its folder is made."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from resnets.errors import ResnetsError, UsageError, first_line
from resnets.networks.modes import in_mode
from resnets.networks.registry import name_of
from resnets.runtime.device import forward, place
from resnets.specs import Precision, Recipe


def require_trainable(network: nn.Module, recipe: Recipe) -> None:
    """Refuse a module that no recipe can train, or whose state a checkpoint cannot hold.

    Raises: UsageError, naming the part, for lazy layers, no parameter to train, sparse gradients, extra state that is
        no tensor, or with a moving average a module that cannot be copied.
    """
    name = name_of(network)
    parameters = dict(network.named_parameters())
    for key, parameter in parameters.items():
        if is_lazy(parameter):
            raise UsageError(f"{name} has a lazy layer, of {key}: call the module once on a mini-batch of images first")
    if not any(parameter.requires_grad for parameter in parameters.values()):
        why = "all of its parameters are frozen, requires_grad=False" if parameters else "it has no parameters"
        raise UsageError(f"{name} is not trainable: {why}")
    for key, module in network.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise UsageError(f"{name}: the gradient of {key} is sparse; it must be dense, of sparse=False")
    for key, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise UsageError(
                f"{name}: {key!r} of its state_dict is of type {type(value).__name__}; a checkpoint holds tensors, so "
                f"get_extra_state must return one"
            )
    if recipe.ema is not None:
        try:
            copy.deepcopy(network)
        except Exception as error:  # such as of a tensor that is computed from parameters, as torch's old weight_norm
            raise UsageError(f"{name} cannot be copied, and ema needs a copy: {first_line(error)}") from error


def require_scores(
    network: nn.Module, shapes: Iterable[tuple[int, ...]], classes: int, device: torch.device, precision: Precision
) -> None:
    """Run a network on a device in evaluation mode on black images, and verify that it gives a score of each class.

    It runs as a copy, since a module may count its calls; where it cannot be copied, itself.

    Shape: each of `shapes` is that of an image, (C, H, W)
    Raises: UsageError, if it fails, or its scores are not (N, classes).
    """
    name = name_of(network)
    with contextlib.suppress(Exception):
        network = copy.deepcopy(network)
    place(network, device)
    cuda = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(cuda), in_mode(network, training=False):
        for shape in shapes:
            what = f"images of {' x '.join(map(str, shape))} (channels, pixels)"
            try:
                scores = forward(network, torch.zeros(2, *shape, device=device), precision)
            except ResnetsError:
                raise
            except Exception as error:  # whatever the module raises
                raise UsageError(f"{name} fails for {what}: {type(error).__name__}: {first_line(error)}") from error
            if scores.shape != (2, classes):
                raise UsageError(
                    f"{name} gives scores of the shape {tuple(scores.shape)} for 2 {what}; it must be (2, {classes}), "
                    f"a score of each of the {classes} classes for each image"
                )
