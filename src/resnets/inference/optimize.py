"""`optimize`: a network or a trained model, run by the fastest engine that this machine has."""

from __future__ import annotations

import dataclasses
from typing import overload

from torch import nn

from resnets.errors import UsageError, public
from resnets.inference.engine import Engine, fastest
from resnets.inference.model import Model
from resnets.networks.registry import spec_of
from resnets.runtime.device import choose_device, choose_precision


@overload
def optimize(
    network: Model,
    *,
    batch_size: int = ...,
    input_size: int | None = ...,
    engine: str = ...,
    precision: str = ...,
    device: str = ...,
) -> Model: ...


@overload
def optimize(
    network: nn.Module,
    *,
    batch_size: int = ...,
    input_size: int | None = ...,
    engine: str = ...,
    precision: str = ...,
    device: str = ...,
) -> Engine: ...


@public
def optimize(
    network: Model | nn.Module,
    *,
    batch_size: int = 1,
    input_size: int | None = None,
    engine: str = "auto",
    precision: str = "auto",
    device: str = "auto",
) -> Model | Engine:
    """Return a model that predicts with the fastest engine here, or for a module the engine itself.

    An engine maps images to logits as the network did in evaluation mode when the engine was made.

    Args:
        network: a loaded model or any module.
        batch_size: images per batch, for the measurement.
        input_size: side of the images in pixels, needed only for a module that is not of this package.
        engine: `eager`, `openvino`, `compile`, or `auto`, which measures them.
        precision: `fp32`, `bf16`, or `auto`, which is bf16 on devices with native support.
        device: `auto` is a model's own device, else the first GPU, else the CPU.

    Shape: an engine maps (N, C, H, W) -> (N, classes)
    Raises: UsageError, if an engine, a precision or a device is not available, or the network does not map images to
        logits.
    """
    if isinstance(network, Model):
        model, module = network, network.network
        on = model.device if device == "auto" else choose_device(device)
    else:
        model, module = None, network
        on = choose_device(device)
    input_spec = model.input_spec if model is not None else None
    spec = spec_of(module)
    own_size = None if spec is None else spec.input_size
    size = input_size or (own_size if input_spec is None else input_spec.size)
    if size is None:
        raise UsageError(f"{type(module).__name__} does not have the size of its images; pass input_size=")
    channels = input_spec.channels if input_spec is not None else _channels(module)
    found = fastest(
        module,
        shape=(channels, size, size),
        batch_size=batch_size,
        device=on,
        precision=choose_precision(precision, on),
        engine=engine,
    )
    return found if model is None else dataclasses.replace(model, engine=found)


def _channels(network: nn.Module) -> int:
    if (spec := spec_of(network)) is not None:
        return spec.in_channels
    return next((module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d)), 3)
