"""Features of images: what a network's classifier is given."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

from resnets.runtime.device import forward


def features_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the input of the last linear layer or convolution that runs; of maps, the mean over all positions.

    For a residual network it is the last stage's maps after global average pooling, for a VGG network fc7. Other
    threads may run the network meanwhile.

    Shape: (N, C, H, W), normalised -> (N, features)
    """
    thread, last = threading.get_ident(), [images]

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if threading.get_ident() == thread:
            last[0] = inputs[0]

    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        with torch.no_grad():
            forward(network, images, "fp32")
    finally:
        for hook in hooks:
            hook.remove()
    return last[0].mean((2, 3)) if last[0].ndim == 4 else last[0].flatten(1)
