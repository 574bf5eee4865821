"""Everything that training changes, in one place: what a checkpoint holds is exactly this."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from resnets.networks.registry import spec_of
from resnets.records.checkpoints import Progress
from resnets.records.runs import CurvePoint, LogLine
from resnets.runtime.processes import ALONE, World
from resnets.specs import Recipe
from resnets.training.meter import Clock, LossGuard, Meter
from resnets.training.optimizers import fades, make_optimizer, set_rates, tensors_of
from resnets.training.schedule import Schedule
from resnets.weights.weights_file import load_into


class Average:
    """A copy of a network whose weights and batch-norm statistics follow it, a little at each iteration.

    The decay is at most (1 + t) / (10 + t) after t iterations, so that the initial weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.places = list(zip(_places(self.network), _places(network), strict=True))

    @torch.no_grad()
    def update(self, iterations: int) -> None:
        """Follow the network after `iterations` iterations.

        Its tensors are looked up each time: a module may assign a buffer, `self.mean = ...`, instead of changing it,
        and under autocast in another type.
        """
        decay = min(self.decay, (1 + iterations) / (10 + iterations))
        pairs = [(own[name], theirs[name].to(own[name])) for (own, name), (theirs, _) in self.places]
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        get_ema_multi_avg_fn(decay)([mine for mine, _ in averaged], [other for _, other in averaged], iterations)
        if counters:
            torch._foreach_copy_([mine for mine, _ in counters], [other for _, other in counters])


def _places(network: nn.Module) -> list[tuple[dict[str, Any], str]]:
    """Return where each parameter and buffer of a network is kept: the dictionary of its module, and its name there."""
    found = []
    for kind, named in (("_parameters", network.named_parameters()), ("_buffers", network.named_buffers())):
        for path, _ in named:
            module, _, name = path.rpartition(".")
            found.append((getattr(network.get_submodule(module), kind), name))
    return found


@dataclass
class TrainingState:
    """A network in training."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    meter: Meter
    guard: LossGuard
    iteration: int = 0  # mini-batches done
    lr: float = 0.0  # of the last one
    clock: Clock = field(default_factory=Clock)
    average: Average | None = None
    regressor: nn.Module | None = None  # of a teacher's hint, which is trained with the network
    curve: list[CurvePoint] = field(default_factory=list)
    since_point: tuple[int, float] = (0, 0.0)  # images and wrong answers, since the last point
    execution: str | None = None  # eager or compiled, and whether steps replay a CUDA graph; None: not known yet

    @classmethod
    def start(
        cls,
        network: nn.Module,
        recipe: Recipe,
        device: torch.device,
        world: World = ALONE,
        regressor: nn.Module | None = None,
    ) -> TrainingState:
        """Return the state before the first iteration of a network on its device."""
        optimizer = make_optimizer(trained_parameters(network, regressor), recipe, device)
        spec = spec_of(network)
        meter = Meter(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        )
        deferred = device.type == "cuda" and recipe.optimizer == "sgd"  # which is fused
        guard = LossGuard(optimizer, device, deferred=deferred, together=world.size > 1)
        average = None if recipe.ema is None else Average(network, recipe.ema)
        depth = None if spec is None else spec.depth
        return cls(network, optimizer, Schedule(recipe, depth), meter, guard, average=average, regressor=regressor)

    @property
    def tested(self) -> nn.Module:
        """The network that is tested: the average of the weights, where the recipe has one."""
        return self.network if self.average is None else self.average.network

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        if lr == self.lr and not fades(self.optimizer):  # a GPU is spared a kernel
            return
        self.lr = lr
        set_rates(self.optimizer, lr, self.iteration)

    def add_to_curve(self, line: LogLine, tested: dict[str, float]) -> None:
        """Take note of a line of the log, and where it has a test's errors, add a point to the curve."""
        images, wrong = self.since_point
        images, wrong = images + line.images, wrong + line.images * line.training_error
        errors = {name: value for name, value in tested.items() if name in ("test_error", "validation_error")}
        if errors:
            self.curve.append(CurvePoint(iteration=line.iteration, training_error=wrong / images, **errors))
            images, wrong = 0, 0.0
        self.since_point = (images, wrong)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name: weights, batch norm statistics, momentum, sums and random states."""
        tensors = {
            f"{part}.{name}": tensor
            for part, module in self._modules().items()
            for name, tensor in module.state_dict().items()
        }
        tensors |= self._of_optimizer()
        tensors["meter.loss_sum"], tensors["meter.wrong"] = self.meter.loss_sum, self.meter.wrong
        tensors["random.cpu"] = torch.random.get_rng_state()
        device = self.meter.loss_sum.device
        if device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(device)
        return tensors

    def progress(self) -> Progress:
        """Return everything else."""
        return Progress(
            iteration=self.iteration,
            schedule=self.schedule.state(),
            images=self.meter.images,
            clock=(self.clock.training, self.clock.testing),
            curve=tuple(self.curve),
            since_point=self.since_point,
        )

    def broadcast(self, world: World) -> None:
        """Give all processes the state of the first; sums and clock are its own."""
        self._restore_progress(world.broadcast_object(self.progress))
        world.broadcast([*self.network.state_dict().values(), *self._of_optimizer().values()])
        for further in list(self._modules().values())[1:]:
            world.broadcast(further.state_dict().values())

    def restore(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Restore what `tensors` and `progress` returned.

        Raises: WeightsError, KeyError or RuntimeError, if they are of another network or no such state at all.
        """
        for part, module in self._modules().items():
            load_into(module, named(tensors, f"{part}."))
        for name, tensor in self._of_optimizer().items():
            tensor.copy_(tensors[name])
        self.meter.loss_sum.copy_(tensors["meter.loss_sum"])
        self.meter.wrong.copy_(tensors["meter.wrong"])
        self.meter.images = progress.images
        torch.random.set_rng_state(tensors["random.cpu"])
        device = self.meter.loss_sum.device
        if "random.cuda" in tensors and device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], device)
        self.clock = Clock(*progress.clock)
        self._restore_progress(progress)

    def _modules(self) -> dict[str, nn.Module]:
        """Return the network and what follows it, by the names of their tensors in a checkpoint."""
        average = None if self.average is None else self.average.network
        found = {"network": self.network, "average": average, "regressor": self.regressor}
        return {part: module for part, module in found.items() if module is not None}

    def _of_optimizer(self) -> dict[str, Tensor]:
        return dict(tensors_of(self.optimizer, trained_parameters(self.network, self.regressor)))

    def _restore_progress(self, progress: Progress) -> None:
        self.schedule.restore(progress.schedule)
        self.iteration = progress.iteration
        self.curve = list(progress.curve)
        self.since_point = progress.since_point


def trained_parameters(network: nn.Module, regressor: nn.Module | None) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield all that is trained, by name: a network's parameters and, as `regressor.NAME`, those of a regressor."""
    yield from network.named_parameters()
    if regressor is not None:
        yield from regressor.named_parameters(prefix="regressor")


def named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
