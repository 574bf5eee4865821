"""Graph to export: the network, or the network with its normalisation before it, and its metadata."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from resnets.data.normalization import divisor_of, mean_of, std_of
from resnets.files import sha256_of, to_json
from resnets.inference.model import Model
from resnets.networks.registry import name_of, spec_of
from resnets.specs import InputSpec
from resnets.version import __version__


class FromPixels(nn.Module):
    """A network with its normalisation before it, in the order of operations of `normalize`.

    Shape: (N, size, size, channels) uint8 -> (N, classes)
    """

    mean: Tensor
    std: Tensor | None

    def __init__(self, network: nn.Module, input_spec: InputSpec) -> None:
        super().__init__()
        mean = mean_of(input_spec) if input_spec.mean_image is not None else mean_of(input_spec)[0, 0]
        std = std_of(input_spec)
        self.network = network
        self.reversed = input_spec.channel_order == "BGR"
        self.divisor = divisor_of(input_spec)
        self.register_buffer("mean", torch.from_numpy(np.array(mean)))
        self.register_buffer("std", None if std is None else torch.from_numpy(std))

    def forward(self, images: Tensor) -> Tensor:
        x = (images.flip(-1) if self.reversed else images).float() / self.divisor - self.mean
        if self.std is not None:
            x = x / self.std
        return self.network(x.permute(0, 3, 1, 2))


def about(model: Model, *, from_pixels: bool) -> dict[str, str]:
    """Return what a program that runs the network needs to know, and where it comes from; lists and objects are JSON.

    Raises: WeightsError, if the weights have no classes and input.
    """
    classes, input_spec = model.classes_and_input()
    spec = spec_of(model.network)
    known = {} if model.calibration is None else {"calibration": to_json(msgspec.to_builtins(model.calibration))}
    return {
        "network": name_of(model.network) if spec is None else spec.in_words(),
        "classes": to_json(classes),
        "input": to_json(msgspec.to_builtins(input_spec)),
        "takes": "pixels" if from_pixels else "normalized",
        **known,
        "source": "/".join(model.path.parts[-2:]),
        "source_sha256": sha256_of(model.path),
        "resnets_version": __version__,
    }
