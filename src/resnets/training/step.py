"""One iteration's work on a device: eager on a CPU; on a GPU a CUDA graph, of compiled kernels where that pays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from resnets.data.loading import Batch
from resnets.errors import UsageError, warn
from resnets.networks.cast_weights import CastWeights
from resnets.networks.compiled import Forward, compiled, is_known, without_advice
from resnets.networks.cuda_graph import CudaGraph, FallbackWarning, Pace, SideStream
from resnets.networks.registry import spec_of
from resnets.runtime.device import forward, outputs_of
from resnets.runtime.processes import ALONE, World
from resnets.specs import Precision, Recipe
from resnets.training.loss import counts_auxiliary, loss_of_outputs, make_loss
from resnets.training.state import TrainingState, trained_parameters
from resnets.training.teacher import Lesson

Step = Callable[..., Tensor]
"""Train on a mini-batch, and return how many answers were wrong.

It is given images (B, C, H, W) and labels (B,) of the device, or what `gather` makes them from.
"""

OutputsLoss = Callable[[Tensor, Sequence[Tensor], Tensor], Tensor]
"""Return the loss of the state's iteration, of images (B, C, H, W), all outputs (B, K) and the labels (B,)."""

Gather = Callable[..., Batch]
"""Return images and labels from a draw of `ResidentBatches`, on their device."""

COMPILE_FROM = 200_000  # layers times iterations left, from which compiled kernels save more than compiling takes


