"""Everything that training changes, in one place: what a checkpoint holds is exactly this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from resnets.runtime.processes import ALONE, World
from resnets.specs import Recipe
from resnets.training.averaging import Average
from resnets.training.guard import LossGuard
from resnets.training.schedule import Schedule
from resnets.weights.weights_file import load_into


@dataclass
class Meter:
    """Loss and training error summed since the last line of the log, on the device that computes them."""

    loss_sum: Tensor
    wrong: Tensor
    images: int = 0

    def add(self, loss: Tensor, wrong: Tensor, images: int) -> None:
        """Add one mini-batch on the device: its mean loss and its wrong answers; `images` the caller counts."""
        self.loss_sum += loss.detach().double() * images
        self.wrong += wrong

    def gather(self, world: World) -> None:
        """Bring the sums of all processes to the first; the others start anew."""
        if world.size == 1:
            return
        sums = torch.stack([self.loss_sum, self.wrong.double(), torch.full_like(self.loss_sum, self.images)])
        loss_sum, wrong, images = world.sum(sums)
        self.reset()
        if world.first:
            self.loss_sum += loss_sum
            self.wrong += wrong.long()
            self.images = int(images)

    def reset(self) -> None:
        """Start anew."""
        self.loss_sum.zero_()
        self.wrong.zero_()
        self.images = 0


@dataclass
class Clock:
    """Seconds that a run has taken, over all its interruptions."""

    training: float = 0.0
    testing: float = 0.0


@dataclass
class TrainingState:
    """A network in training."""

    network: nn.Module
    optimizer: torch.optim.SGD
    schedule: Schedule
    meter: Meter
    guard: LossGuard
    iteration: int = 0  # mini-batches done
    lr: float = 0.0  # of the last one
    clock: Clock = field(default_factory=Clock)
    average: Average | None = None
    execution: str | None = None  # eager or compiled, and whether steps replay a CUDA graph; None: not known yet

    @classmethod
    def start(cls, network: nn.Module, recipe: Recipe, device: torch.device, world: World = ALONE) -> TrainingState:
        """Return the state before the first iteration of a network on its device."""
        optimizer = torch.optim.SGD(
            _decaying(network, recipe),
            torch.tensor(recipe.lr, device=device) if device.type == "cuda" else recipe.lr,  # a graph reads it there
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        if recipe.momentum:
            # from zero, as if torch had done it, which cannot begin with only some parameters having a gradient
            for parameter in filter(lambda parameter: parameter.requires_grad, network.parameters()):
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        depth = getattr(getattr(network, "spec", None), "depth", None)
        meter = Meter(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        )
        guard = LossGuard(optimizer, device, deferred=device.type == "cuda", together=world.size > 1)
        average = None if recipe.ema is None else Average(network, recipe.ema)
        return cls(network, optimizer, Schedule(recipe, depth), meter, guard, average=average)

    @property
    def tested(self) -> nn.Module:
        """The network that is tested: the average of the weights, where the recipe has one."""
        return self.network if self.average is None else self.average.network

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        if lr == self.lr:  # a GPU is spared a kernel
            return
        self.lr = lr
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name: weights, batch norm statistics, momentum, sums and random states."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.network.state_dict().items()}
        tensors |= self._momentum()
        tensors["meter.loss_sum"], tensors["meter.wrong"] = self.meter.loss_sum, self.meter.wrong
        tensors["random.cpu"] = torch.random.get_rng_state()
        device = self.meter.loss_sum.device
        if device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(device)
        return tensors

    def _momentum(self) -> dict[str, Tensor]:
        state = self.optimizer.state
        named = self.network.named_parameters()
        return {f"momentum.{name}": state[p]["momentum_buffer"] for name, p in named if p in state}

    def scalars(self) -> dict[str, Any]:
        """Return everything else, JSON-ready."""
        return {
            "iteration": self.iteration,
            "schedule": self.schedule.state(),
            "images": self.meter.images,
            "clock": msgspec.to_builtins(self.clock),
        }

    def spread(self, world: World) -> None:
        """Give all processes the state of the first; sums and clock are its own."""
        scalars = world.tell(self.scalars)
        self.schedule.restore(scalars["schedule"])
        self.iteration = scalars["iteration"]
        world.spread([*self.network.state_dict().values(), *self._momentum().values()])
        if self.average is not None:
            world.spread(self.average.network.state_dict().values())

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Restore what `tensors` and `scalars` returned.

        Raises: WeightsError, KeyError or RuntimeError, if they are of another network or no such state at all.
        """
        load_into(self.network, _named(tensors, "network."))
        if self.average is not None:
            load_into(self.average.network, _named(tensors, "average."))
        for name, momentum in self._momentum().items():
            momentum.copy_(tensors[name])
        self.meter.loss_sum.copy_(tensors["meter.loss_sum"])
        self.meter.wrong.copy_(tensors["meter.wrong"])
        self.meter.images = scalars["images"]
        torch.random.set_rng_state(tensors["random.cpu"])
        device = self.meter.loss_sum.device
        if "random.cuda" in tensors and device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], device)
        self.schedule.restore(scalars["schedule"])
        self.iteration = scalars["iteration"]
        self.clock = Clock(**scalars["clock"])


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _decaying(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parameters in groups that decay and that do not."""
    parameters = list(network.parameters())
    if recipe.decay_all:
        return [{"params": parameters}]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]  # of batch norm, and biases
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": vectors, "weight_decay": 0.0},
    ]
