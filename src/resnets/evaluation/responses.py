"""How strongly the layers of a trained network respond. Paper: section 4.2, "Analysis of Layer Responses", Figure 7."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnets.data.datasets import Images
from resnets.data.pipeline import single_pass
from resnets.errors import UsageError
from resnets.evaluation.protocols import in_evaluation_mode
from resnets.networks.execution import forward
from resnets.networks.inference import BATCH_ON_CPU
from resnets.specs import InputConvention


@dataclass
class _Sums:
    """Of all numbers that a layer gave, in double precision, so that it is of no account how batches were cut."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, output: Tensor) -> None:
        values = output.detach().double().flatten()
        self.count += values.numel()
        self.total += float(values.sum())
        self.squares += float(values.dot(values))

    @property
    def std(self) -> float:
        mean = self.total / self.count
        return math.sqrt(max(0.0, self.squares / self.count - mean * mean))


def responding_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of Figure 7 by their names, in order, each with the batch norm that follows it.

    These are the first convolution (3x3, and 7x7 in an ImageNet-type network) and every other 3x3 convolution: 6n + 1
    in a CIFAR-type network, as on the axis of the figure. Projections and the 1x1 layers of bottlenecks are none.

    Raises: UsageError, if there are none.
    """
    found: dict[str, nn.Module] = {}
    modules = dict(network.named_modules())
    for name, module in modules.items():
        parent, _, own = name.rpartition(".")
        norm = modules.get(f"{parent}.bn{own[4:]}".lstrip("."))
        if not (own.startswith("conv") and isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            continue
        if module.kernel_size == (3, 3) or not found:
            found[name] = norm
    if not found:
        raise UsageError(
            f"{type(network).__name__} has no convolutions conv1, conv2, ... with batch norms bn1, bn2, ... after "
            f"them, so there are no responses to measure"
        )
    return found


@torch.inference_mode()
def layer_deviations(
    network: nn.Module,
    split: Images,
    convention: InputConvention | None,
    *,
    device: torch.device,
    batch_size: int = 256,
    workers: int = 0,
) -> dict[str, float]:
    """Return the standard deviation of each layer's response to a split, by the layer's name, in order.

    A response is a layer's output after batch norm, before ReLU (the first layer of a block) or the addition (the
    last). What the paper leaves open: the deviation is of all images, channels and positions at once, each image seen
    once as it is, and batch norm works with its running statistics, as in testing.

    Raises: UsageError, if the network has no such layers.
    Paper: section 4.2, Figure 7.
    """
    norms = responding_layers(network)
    sums = {name: _Sums() for name in norms}
    at_once = min(batch_size, BATCH_ON_CPU) if device.type == "cpu" else batch_size
    # of a module in evaluation mode a hook is given the output before anything is added to it or cut off in place
    hooks = [norm.register_forward_hook(_adding_to(sums[name])) for name, norm in norms.items()]
    try:
        with in_evaluation_mode(network):
            for images, _ in single_pass(split, convention, batch_size=batch_size, workers=workers):
                for part in images.split(at_once):
                    forward(network, part.to(device), "fp32")
    finally:
        for hook in hooks:
            hook.remove()
    return {name: found.std for name, found in sums.items()}


def _adding_to(sums: _Sums) -> Callable[[nn.Module, object, Tensor], None]:
    return lambda _module, _inputs, output: sums.add(output)