def make_step(
    state: TrainingState,
    recipe: Recipe,
    device: torch.device,
    precision: Precision,
    accumulate: int = 1,
    class_weights: Sequence[float] | None = None,
    world: World = ALONE,
    gather: Gather | None = None,
    lesson: Lesson | None = None,
) -> Step:
    """Return what an iteration does, as fast as the device can: on a GPU networks of this package as a CUDA graph.

    The mini-batch is taken in `accumulate` parts, one after the other.

    A custom module runs as it is written, since it may decide in Python what it does. So do several processes, whose
    gradients are averaged while they are computed, and what learns from a teacher, whose weight in the loss changes:
    neither a graph nor compiled, until that is tested on GPUs.
    """
    network, loss = state.network, make_loss(recipe, class_weights, device)

    def loss_of(images: Tensor, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
        of_labels = loss_of_outputs(loss, recipe, state.iteration, outputs, labels)
        return of_labels if lesson is None else lesson.loss(state.iteration, images, outputs[0], of_labels, precision)

    def step(run: Forward, collect: Callable[[], None] | None = None) -> Step:
        if accumulate > 1:
            taken = _in_micro_batches(state, loss_of, run, precision, accumulate, collect)
        else:
            taken = _whole(state, loss_of, run, precision, collect)
        return taken if gather is None else lambda *draw: taken(*gather(*draw))

    if world.size > 1 or lesson or device.type != "cuda" or not state.guard.deferred or not is_known(network):
        state.execution = "eager"
        in_stages = recipe.auxiliary_iterations is not None or state.regressor is not None
        if world.size > 1 and in_stages:  # in which only some parameters have gradients
            return step(network, partial(_average_gradients, state, world))
        return step(network if world.size == 1 else averaging(network, device, all_used=is_known(network)))
    long = accumulate == 1 and (recipe.iterations - state.iteration) * depth_of(network) >= COMPILE_FROM
    eager: Forward = network
    fast = compiled(network) if long else None
    cast = CastWeights(network) if precision == "bf16" and accumulate == 1 else None
    if cast is not None:
        eager, fast = cast.of(eager), fast and cast.of(fast)
    make = partial(step, collect=None if cast is None else cast.collect)
    return GpuStep(make, state, recipe, precision, device, gather, eager, fast)


def depth_of(network: nn.Module) -> int:
    """Return the weighted layers of a network; 1 where they are not known."""
    spec = spec_of(network)
    return 1 if spec is None else spec.depth or 1


def averaging(network: nn.Module, device: torch.device, *, all_used: bool) -> DistributedDataParallel:
    """Return a network that averages its gradients over all processes while they are computed.

    Buffers stay each process's own: batch norm's statistics are averaged instead, where they are needed. `all_used`
    says that each pass gives every parameter a gradient.
    """
    known = inspect.signature(DistributedDataParallel).parameters
    no_buffers: dict[str, Any] = {
        "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
    }
    averaged = DistributedDataParallel(
        _LaidOut(network),
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,  # each gradient is kept once
        find_unused_parameters=not all_used,
        **no_buffers,
    )
    if all_used:  # otherwise torch keeps the order of the parameters
        averaged().backward()
        network.zero_grad(set_to_none=True)
    return averaged


class _LaidOut(nn.Module):
    """A network that without inputs adds up its parameters, so that their gradients arrive from the last to the first.

    In the order of the first backward pass torch lays out the gradients in memory; before it they lie in another one,
    in which three processes or more sum them with other rounding. If that pass were the first iteration of a session,
    a resumed run would not be bit-identical to one that was left alone.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs) if inputs else sum(parameter.sum() for parameter in self.network.parameters())


def _average_gradients(state: TrainingState, world: World) -> None:
    """Average the gradients that there are over all processes, at once."""
    parameters = [parameter for _, parameter in trained_parameters(state.network, state.regressor)]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = world.sum(torch.cat([gradient.flatten() for gradient in gradients])).div_(world.size)
    for gradient, mean in zip(gradients, together.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _whole(
    state: TrainingState,
    loss_of: OutputsLoss,
    network: Forward,
    precision: Precision,
    collect: Callable[[], None] | None,
) -> Step:
    """Return the step of a whole mini-batch. `collect` is called when the gradients are there."""
    optimizer = state.optimizer

    def step(images: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)  # before the activations need the memory
        outputs = outputs_of(network, images, precision)
        loss = loss_of(images, outputs, labels)
        state.guard.watch(loss, state.iteration)

        loss.backward()
        if collect is not None:
            collect()
        optimizer.step()

        wrong = (outputs[0].argmax(1) != labels).sum()
        state.meter.add(loss, wrong, len(labels))
        return wrong

    return step


def _in_micro_batches(
    state: TrainingState,
    loss_of: OutputsLoss,
    network: Forward,
    precision: Precision,
    parts: int,
    collect: Callable[[], None] | None,
) -> Step:
    """Return the same step with the gradients of equal parts summed: only one part's activations are kept at a time."""
    optimizer, statistics = state.optimizer, MicroBatches(state.network, parts)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        losses, wrongs = [], []
        for number, (some, theirs) in enumerate(zip(images.chunk(parts), labels.chunk(parts), strict=True)):
            with unsent(network) if number < parts - 1 else nullcontext():
                with statistics.part(number):
                    outputs = outputs_of(network, some, precision)
                loss = loss_of(some, outputs, theirs) / parts
                loss.backward()
            losses.append(loss.detach())
            wrongs.append((outputs[0].argmax(1) != theirs).sum())
        loss, wrong = torch.stack(losses).sum(), torch.stack(wrongs).sum()
        state.guard.watch(loss, state.iteration)
        if collect is not None:
            collect()
        optimizer.step()
        state.meter.add(loss, wrong, len(labels))
        return wrong

    return step


def unsent(network: Forward) -> AbstractContextManager[None]:
    """Keep the gradients of a part from other processes: they are averaged once, with those of the last part."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


class GpuStep:
    """A step recorded as a CUDA graph, of compiled kernels where it is given a compiled forward pass too.

    The graph reads the learning rate from the optimiser's tensor. For inputs of another shape, as of crops that grow,
    and when auxiliary outputs no longer count in the loss, it is recorded again. What cannot be compiled or recorded
    runs without, with a `FallbackWarning`; `state.execution` says what it came to.
    """

    def __init__(
        self,
        make: Callable[[Forward], Step],
        state: TrainingState,
        recipe: Recipe,
        precision: Precision,
        device: torch.device,
        gather: Gather | None,
        eager: Forward,
        compiled: Forward | None,
    ) -> None:
        self.make, self.state, self.recipe, self.precision, self.device = make, state, recipe, precision, device
        self.gather, self.eager, self.compiled = gather, eager, compiled
        self.side, self.pace = SideStream(device), Pace(device)
        self.recorded: tuple[bool, list[torch.Size]] | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        recorded = counts_auxiliary(self.recipe, self.state.iteration), [given.shape for given in inputs]
        if self.recorded != recorded:
            self.recorded = recorded
            if self.compiled is not None and (error := self._compile_error(inputs)):
                self.compiled = None
                warn(f"training runs uncompiled, and so slower: {error}", FallbackWarning)
            self.graph = CudaGraph(self.make(self.compiled or self.eager), self.device, self.side)
        wrong = self.graph(*inputs)
        self.pace.after_step()
        if self.graph.captured or self.graph.failed:
            kernels = "eager" if self.compiled is None else "compiled"
            self.state.execution = f"{kernels}, CUDA graph" if self.graph.captured else kernels
        return wrong

    def _compile_error(self, inputs: tuple[Tensor, ...]) -> str | None:
        """Compile by one pass forward and backward that leaves no trace; return why that failed, None if it did not."""
        network = self.state.network
        kept = [buffer.clone() for buffer in network.buffers()]
        try:
            with torch.random.fork_rng([self.device], device_type=self.device.type), without_advice():
                self.side.run(self._pass, *inputs)
        except torch.OutOfMemoryError:  # which the uncompiled network would run into as well
            raise
        except Exception as error:  # of the tracer, the code generator, a C compiler that is not there
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return " ".join([f"{type(error).__name__}:", *lines[:2]])[:300]  # the second is the cause of the first
        finally:
            network.zero_grad(set_to_none=True)
            for buffer, before in zip(network.buffers(), kept, strict=True):
                buffer.copy_(before)
        return None

    def _pass(self, *inputs: Tensor) -> Tensor:
        """Run the compiled network forward and backward."""
        assert self.compiled is not None
        images, labels = inputs if self.gather is None else self.gather(*inputs)
        loss = F.cross_entropy(forward(self.compiled, images, self.precision), labels)
        loss.backward()
        return loss.detach()


def require_micro_batches(network: nn.Module, batch_size: int, parts: int) -> None:
    """Verify that a mini-batch in `parts` micro-batches trains as it does whole.

    Raises: UsageError, if they are not equal, or would cut a group of images that share batch-norm statistics.
    """
    if parts < 1 or batch_size % parts:
        raise UsageError(f"accumulate is {parts}; it must be a divisor of the batch size, which is {batch_size}")
    if parts == 1:
        return
    part = batch_size // parts
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            group = min(getattr(module, "group", None) or batch_size, batch_size)
            if part % group:
                raise UsageError(
                    f"accumulate is {parts}: parts of {part} images would cut the {group} that share batch-norm "
                    f"statistics; of {batch_size} images there can be {batch_size // group} parts at most"
                )


class MicroBatches:
    """Lets the running statistics of a network move once for all micro-batches, as for the whole mini-batch."""

    def __init__(self, network: nn.Module, parts: int) -> None:
        self.norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self.parts = parts

    @contextmanager
    def part(self, number: int) -> Iterator[None]:
        """Take a part, counted from 0.

        The last part moves them by m / parts, with m the momentum, and each earlier one by as much more as later ones
        take away from it again: together by m towards the mean of all.
        """
        momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            if norm.momentum is not None:
                share = norm.momentum / self.parts
                norm.momentum = share / (1 - (self.parts - 1 - number) * share)
        try:
            yield
        finally:
            for norm, momentum in zip(self.norms, momenta, strict=True):
                norm.momentum = momentum
                if number and norm.num_batches_tracked is not None:
                    norm.num_batches_tracked -= 1  # the whole is one batch
