"""Complexity of a network: parameters, multiply-adds and memory by layer, and the rows of the paper's Table 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnets.errors import UsageError, first_line
from resnets.networks.modes import in_mode
from resnets.networks.registry import build, spec_of
from resnets.networks.stages import Row
from resnets.records.costs import StageCost
from resnets.specs import FunctionSpec, NetworkSpec

_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class LayerCost:
    """One layer's share: a convolution, batch norm, pooling, fully connected or other layer with parameters.

    Units: multiply-adds and float32 bytes of one image; `output_shape` is without the batch.
    """

    name: str
    kind: str  # conv, batch norm, pool, fc, or the name of another class
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Complexity:
    """A network's layers in the order in which an image passes them, and what they come to.

    `macs` counts the multiply-adds of convolutions and fully connected layers, as the paper's "FLOPs" do; biases,
    batch norm, ReLU, pooling and additions count nothing.

    `activation_bytes` is what stays in memory of one image in float32 from the forward to the backward pass: a layer
    keeps its input, a ReLU its output, max pooling 8 bytes for each index. A tensor that several keep counts once,
    for the layer that made it (the image for the first one), so a ReLU or an addition in place is free, and so is
    the output of a projection's batch norm. Not counted: weights, gradients, dropout's masks, and the batch's
    statistics in batch norm. Other activation functions than ReLU count where a layer reads their output.

    Units: multiply-adds and bytes of one image.
    Paper: section 3.3, Table 1 (FLOPs).
    """

    layers: tuple[LayerCost, ...]
    parameters: int
    macs: int
    activation_bytes: int

    @property
    def depth(self) -> int:
        """Convolutions and fully connected layers, projections among them."""
        return sum(layer.kind in ("conv", "fc") for layer in self.layers)


def skeleton(spec: NetworkSpec) -> nn.Module:
    """Return the network of a declaration with memory that nobody has filled: to be measured, not to be used.

    It is made in milliseconds, and its weights take no memory until they are written. What a registered function makes
    is made whole, since it may look at its weights.
    """
    if isinstance(spec, FunctionSpec):
        with torch.random.fork_rng(devices=[]):
            return build(spec)
    with torch.device("meta"):
        network = build(spec)
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return network


def measure(network: nn.Module, input_size: int | None = None, in_channels: int | None = None) -> Complexity:
    """Measure what one square image costs in a network, which may be any module that takes images.

    The module itself runs, in evaluation mode and on a batch of no images, which costs no arithmetic; one that
    cannot take such a batch runs on one image. Its mode is restored. `input_size` and `in_channels` default to those
    of its declaration (`network.spec`).

    Units: pixels for `input_size`.
    Raises: UsageError, if the size is not known, or the network cannot take such images.
    """
    spec = spec_of(network)
    size = spec.input_size if input_size is None and spec is not None else input_size
    channels = in_channels if in_channels is not None else 3 if spec is None else spec.in_channels
    if size is None:
        raise UsageError(
            f"a {type(network).__name__} does not say for which images it is; give input_size=, such as 224"
        )
    if size < 1 or channels < 1:
        raise UsageError(f"images of {channels} x {size} x {size}; channels and size must be 1 or more")
    parameter = next(network.parameters(), torch.empty(0))
    with in_mode(network, training=False):
        for count in (0, 1):
            images = torch.zeros(count, channels, size, size, device=parameter.device, dtype=parameter.dtype)
            try:
                return _run(network, images)
            except (RuntimeError, ValueError) as error:
                problem = first_line(error)
    raise UsageError(f"a {type(network).__name__} cannot take images of {channels} x {size} x {size}: {problem}")


def _run(network: nn.Module, images: Tensor) -> Complexity:
    recorder = _Recorder(network)
    try:
        with torch.no_grad():
            network(images)
    finally:
        recorder.remove()
    layers = recorder.layers()
    return Complexity(
        layers=layers,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=sum(layer.activation_bytes for layer in layers),
    )


class _Recorder:
    """Notes the calls of the layers of a network, and which pieces of memory they make and keep.

    A piece of memory is known by its storage object, which is held, so that no other one takes its place.
    """

    def __init__(self, network: nn.Module) -> None:
        self.calls: list[tuple[str, nn.Module]] = []
        self.shapes: list[tuple[int, ...]] = []  # of each call's output, without the batch
        self.maker: dict[torch.UntypedStorage, int] = {}  # the call whose output it is
        self.kept: dict[torch.UntypedStorage, int] = {}  # numbers of an image
        self.owner: dict[torch.UntypedStorage, int] = {}  # the call that it counts for
        self.hooks: list[RemovableHandle] = []
        for name, module in network.named_modules():
            if isinstance(module, nn.ReLU):
                self.hooks.append(module.register_forward_hook(self.after_relu))
            elif isinstance(module, _POOLING) or any(True for _ in module.parameters(recurse=False)):
                self.hooks.append(module.register_forward_pre_hook(partial(self.before, name)))
                self.hooks.append(module.register_forward_hook(partial(self.after, name)))

    def before(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        for tensor in inputs:
            self.keep(tensor, len(self.calls))

    def after(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            self.maker.setdefault(output.untyped_storage(), len(self.calls))
        self.shapes.append(tuple(output.shape[1:]) if isinstance(output, Tensor) else ())
        self.calls.append((name, module))

    def after_relu(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.keep(output, len(self.calls) - 1)

    def keep(self, tensor: Any, call: int) -> None:
        if isinstance(tensor, Tensor) and (memory := tensor.untyped_storage()) not in self.kept:
            self.kept[memory] = math.prod(tensor.shape[1:])
            self.owner[memory] = self.maker.get(memory, max(call, 0))

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def layers(self) -> tuple[LayerCost, ...]:
        activations: Counter[int] = Counter()
        for memory, numbers in self.kept.items():
            activations[self.owner[memory]] += 4 * numbers
        counted: set[nn.Module] = set()
        result = []
        for call, ((name, module), shape) in enumerate(zip(self.calls, self.shapes, strict=True)):
            weights = [] if module in counted else module.parameters(recurse=False)
            counted.add(module)
            indices = 8 * math.prod(shape) if isinstance(module, nn.MaxPool2d) else 0
            result.append(
                LayerCost(
                    name=name,
                    kind=_kind(module),
                    output_shape=shape,
                    parameters=sum(weight.numel() for weight in weights),
                    macs=math.prod(shape) * _macs_per_output(module),
                    activation_bytes=activations[call] + indices,
                )
            )
        return tuple(result)


def _macs_per_output(module: nn.Module) -> int:
    if isinstance(module, nn.Conv2d):
        return module.in_channels // module.groups * math.prod(module.kernel_size)
    return module.in_features if isinstance(module, nn.Linear) else 0


def _kind(module: nn.Module) -> str:
    kinds = {nn.Conv2d: "conv", nn.BatchNorm2d: "batch norm", nn.Linear: "fc"} | dict.fromkeys(_POOLING, "pool")
    return next((kind for known, kind in kinds.items() if isinstance(module, known)), type(module).__name__)


# ---------------------------------------------------------------- Table 1


def stages(network: nn.Module, input_size: int | None = None) -> tuple[StageCost, ...]:
    """Return a network's column of Table 1: a row for each stage, with the size of its output.

    The network says which, by `rows()`; without it, each of its parts is a row.

    Units: pixels for sizes, multiply-adds of one image.
    Paper: Table 1; section 4.2's table for the CIFAR type; Figure 3 (left) for VGG.
    """
    layers = measure(network, input_size).layers
    rows: Callable[[], list[Row]] = getattr(network, "rows", partial(_parts, network))
    result = []
    for row in rows():
        own = [layer for layer in layers if any(f"{layer.name}.".startswith(f"{name}.") for name in row.modules)]
        if own:
            height, width = own[-1].output_shape[1:] if len(own[-1].output_shape) == 3 else (1, 1)
            parameters, macs = sum(layer.parameters for layer in own), sum(layer.macs for layer in own)
            size = (height, width)
            cost = StageCost(name=row.name, output_size=size, layers=row.layers, parameters=parameters, macs=macs)
            result.append(cost)
    return tuple(result)


def _parts(network: nn.Module) -> list[Row]:
    return [Row(name, [name], type(module).__name__) for name, module in network.named_children()]
