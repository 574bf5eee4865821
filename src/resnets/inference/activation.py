"""Activations of a network: the features of images, and where in them the evidence for a class is."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks.modes import hooked
from resnets.networks.registry import name_of
from resnets.runtime.device import forward


class Layer(NamedTuple):
    """A call of a layer in a forward pass: its name in the network, and which of its calls it is, from 0."""

    name: str
    call: int = 0


class Activation(NamedTuple):
    """Logits of images, and for a class of each image its map, 0 or more, in no unit.

    Shape: logits (N, classes), maps (N, h, w)
    """

    logits: Tensor
    maps: Tensor


def class_activation(
    network: nn.Module, images: Tensor, classes: Tensor | None = None, *, layer: Layer | None = None
) -> Activation:
    """Return the class activation maps of normalised images, by a network in evaluation mode.

    A map is the positive part of the last maps' sum over the channels, each weighted by the mean gradient of the
    class's logit (Grad-CAM). Where global average pooling and one fc layer follow, that gradient is the fc layer's
    weight over the number of positions, so the map is `weight[k] . features`, the class activation map (CAM). Only what
    follows the last maps is differentiated. Other threads may run the network meanwhile.

    Args:
        network: of this package or any other.
        images: normalised, on the network's device.
        classes: one for each image; None is the most probable one.
        layer: what `last_maps` found, to be found once for many images.

    Shape: (N, C, H, W), (N,) -> (N, classes) and (N, h, w)
    Raises: UsageError, as `last_maps`.
    Paper: Zhou et al., "Learning Deep Features for Discriminative Localization" (2016), section 2; Selvaraju et al.,
        "Grad-CAM" (2017), section 3.
    """
    layer = last_maps(network, images[:1]) if layer is None else layer
    kept: list[Tensor] = []
    calls = 0

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls != layer.call + 1:
            return None
        kept.append(output.detach().requires_grad_())
        torch.set_grad_enabled(True)  # until the block below is left
        return kept[0].clone()  # what follows may change it in place

    with torch.inference_mode(False), torch.no_grad():
        with _hooks({layer.name: network.get_submodule(layer.name)}, lambda _: keep):
            logits = forward(network, images, "fp32")
        chosen = logits.argmax(1) if classes is None else classes.to(logits.device)
        of_class = logits.gather(1, chosen[:, None]).sum()  # images do not depend on each other
        (gradients,) = torch.autograd.grad(of_class, kept[0])
    weights = gradients.mean((2, 3), keepdim=True)  # (N, channels, 1, 1)
    return Activation(logits.detach(), (weights * kept[0].detach()).sum(1).relu())


@dataclass(frozen=True)
class _Seen:
    layer: Layer
    size: tuple[int, ...]
    is_convolution: bool


def last_maps(network: nn.Module, images: Tensor) -> Layer:
    """Return the layer that gives the last maps of a network, of the size of its last convolution's.

    For a residual network it is the last stage; for a VGG network the last ReLU before the last pooling. Maps of one
    pixel do not count.

    Shape: (N, C, H, W), normalised
    Raises: UsageError, if the network has no maps.
    """
    calls: Counter[str] = Counter()
    seen: list[_Seen] = []

    def noting(name: str) -> Any:
        def note(module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
                layer = Layer(name, calls[name])
                seen.append(_Seen(layer, tuple(output.shape[2:]), isinstance(module, nn.Conv2d)))
            calls[name] += 1

        return note

    modules = {name: module for name, module in network.named_modules() if name}
    with torch.inference_mode(False), torch.no_grad(), _hooks(modules, noting):
        forward(network, images, "fp32")
    if not seen:
        raise UsageError(
            f"{name_of(network)} has no layer with maps larger than one pixel for images of "
            f"{images.shape[2]} x {images.shape[3]} pixels, so there is no class activation map"
        )
    last = next((one for one in reversed(seen) if one.is_convolution), seen[-1])
    return next(one.layer for one in reversed(seen) if one.size == last.size)


def features_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the input of the last linear layer or convolution that runs; of maps, the mean over all positions.

    For a residual network it is the last stage's maps after global average pooling, for a VGG network fc7. Other
    threads may run the network meanwhile.

    Shape: (N, C, H, W), normalised -> (N, features)
    """
    last = [images]

    def keep(_module: nn.Module, inputs: tuple[Any, ...], _output: object) -> None:
        last[0] = inputs[0]

    layers: dict[str, nn.Module] = {
        name: one for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)
    }
    with torch.no_grad(), _hooks(layers, lambda _: keep):
        forward(network, images, "fp32")
    return last[0].mean((2, 3)) if last[0].ndim == 4 else last[0].flatten(1)


@contextlib.contextmanager
def _hooks(modules: dict[str, nn.Module], make: Any) -> Iterator[None]:
    """Call a hook, made of its name, after each of these modules, in this thread only."""
    thread = threading.get_ident()

    def only_here(hook: Any) -> Any:
        return lambda *arguments: hook(*arguments) if threading.get_ident() == thread else None

    with hooked((module, only_here(make(name))) for name, module in modules.items()):
        yield
