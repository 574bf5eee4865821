"""The loop is plain SGD with momentum and weight decay at the schedule's rates, and takes no step from a bad loss."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
import torch.nn.functional as F
from observing import Crash, Recorder
from small_runs import CPU, RECIPE, Tiny, differences, job, lines, run, task_of, trained
from torch import Tensor, nn

from resnets.errors import TrainingError
from resnets.networks import cuda_graph
from resnets.networks.registry import create
from resnets.specs import Recipe
from resnets.training import trainer
from resnets.training.checkpoint import Checkpoints
from resnets.training.meter import LossGuard
from resnets.training.run_folder import RunFolder
from resnets.training.schedule import Schedule
from resnets.training.state import TrainingState

Batch = tuple[Tensor, Tensor]


class Listed:
    """Mini-batches from a list, one for each iteration."""

    def __init__(self, all_of_them: list[Batch]) -> None:
        self.all_of_them = all_of_them

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        yield from self.all_of_them[start:stop]


def _batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 6, 6, generator=generator), torch.randint(0, 5, (8,), generator=generator))
        for _ in range(count)
    ]


def _network() -> nn.Module:
    torch.manual_seed(2)
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


def _train(network: nn.Module, recipe: Recipe, batches: list[Batch], rates: list[float] | None = None) -> TrainingState:
    return trained(task_of(network, recipe, Listed(batches)), rates=rates)


def test_sgd() -> None:
    """Three steps equal the formula written by hand: v = m v + g + d w, then w = w - lr v, for every parameter."""
    lr, momentum, decay = 0.05, 0.9, 0.01
    recipe = Recipe(
        name="t", source="", iterations=3, batch_size=8, lr=lr, momentum=momentum, weight_decay=decay, milestones=(2,)
    )
    trained = _train(_network(), recipe, _batches(3))

    network = _network().train()
    velocity = {name: torch.zeros_like(w) for name, w in network.named_parameters()}
    for iteration, (images, labels) in enumerate(_batches(3)):
        network.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        with torch.no_grad():
            for name, w in network.named_parameters():  # biases and batch norm's scales decay too
                assert w.grad is not None
                velocity[name] = momentum * velocity[name] + w.grad + decay * w
                w -= (lr if iteration < 2 else lr / 10) * velocity[name]

    for name, w in network.named_parameters():
        torch.testing.assert_close(trained.network.get_parameter(name), w, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(trained.tensors()[f"momentum.{name}"], velocity[name], rtol=1e-4, atol=1e-6)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(trained.network.get_buffer(name), buffer)


def test_what_fast_recipes_add() -> None:
    """Nesterov's momentum steps by g + m v, vectors do not decay, and the labels are smoothed: two steps by hand."""
    lr, momentum, decay, smoothing = 0.05, 0.9, 0.01, 0.2
    recipe = Recipe(
        name="t",
        source="",
        iterations=2,
        batch_size=8,
        lr=lr,
        momentum=momentum,
        nesterov=True,
        weight_decay=decay,
        decay_all=False,
        label_smoothing=smoothing,
    )
    trained = _train(_network(), recipe, _batches(2))

    network = _network().train()
    velocity = {name: torch.zeros_like(w) for name, w in network.named_parameters()}
    for images, labels in _batches(2):
        network.zero_grad()
        target = F.one_hot(labels, 5) * (1 - smoothing) + smoothing / 5
        (-(network(images).log_softmax(1) * target).sum(1).mean()).backward()
        with torch.no_grad():
            for name, w in network.named_parameters():
                assert w.grad is not None
                gradient = w.grad + (decay * w if w.ndim > 1 else 0)
                velocity[name] = momentum * velocity[name] + gradient
                w -= lr * (gradient + momentum * velocity[name])

    for name, w in network.named_parameters():
        torch.testing.assert_close(trained.network.get_parameter(name), w, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(trained.tensors()[f"momentum.{name}"], velocity[name], rtol=1e-4, atol=1e-6)


def test_without_momentum() -> None:
    """Momentum 0 is plain gradient descent, and there is no momentum to save."""
    state = _train(_network(), Recipe(name="t", source="", iterations=2, batch_size=8, momentum=0.0), _batches(2))
    assert not [name for name in state.tensors() if name.startswith("momentum.")]


class Sometimes(nn.Module):
    """A network of which one layer is used only from the third mini-batch on, as in stochastic depth."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(108, 5), nn.Linear(5, 5)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        logits = self.first(images.flatten(1))
        return self.second(logits) if self.calls > 2 else logits


def test_parameters_without_gradient() -> None:
    """A parameter that the loss does not depend on stays as it is, and may take part later."""
    torch.manual_seed(0)
    network = Sometimes()
    before = network.second.weight.clone()
    recipe = Recipe(name="t", source="", iterations=2, batch_size=8)
    _train(network, recipe, _batches(2))
    assert torch.equal(network.second.weight, before)
    network.calls = 0
    _train(network, recipe.scaled(4), _batches(4))
    assert not torch.equal(network.second.weight, before)


def test_rates() -> None:
    """Each iteration is done at the schedule's rate for it."""
    recipe = Recipe(name="t", source="", iterations=6, batch_size=8, milestones=(2, 4))
    rates: list[float] = []
    _train(_network(), recipe, _batches(6), rates)
    assert rates == [Schedule(recipe, None).lr(i) for i in range(6)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_rates_in_the_log(reference: Path) -> None:
    """The log names the rate at which its iteration was done, also where the warm-up has just ended."""
    rates = {line.iteration: line.lr for line in lines(reference)}
    assert rates == pytest.approx({3: 0.01, 5: 0.1, 6: 0.1, 9: 0.01, 10: 0.001, 12: 0.001})


def test_log(tmp_path: Path) -> None:
    """The log counts each image once, and its training error is that of the mini-batches since the line before."""
    recorder = Recorder()
    run(job(), tmp_path, recorder)
    assert lines(tmp_path) == recorder.lines
    assert [line.images for line in recorder.lines] == [48, 32, 16, 48, 16, 32]
    assert [line.iteration for line in recorder.lines if line.test_error is not None] == [5, 10, 12]


# ---------------------------------------------------------------- a loss that is not finite


class Poisoned:
    """Mini-batches of which one holds a value that is not finite."""

    def __init__(self, batches_of: object, iteration: int, value: float) -> None:
        self.batches_of, self.iteration, self.value = batches_of, iteration, value

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration, (images, labels) in enumerate(self.batches_of.batches(start, stop), start + 1):
            yield (images + self.value if iteration == self.iteration else images), labels


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_update(value: float) -> None:
    """The iteration is named, and neither weights nor momentum are changed by it."""
    batches = _batches(5)
    expected = _train(_network(), Recipe(name="t", source="", iterations=3, batch_size=8), batches)
    recipe = Recipe(name="t", source="", iterations=5, batch_size=8)
    task = task_of(_network(), recipe, Poisoned(Listed(batches), 4, value))
    state = task.start()
    with pytest.raises(TrainingError, match=r"^iteration 4: the loss is nan"):
        trained(task, state)
    _assert_same(state, expected)


def _assert_same(state: TrainingState, expected: TrainingState) -> None:
    for name, w in expected.network.named_parameters():
        assert torch.equal(state.network.get_parameter(name), w), name
        assert torch.equal(state.tensors()[f"momentum.{name}"], expected.tensors()[f"momentum.{name}"]), name


@pytest.mark.parametrize("bad", [1, 4])
def test_no_update_when_nobody_waits_for_the_loss(bad: int) -> None:
    """As on a GPU: the optimiser skips this and every later update by itself, and `check` names the first."""
    batches = _batches(6)
    recipe = Recipe(name="t", source="", iterations=6, batch_size=8)
    expected = task_of(_network(), recipe, Listed([])).start()
    if bad > 1:
        expected = _train(_network(), Recipe(name="t", source="", iterations=bad - 1, batch_size=8), batches)
    task = task_of(_network(), recipe, Poisoned(Listed(batches), bad, float("nan")))
    state = task.start()
    state.guard = LossGuard(state.optimizer, CPU, deferred=True)
    trained(task, state)
    assert state.iteration == 6
    with pytest.raises(TrainingError, match=f"^iteration {bad}: "):
        state.guard.check(state.iteration)
    _assert_same(state, expected)


def test_deferred_guard_changes_nothing_else() -> None:
    """With every loss finite, both ways of watching train the same weights, and `check` is content."""
    recipe = Recipe(name="t", source="", iterations=4, batch_size=8)
    expected = _train(_network(), recipe, _batches(4))
    task = task_of(_network(), recipe, Listed(_batches(4)))
    state = task.start()
    state.guard = LossGuard(state.optimizer, CPU, deferred=True)
    trained(task, state)
    state.guard.check(state.iteration)
    _assert_same(state, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_gpu_is_not_waited_for() -> None:
    """On a GPU no iteration waits for the device, and a loss that is not finite is still found and skipped."""
    device = torch.device("cuda")
    batches = [(images.to(device), labels.to(device)) for images, labels in _batches(6)]
    recipe = Recipe(name="t", source="", iterations=6, batch_size=8)
    task = task_of(_network(), recipe, Poisoned(Listed(batches), 4, float("nan")), device=device)
    state = task.start()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trained(task, state)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with pytest.raises(TrainingError, match="^iteration 4: "):
        state.guard.check(state.iteration)
    assert all(parameter.isfinite().all() for parameter in state.network.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_step_trains_as_an_eager_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, statistics, momentum, sums and the rates that change under way; and no iteration waits for the GPU."""
    device = torch.device("cuda")
    recipe = Recipe(name="t", source="", iterations=12, batch_size=8, milestones=(6, 9), bn_group=4)
    generator = torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(8, 3, 32, 32, generator=generator).to(device), torch.randint(0, 10, (8,)).to(device))
        for _ in range(12)
    ]
    states = []
    for captured in (True, False):
        torch.manual_seed(2)
        task = task_of(create("resnet8", bn_group=4), recipe, Listed(batches), device=device)
        if not captured:
            monkeypatch.setattr(cuda_graph, "WARM_UP", 10**9)
        with torch.backends.cudnn.flags(enabled=True, deterministic=True):
            state = trained(task)
        assert state.execution == ("eager, CUDA graph" if captured else None)
        states.append(state)
    one, other = (state.tensors() for state in states)
    for name in one.keys() - {"random.cuda"}:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-5, msg=name)


def test_a_line_of_the_log_is_rare_on_a_gpu() -> None:
    """Each one waits for all work that is queued; a short run has 50 lines all the same."""
    assert [trainer.iterations_between_lines(64_000, device) for device in ("cpu", "cuda")] == [50, 500]
    assert [trainer.iterations_between_lines(1_000, device) for device in ("cpu", "cuda")] == [20, 20]


@pytest.mark.parametrize("deferred", [False, True])
def test_run_ends_at_a_bad_loss(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deferred: bool
) -> None:
    """A run names the iteration and its last valid checkpoint, saves nothing of it, and can go on from there."""
    if deferred:
        watching = LossGuard.__init__
        monkeypatch.setattr(LossGuard, "__init__", lambda *a, **_: watching(*a, deferred=True))
    bad = job(save_every=4)
    bad.train = Poisoned(bad.train, 8, float("nan"))
    with pytest.raises(TrainingError, match=r"iteration 8: .*iteration-00000004"):
        run(bad, tmp_path)
    with RunFolder(tmp_path) as folder:
        assert [path.stem for path in folder.checkpoints.paths()] == ["iteration-00000004"]
    run(job(process_seed=1), tmp_path)
    assert differences(reference, tmp_path) == []


def test_checkpoints_are_rarer_where_they_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one every 30 seconds, or so rarely that they take a twentieth of the time."""
    assert trainer.seconds_between(0.1) == 30
    assert trainer.seconds_between(15) == 300

    saved: list[int] = []

    def takes_long(checkpoints: Checkpoints, state: TrainingState, run: str) -> Path:
        saved.append(state.iteration)
        time.sleep(0.01)
        return tmp_path

    monkeypatch.setattr(trainer, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(trainer, "SAVE_SHARE", 1e-6)  # the next one would be due hours later
    monkeypatch.setattr(Checkpoints, "save", takes_long)
    run(job(save_every=None), tmp_path)
    assert saved == [1, RECIPE.iterations]


def test_bad_loss_before_any_checkpoint(tmp_path: Path) -> None:
    """Where there is no checkpoint, the error says so."""
    bad = job(save_every=4)
    bad.train = Poisoned(bad.train, 2, float("nan"))
    with pytest.raises(TrainingError, match="^iteration 2: "):
        run(bad, tmp_path)


def test_diverged_weights_are_not_saved(tmp_path: Path) -> None:
    """Weights that an update made infinite are found when they are to be saved, and the older checkpoint is named."""

    class Diverges(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            if self.training and int(self.bn.num_batches_tracked) == 6:
                logits.register_hook(lambda gradient: gradient * float("inf"))
            return logits

    with pytest.raises(TrainingError, match=r"iteration 6: .*00000005"):
        run(job(network=Diverges), tmp_path)
    with RunFolder(tmp_path) as folder:
        assert [path.stem for path in folder.checkpoints.paths()] == ["iteration-00000005", "iteration-00000004"]


def test_infinite_masks_are_saved(tmp_path: Path) -> None:
    """A buffer of a user's own module may be infinite, as attention masks are."""

    class Masked(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.full((3,), float("-inf")))

    run(job(network=Masked), tmp_path)


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    """A parameter that a module has under two names is saved and resumed."""

    class Tied(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.fc

    run(job(network=Tied), tmp_path / "whole")
    with pytest.raises(Crash):
        run(job(network=Tied, crash_after=6), tmp_path / "resumed")
    run(job(network=Tied, process_seed=1), tmp_path / "resumed")
    assert differences(tmp_path / "whole", tmp_path / "resumed") == []


def test_recipe_is_not_changed() -> None:
    """Training reads its recipe and no more."""
    before = msgspec.to_builtins(RECIPE)
    _train(_network(), RECIPE.with_changes(iterations=2), _batches(2))
    assert msgspec.to_builtins(RECIPE) == before
