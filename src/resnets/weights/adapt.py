"""Weights for a network of other input channels, as timm adapts them, or with other auxiliary classifiers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from resnets.networks.complexity import skeleton
from resnets.networks.registry import spec_of
from resnets.specs import NetworkSpec

Tensors = dict[str, Tensor]


def adapted_channels(weight: Tensor, channels: int) -> Tensor:
    """Return a convolution's weight for other input channels: summed for one, else repeated and rescaled.

    Shape: (O, C, H, W) -> (O, channels, H, W)
    """
    own = weight.shape[1]
    if channels == own:
        return weight
    if channels == 1:
        return weight.float().sum(dim=1, keepdim=True)
    repeated = weight.float().repeat(1, math.ceil(channels / own), 1, 1)[:, :channels]
    return repeated * (own / channels)


def separable_channels(depthwise: Tensor, pointwise: Tensor, channels: int, each: int) -> tuple[Tensor, Tensor]:
    """Return both weights of a separable convolution, of `each` maps of a channel, for other input channels.

    They are repeated and rescaled; for one channel they are the nearest to the sum of all, in least squares.

    Shape: (C * each, 1, H, W), (O, C * each, 1, 1) -> (channels * each, 1, H, W), (O, channels * each, 1, 1)
    """
    own, outputs, kernel = len(depthwise) // each, len(pointwise), depthwise.shape[2:]
    if channels == 1:
        left, values, right = torch.linalg.svd(pointwise.flatten(1).double() @ depthwise.flatten(1).double())
        left, right = left[:, :each] * values[:each], right[:each]
        return right.reshape(each, 1, *kernel).float(), left.reshape(outputs, each, 1, 1).float()
    times = math.ceil(channels / own)
    filters = depthwise.float().repeat(times, 1, 1, 1)[: channels * each]
    combined = pointwise.float().repeat(1, times, 1, 1)[:, : channels * each]
    return filters, combined * (own / channels)


def with_channels_of(network: nn.Module, tensors: Tensors) -> tuple[Tensors, str | None]:
    """Return weights for the input channels of a network, and a note on what was done where those are others."""
    name, _, field = next(iter(network.state_dict()), "").rpartition(".")
    first = network.get_submodule(name)
    if not isinstance(first, nn.Conv2d) or f"{name}.{field}" not in tensors:
        return tensors, None
    key, channels = f"{name}.{field}", first.in_channels
    weight, new = tensors[key], dict(tensors)
    if weight.dim() != 4:
        return tensors, None
    second = f"{name.removesuffix('depthwise')}conv.{field}"
    if name.endswith("depthwise") and second in tensors:
        each = first.out_channels // first.groups
        own = len(weight) // each
        if own == channels:
            return tensors, None
        new[key], new[second] = separable_channels(weight, tensors[second], channels, each)
    else:
        own = weight.shape[1]
        if own == channels:
            return tensors, None
        new[key] = adapted_channels(weight, channels)
    how = "summed" if channels == 1 else "repeated and rescaled"
    return new, f"is for images of {own} channels; its first layer is {how} for {channels}"


def with_auxiliary_of(network: nn.Module, tensors: Tensors, spec: NetworkSpec | None) -> tuple[Tensors, str | None]:
    """Return weights with the auxiliary classifiers that a network has, and a note where that is another choice.

    `spec` is the declaration of the network that the weights are of. Classifiers that they lack stay the network's.
    """
    needed = spec_of(network)
    if spec is None or type(spec) is not type(needed):
        return tensors, None
    has, needs = (getattr(one, "auxiliary", None) for one in (spec, needed))
    if has and not needs:
        theirs = _auxiliary(skeleton(spec))
        kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(theirs)}
        return kept, "has auxiliary classifiers, which are left out"
    if needs and not has:
        new = {key: tensor for key, tensor in network.state_dict().items() if key.startswith(_auxiliary(network))}
        return tensors | new, "has no auxiliary classifiers; those of the network are new"
    return tensors, None


def _auxiliary(network: nn.Module) -> tuple[str, ...]:
    """Return how the names of a network's auxiliary classifiers start."""
    layers: tuple[str, ...] = getattr(network, "score_layers", ())
    return tuple(f"{layer.partition('.')[0]}." for layer in layers[1:])
