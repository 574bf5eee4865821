"""The step of a GPU trains as the plain step does: compiled, recorded, and where either of them fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import fake_cuda
import pytest
import torch
from torch import Tensor, nn

from resnets.data.arrays import ImageArrays, ResidentBatches
from resnets.data.loading import Batching
from resnets.data.normalization import fit
from resnets.networks import compiled
from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.cast_weights import CastWeights
from resnets.networks.cuda_graph import CudaGraph, FallbackWarning
from resnets.networks.registry import create
from resnets.networks.resnet import ResNet
from resnets.runtime.device import place
from resnets.runtime.signals import StopRequest
from resnets.runtime.turns import Session, take_turns
from resnets.specs import PadCropFlip, Preprocessing, Recipe
from resnets.training.state import TrainingState
from resnets.training.step import COMPILE_FROM, make_step

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's tracer looks at it

CPU, GPU = torch.device("cpu"), torch.device("cuda")
RECIPE = Recipe(name="t", source="", iterations=8, batch_size=8, bn_group=4, milestones=(4, 6))
LONG = RECIPE.with_changes(iterations=COMPILE_FROM)  # of any depth


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute batch norm's groups as on a GPU, and trace without generating code, which takes half a minute."""
    monkeypatch.setattr(BatchNorm2d, "groups_at_once", lambda norm, input: len(input) % norm.group == 0)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


def state_of(network: str = "resnet8") -> TrainingState:
    torch.manual_seed(2)
    state = TrainingState.start(place(create(network, bn_group=4).train(), CPU), RECIPE, CPU)
    # as on a GPU: a graph looks neither at the loss nor at a rate that is a Python number
    state.guard.deferred = True
    for group in state.optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"])
    return state


def resident() -> ResidentBatches:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (40, 16, 16, 3), generator=generator, dtype=torch.uint8).numpy()
    train = ImageArrays(images, torch.randint(0, 10, (40,), generator=generator).numpy())
    return ResidentBatches(
        train, fit(train.images, Preprocessing()), PadCropFlip(pad=2), Batching(batch_size=8, seed=3, device=CPU)
    )


def train(state: TrainingState, step: Callable[..., Tensor], draws: list[Tensor]) -> None:
    for draw in draws:
        state.set_lr(state.schedule.lr(state.iteration))
        step(draw)
        state.iteration += 1


def assert_same(one: TrainingState, other: TrainingState) -> None:
    ours, theirs = one.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"random.cpu"}:
        assert torch.equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("accumulate", [1, 2])
def test_recorded_steps_train_as_plain_ones(monkeypatch: pytest.MonkeyPatch, accumulate: int) -> None:
    """Weights, statistics, momentum and sums to the bit, with crops gathered inside and a rate that changes."""
    fake_cuda.install(monkeypatch)
    batches = resident()
    plain, fast = state_of(), state_of()
    train(plain, make_step(plain, RECIPE, CPU, "fp32", accumulate, gather=batches.gather), list(batches.draws(0, 8)))
    train(fast, make_step(fast, RECIPE, GPU, "fp32", accumulate, gather=batches.gather), list(batches.draws(0, 8)))
    assert_same(plain, fast)
    assert (plain.execution, fast.execution) == ("eager", "eager, CUDA graph")


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.filterwarnings("ignore::resnets.networks.cuda_graph.FallbackWarning")
def test_weights_cast_at_once_train_as_autocast_does(monkeypatch: pytest.MonkeyPatch, compiles: bool) -> None:
    """In bf16, where all weights are cast by one operation: the same weights, momentum and sums to the bit."""
    if compiles:
        fake_cuda.install(monkeypatch, fails="not recorded here: operations cannot be listed while they are compiled")
    else:
        fake_cuda.install(monkeypatch)
    recipe = LONG if compiles else RECIPE
    batches = resident()
    plain, fast = state_of(), state_of()
    train(plain, make_step(plain, recipe, CPU, "bf16", gather=batches.gather), list(batches.draws(0, 8)))
    train(fast, make_step(fast, recipe, GPU, "bf16", gather=batches.gather), list(batches.draws(0, 8)))
    assert_same(plain, fast)
    assert fast.execution == ("compiled" if compiles else "eager, CUDA graph")
    assert all(parameter.dtype == torch.float32 for parameter in fast.network.parameters())


@pytest.mark.filterwarnings("ignore::resnets.networks.cuda_graph.FallbackWarning")
def test_compiled_steps_train_as_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, where the compiler keeps to the operations as they are written."""
    fake_cuda.install(monkeypatch, fails="not recorded here: operations cannot be listed while they are compiled")
    batches = resident()
    plain, fast = state_of(), state_of()
    train(plain, make_step(plain, LONG, CPU, "fp32", gather=batches.gather), list(batches.draws(0, 8)))
    train(fast, make_step(fast, LONG, GPU, "fp32", gather=batches.gather), list(batches.draws(0, 8)))
    assert_same(plain, fast)
    assert fast.execution == "compiled"


def test_a_subclass_and_a_hooked_network_train_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled block by block, what they do in Python would be lost."""

    class Halved(ResNet):
        def head(self, x: Tensor) -> Tensor:
            return super().head(x) / 2

    recordings = fake_cuda.install(monkeypatch)
    batches = resident()
    for change in ("subclass", "hook"):
        states = []
        for device in (CPU, GPU):
            torch.manual_seed(2)
            network = create("resnet8", bn_group=4)
            if change == "subclass":
                network = Halved(network.spec)
            else:
                network.layer2.register_forward_hook(lambda *arguments: arguments[2] / 2)
            state = TrainingState.start(place(network.train(), CPU), RECIPE, CPU)
            state.guard.deferred = True
            train(state, make_step(state, LONG, device, "fp32", gather=batches.gather), list(batches.draws(0, 5)))
            states.append(state)
        assert_same(*states)
        assert states[1].execution == "eager" and recordings == []


