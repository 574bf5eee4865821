"""The weights of a network in bfloat16, all cast at once: one kernel in place of two for each layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.networks.compiled import Forward


class CastWeights:
    """The weights of all convolutions and linear layers, as autocast would cast them one by one in each step.

    Values and gradients are the same to the bit. A forward pass runs with copies in bfloat16; after the backward pass,
    `collect` gives their gradients to the weights in float32, which the optimiser updates.
    """

    def __init__(self, network: nn.Module) -> None:
        layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        self.places = [(layer, name) for layer in layers for name, _ in layer.named_parameters(recurse=False)]
        self.weights = [layer.get_parameter(name) for layer, name in self.places]
        self.copies = [nn.Parameter(torch.empty_like(weight, dtype=torch.bfloat16)) for weight in self.weights]
        self.gradients = [torch.empty_like(weight) for weight in self.weights]

    def of(self, run: Forward) -> Forward:
        """Return a forward pass of the network with weights that are cast first."""

        def cast(images: Tensor) -> Tensor:
            with torch.no_grad():
                torch._foreach_copy_([*self.copies], [*self.weights])
            for copy in self.copies:
                copy.grad = None
            self._put(self.copies)
            try:
                return run(images)
            finally:
                self._put(self.weights)

        return cast

    def collect(self) -> None:
        """Set the gradients of the weights from those of the copies; of what the loss leaves out there is none."""
        cast, exact = [], []
        for weight, copy, gradient in zip(self.weights, self.copies, self.gradients, strict=True):
            weight.grad = None if copy.grad is None else gradient
            if copy.grad is not None:
                cast.append(copy.grad)
                exact.append(gradient)
        torch._foreach_copy_(exact, cast)

    def _put(self, parameters: list[nn.Parameter]) -> None:
        for (layer, name), parameter in zip(self.places, parameters, strict=True):
            layer._parameters[name] = parameter
