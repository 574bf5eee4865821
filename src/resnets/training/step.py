"""One iteration's work on a device, and the same captured as a CUDA graph, so that a GPU need not wait for Python."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from resnets.networks.baselines.vgg import VGG
from resnets.networks.execution import Precision, forward
from resnets.networks.resnet import ResNet
from resnets.specs import Recipe
from resnets.training.accumulation import Parts
from resnets.training.distributed import ALONE, World
from resnets.training.state import TrainingState

Step = Callable[[Tensor, Tensor], Tensor]
"""Train on images (B, C, H, W) and labels (B,) of the device, and return how many answers were wrong."""

EAGER_STEPS = 3  # before a graph is captured, so that every kernel has been chosen and every buffer is there
COMPILE_FROM = 10_000  # iterations left from which a GPU's compiled kernels save more than compiling them takes
COMPILE_DEPTH = 200  # deeper networks take the compiler too long


def make_step(
    state: TrainingState,
    recipe: Recipe,
    device: torch.device,
    precision: Precision,
    accumulate: int = 1,
    world: World = ALONE,
) -> Step:
    """Return what an iteration does, as fast as the device can: on a GPU networks of this package as a CUDA graph.

    The mini-batch is taken in `accumulate` parts, one after the other.

    A module of one's own runs as it is written, since it may decide in Python what it does. So do several processes,
    whose gradients are averaged while they are computed: neither a graph nor compiled, until that is tested on GPUs.
    """
    network = state.network
    if world.size > 1:
        return _eager(state, recipe, _averaging(network, device), precision, accumulate)
    if device.type != "cuda" or not isinstance(network, ResNet | VGG):
        return _eager(state, recipe, network, precision, accumulate)
    long = accumulate == 1 and recipe.iterations - state.iteration >= COMPILE_FROM
    long = long and network.spec.depth <= COMPILE_DEPTH
    fastest = torch.compile(network) if long else network
    return Captured(_eager(state, recipe, fastest, precision, accumulate), device)


def _averaging(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network that averages its gradients over all processes while they are computed.

    Buffers stay each process's own: batch norm's statistics are averaged instead, where they are needed.
    """
    known = inspect.signature(DistributedDataParallel).parameters
    no_buffers: dict[str, Any] = {
        "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
    }
    return DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=not isinstance(network, ResNet | VGG),
        **no_buffers,
    )


def _eager(
    state: TrainingState, recipe: Recipe, network: Callable[[Tensor], Tensor], precision: Precision, accumulate: int
) -> Step:
    if accumulate > 1:
        return _in_parts(state, recipe, network, precision, accumulate)
    optimizer = state.optimizer

    def step(images: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)  # before the activations need the memory
        logits = forward(network, images, precision)
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        state.guard.watch(loss, state.iteration)

        loss.backward()
        optimizer.step()

        wrong = (logits.argmax(1) != labels).sum()
        state.meter.add(loss, wrong, len(labels))
        return wrong

    return step


def _in_parts(
    state: TrainingState, recipe: Recipe, network: Callable[[Tensor], Tensor], precision: Precision, parts: int
) -> Step:
    """Return the same step with the gradients of equal parts summed: only one part's activations are kept at a time."""
    optimizer, statistics = state.optimizer, Parts(state.network, parts)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        losses, wrongs = [], []
        for number, (some, theirs) in enumerate(zip(images.chunk(parts), labels.chunk(parts), strict=True)):
            with _unsent(network) if number < parts - 1 else nullcontext():
                with statistics.part(number):
                    logits = forward(network, some, precision)
                loss = F.cross_entropy(logits, theirs, label_smoothing=recipe.label_smoothing) / parts
                loss.backward()
            losses.append(loss.detach())
            wrongs.append((logits.argmax(1) != theirs).sum())
        loss, wrong = torch.stack(losses).sum(), torch.stack(wrongs).sum()
        state.guard.watch(loss, state.iteration)
        optimizer.step()
        state.meter.add(loss, wrong, len(labels))
        return wrong

    return step


def _unsent(network: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
    """Keep the gradients of a part from other processes: they are averaged once, with those of the last part."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


class Captured:
    """A step that, after a few eager ones, is recorded as a CUDA graph and from then on replayed.

    The graph reads the learning rate from the optimiser's tensor, and the images and labels from buffers of its own.
    Where the device cannot record it, the step stays eager.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self.step = step
        self.device = device
        self.side = torch.cuda.Stream(device)
        self.eager_left = EAGER_STEPS
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failed = False

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if self.failed:
            return self.step(images, labels)
        if self.graph is not None and images.shape != self.images.shape:  # crops that grow: it is recorded anew
            self.graph, self.eager_left = None, EAGER_STEPS
        if self.eager_left:
            self.eager_left -= 1
            return self._aside(images, labels)
        if self.graph is None:
            try:
                self.graph = self._record(images, labels)
            except RuntimeError as error:
                warnings.warn(f"no CUDA graph, and so slower: {str(error).splitlines()[0]}", stacklevel=2)
                self.failed = True
                return self.step(images, labels)
        self.images.copy_(images, non_blocking=True)
        self.labels.copy_(labels, non_blocking=True)
        self.graph.replay()
        return self.wrong

    def _aside(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take an eager step on the stream on which the graph will be recorded."""
        here = torch.cuda.current_stream(self.device)
        self.side.wait_stream(here)
        with torch.cuda.stream(self.side):
            wrong = self.step(images, labels)
        here.wait_stream(self.side)
        return wrong

    def _record(self, images: Tensor, labels: Tensor) -> torch.cuda.CUDAGraph:
        """Return a recorded step; recording does not take it."""
        self.images, self.labels = torch.empty_like(images), torch.empty_like(labels)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.side):
            self.wrong = self.step(self.images, self.labels)
        return graph