@pytest.mark.parametrize(("sizes", "companions"), [((12, 16), None), ((12, 12), 5)])
def test_another_step_is_recorded_again(
    sizes: tuple[int, int], companions: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of crops that grow in training, or where companion losses count in the first iterations only."""
    recordings = fake_cuda.install(monkeypatch)
    recipe = RECIPE.with_changes(auxiliary_weight=1.0, auxiliary_iterations=companions)
    plain, fast = state_of(), state_of()
    inputs = [(torch.randn(8, 3, size, size), torch.randint(0, 10, (8,))) for size in [sizes[0]] * 5 + [sizes[1]] * 5]
    for state, device in ((plain, CPU), (fast, GPU)):
        step = make_step(state, recipe, device, "fp32")
        for images, labels in inputs:
            step(images, labels)
            state.iteration += 1
    assert len(recordings) == 2
    assert_same(plain, fast)


def test_the_deepest_networks_have_the_highest_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that take turns each have a stream, and the graphs recorded on its turns have its priority."""
    recordings = fake_cuda.install(monkeypatch)
    depths = [20, 110, 56, 20]

    def steps() -> Session[set[int]]:
        found = set()
        for iteration in range(3):
            found.add(torch.cuda.current_stream(GPU).priority)
            yield iteration
        CudaGraph(lambda x: 2 * x, GPU).record(torch.ones(1))
        return found

    outcomes = take_turns([steps() for _ in depths], GPU, StopRequest(), depths=depths, failures=())
    assert outcomes == [{-1}, {-3}, {-2}, {-1}]
    assert [options["stream"].priority for options in recordings] == [-1, -3, -2, -1]
    assert torch.cuda.current_stream(GPU).priority == 0


def test_a_network_that_cannot_be_compiled_trains_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the statistics or the random state show that compiling was tried; a warning says why it failed."""
    fake_cuda.install(monkeypatch)

    def no_compiler(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler\nPlease specify one")

    monkeypatch.setattr(torch, "compile", partial(torch.compile.func, backend=no_compiler))
    batches = resident()
    plain, fast = state_of(), state_of()
    train(plain, make_step(plain, LONG, CPU, "fp32", gather=batches.gather), list(batches.draws(0, 5)))
    with pytest.warns(FallbackWarning, match="uncompiled, and so slower: .*Failed to find C compiler$"):
        train(fast, make_step(fast, LONG, GPU, "fp32", gather=batches.gather), list(batches.draws(0, 5)))
    assert_same(plain, fast)
    assert torch.equal(plain.tensors()["random.cpu"], fast.tensors()["random.cpu"])
    assert fast.execution == "eager, CUDA graph"


def test_a_step_that_cannot_be_recorded_trains_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a CUDA graph the step is eager, with one warning, and the weights are the same."""
    fake_cuda.install(monkeypatch, fails="operation not permitted when stream is capturing")
    batches = resident()
    plain, fast = state_of(), state_of()
    train(plain, make_step(plain, RECIPE, CPU, "fp32", gather=batches.gather), list(batches.draws(0, 8)))
    with pytest.warns(FallbackWarning, match="no CUDA graph"):
        train(fast, make_step(fast, RECIPE, GPU, "fp32", gather=batches.gather), list(batches.draws(0, 8)))
    assert_same(plain, fast)
    assert fast.execution == "eager"


def test_memory_that_runs_out_while_compiling_is_not_taken_for_a_compiler_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The uncompiled network would need no less."""
    fake_cuda.install(monkeypatch)

    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(compiled, "by_blocks", lambda _: out_of_memory)
    state, batches = state_of(), resident()
    step = make_step(state, LONG, GPU, "fp32", gather=batches.gather)
    with pytest.raises(torch.OutOfMemoryError):
        step(next(batches.draws(0, 1)))


def test_blocks_of_all_depths_share_their_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """One graph for each shape of a stem, block and head: 7 for all residual networks, of 5 kinds of blocks."""
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", partial(torch.compile.func, backend="eager"))  # graphs are counted before it
    images = torch.randn(4, 3, 16, 16)
    torch.compiler.reset()
    counters.clear()
    for name in ("resnet8", "resnet14", "resnet26"):
        torch.manual_seed(0)
        network = create(name, bn_group=2).train()
        found = compiled.compiled(network)(images)
        for norm in (module for module in network.modules() if isinstance(module, BatchNorm2d)):
            norm.reset_running_stats()
        assert torch.equal(found, network(images))
        # resnet8 has no block that keeps its width but the first stage's
        assert counters["stats"]["unique_graphs"] == (5 if name == "resnet8" else 7)


def test_cast_weights_without_a_gradient_have_none() -> None:
    """Of heads whose losses have ended, as DSN's do; the others have autocast's gradients to the bit."""
    torch.manual_seed(0)
    network, images = create("dsn").train(), torch.randn(2, 3, 32, 32)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    found = []
    for cast in (None, CastWeights(network)):
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            (network if cast is None else cast.of(network))(images)[0].float().square().sum().backward()
        if cast is not None:
            cast.collect()
        found.append({name: weight.grad for name, weight in network.named_parameters()})
    assert any(gradient is None for gradient in found[0].values())
    for name, gradient in found[0].items():
        other = found[1][name]
        assert (gradient is None) == (other is None), name
        assert gradient is None or other is None or torch.equal(gradient, other), name
