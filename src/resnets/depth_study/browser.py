"""Trained networks as data for the JavaScript of a page (`templates/networks.js`), which computes what they would."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from resnets.data.normalization import normalize
from resnets.inference.model import Model
from resnets.networks.blocks import Block
from resnets.networks.resnet import ResNet
from resnets.networks.shortcuts import ZeroPad


def as_data(model: Model) -> dict[str, Any]:
    """Return a CIFAR-type network without projections as JSON values: its layers, and all weights in one base64 text.

    Batch norm is merged into the convolutions. The weights, float32 and little endian, are in the order of the layers:
    the offset of the input's pixels, then of each convolution and of the classifier the weight and the bias.
    """
    network, spec = model.network, model.input_spec
    assert isinstance(network, ResNet) and spec is not None and model.classes is not None
    grey = np.stack([np.full((spec.size, spec.size, spec.channels), value, np.uint8) for value in (0, 255)])
    black, white = normalize(grey, spec).transpose(0, 3, 1, 2)  # each (C, H, W)
    weights: list[NDArray[Any]] = [black]

    def convolution(conv: nn.Module, norm: nn.Module) -> list[int]:
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        weights.extend(_merged(conv, norm))
        return [conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0]]

    stem = convolution(network.conv1, network.bn1)
    blocks = []
    for block in network.blocks():
        chain = [
            convolution(block.get_submodule(f"conv{number}"), block.get_submodule(f"bn{number}"))
            for number in range(1, block.depth + 1)
        ]
        blocks.append({"convolutions": chain, "skip": _skip(block)})
    weights += [parameter.detach().numpy() for parameter in (network.fc.weight, network.fc.bias)]
    return {
        "size": spec.size,
        "channels": spec.channels,
        "scale": float((white - black).reshape(-1)[0] / 255),
        "classes": list(model.classes),
        "stem": stem,
        "blocks": blocks,
        "weights": base64.b64encode(np.concatenate([one.ravel() for one in weights]).astype("<f4").tobytes()).decode(),
    }


def _merged(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> list[NDArray[np.float64]]:
    """Return the weight and the bias of a convolution that also does what its batch norm does."""
    assert norm.running_mean is not None and norm.running_var is not None
    state = [value.detach().double() for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)]
    mean, var, scale, shift = state
    merged = fuse_conv_bn_weights(conv.weight.detach().double(), None, mean, var, norm.eps, scale, shift)
    return [value.detach().numpy() for value in merged]


def _skip(block: Block) -> dict[str, int] | None:
    """Return the zero channels before the identity's and the stride of a shortcut, or None of a plain block."""
    if not block.residual:
        return None
    shortcut = block.downsample
    assert shortcut is None or isinstance(shortcut, ZeroPad)
    return {"before": shortcut.before, "stride": shortcut.stride} if shortcut else {"before": 0, "stride": 1}
