"""What the tests run in several processes at once, which meet as those that torchrun starts do."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_detectors
import small_runs
import torch
from torch import Tensor, nn
from torch.distributed import TCPStore
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import resnets
from resnets import cli
from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.errors import DataError, FailedElsewhere, ResnetsError, RunError, TrainingError
from resnets.networks import sync_batch_norm
from resnets.networks.batch_norm import BatchNorm2d
from resnets.runtime import failures, launch
from resnets.runtime.failures import is_first_to_fail
from resnets.runtime.processes import World
from resnets.runtime.signals import StopCoordinator
from resnets.specs import Distillation, Hint, PadCropFlip, Recipe
from resnets.training.meter import LossGuard

ITERATIONS = 10
RECIPE = Recipe(
    name="small",
    source="these tests",
    iterations=ITERATIONS,
    batch_size=32,
    lr=0.01,
    milestones=(7,),
    augmentation=PadCropFlip(pad=1, flip=True),
    evaluate_every=5,
)
GROUPS = (8, 16, None)  # images that share batch norm's statistics; of 4 processes each has 8 of 32


def join_as(rank: int, size: int, port: int, own: bool, target: Callable[..., Any], *arguments: Any) -> None:
    """Call a function as process `rank` of `size`, which meet at a store that is there already, as torchrun's is, or at
    the first one's `own`."""
    _set_environment(rank, size, port)
    if own:
        del os.environ["TORCHELASTIC_USE_AGENT_STORE"]
        failures.STORE_GRACE_SECONDS = 2.0
    torch.set_num_threads(1)
    target(*arguments)


def serve(rank: int, size: int, port: int, connection: Connection) -> None:
    """As process `rank` of `size`, call whatever function is received, and send its result, until the session ends."""
    _set_environment(rank, size, port)
    torch.set_num_threads(1)
    streams = sys.stdout, sys.stderr
    while True:
        number, target, arguments = connection.recv()
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(number)  # so that an earlier failure is forgotten
        is_first_to_fail.cache_clear()
        result, failure = None, ""
        try:
            result = target(*arguments)
        except SystemExit as end:
            result = end.code
        except BaseException:
            failure = traceback.format_exc()
        sys.stdout, sys.stderr = streams
        connection.send((result, failure))


class Processes:
    """Processes that live as long as the session, and call one function after another together."""

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("forkserver")
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
        self.size, self.calls = size, 0
        pipes = [context.Pipe() for _ in range(size)]
        self.connections = [here for here, _ in pipes]
        self.processes = [
            context.Process(target=serve, args=(rank, size, self.store.port, there))
            for rank, (_, there) in enumerate(pipes)
        ]
        for process in self.processes:
            process.start()

    def run(self, target: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what the function returns in each process, or the code that it exits with."""
        self.calls += 1
        for connection in self.connections:
            connection.send((self.calls, target, arguments))
        answers = []
        for connection in self.connections:
            assert connection.poll(120), f"{target.__name__} has not ended"
            answers.append(connection.recv())
        assert not any(failure for _, failure in answers), "\n".join(failure for _, failure in answers)
        return [answer for answer, _ in answers]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def _set_environment(rank: int, size: int, port: int) -> None:
    os.fsync = lambda _: None  # as in the process of the tests
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": "1",
    }


def as_a_command(arguments: list[list[str]], folder: Path) -> None:
    """Run the command with this process's arguments, its output and its errors in files, and exit with its code."""
    rank = int(os.environ["RANK"])
    sys.stdout, sys.stderr = open(folder / f"out-{rank}", "w"), open(folder / f"err-{rank}", "w")
    code = cli.run(arguments[rank])
    sys.stdout.flush(), sys.stderr.flush()
    sys.exit(code)


# ---------------------------------------------------------------- training


def splits() -> DataSplits:
    """Return 60 digits to train on, so that an epoch ends within a mini-batch, and 33 to test on."""
    return few_digits(60, 33)


def few_digits(train: int, test: int) -> DataSplits:
    everything = resnets.load_data("digits")
    assert isinstance(everything.train, ImageArrays) and isinstance(everything.test, ImageArrays)
    return DataSplits(
        name="few-digits",
        train=everything.train.select(np.arange(train)),
        test=everything.test.select(np.arange(test)),
        classes=everything.classes,
        digest="few",
    )


def train(group: int | None, path: Path, **options: Any) -> resnets.TrainResult:
    torch.manual_seed(0)
    network = resnets.create("resnet8", num_classes=10, in_channels=1, bn_group=group)
    defaults = {"recipe": RECIPE, "device": "cpu", "precision": "fp32", "workers": 0}
    return resnets.train(network, splits(), out=path, **(defaults | options))


def train_each(path: Path) -> None:
    """Train with each size of the groups of batch norm."""
    for group in GROUPS:
        train(group, path / f"group-{group}")


def train_in_parts(path: Path) -> None:
    """Train in parts of mini-batches, and test a moving average whose batch norms are recomputed at the end.

    One class weighs more, of which the parts have other numbers of images.
    """
    train(8, path, accumulate=2, ema=0.9, bn_images=3 * RECIPE.batch_size, class_weights={"1": 5})


def train_students(teacher: Path, path: Path) -> None:
    """Train on a teacher's scores alone, and for some iterations on maps of one of its layers first."""
    hint = Hint(layer="layer2", teacher_layer="layer2", iterations=4)
    for name, how in (("scores", Distillation()), ("hint", Distillation(hint=hint))):
        train(16, path / name, recipe=RECIPE.with_changes(distillation=how), teacher=teacher)


class Companions(nn.Module):
    """A classifier with another one, which only training runs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.companion = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Any:
        x = images.flatten(1)
        return (self.fc(x), self.companion(x)) if self.training else self.fc(x)


def train_companions(path: Path) -> None:
    """Train with another output that counts in the first iterations alone."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"recipe": RECIPE.with_changes(auxiliary_iterations=4), "device": "cpu", "workers": 0}
    resnets.train(Companions(), splits(), out=path, precision="fp32", **options)


def resume(path: Path, *observers: Any) -> None:
    """Train, or go on, saving after each iteration."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))  # each with other weights, which none but the first may keep
    try:
        train(16, path, resume=True, save_every=1, observers=observers)
    except (ResnetsError, small_runs.Crash) as error:
        (path.parent / f"error-{os.environ.get('RANK', '0')}").write_text(type(error).__name__)


def resume_dropping(path: Path, *observers: Any) -> None:
    """The same of a module of one's own, which has dropout and torch's batch norm."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    options = {"recipe": small_runs.RECIPE, "device": "cpu", "precision": "fp32", "workers": 0, "resume": True}
    try:
        resnets.train(small_runs.Tiny(), splits(), out=path, save_every=1, observers=observers, **options)
    except (ResnetsError, small_runs.Crash) as error:
        (path.parent / f"error-{os.environ.get('RANK', '0')}").write_text(type(error).__name__)


def train_elastically(path: Path) -> None:
    """Train by two processes that torchrun's engine starts, and starts again once one has been killed."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        max_restarts=1,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        start_method="fork",
    )
    elastic_launch(config, train_until_killed)(path)


def train_until_killed(path: Path) -> None:
    """Train, or go on, saving after each iteration. Process 0 dies in the first start; 1 is late in the second."""
    torch.set_num_threads(1)
    start = os.environ["TORCHELASTIC_RESTART_COUNT"]
    (path.parent / f"start-{start}").touch()
    if start == "1" and second():
        time.sleep(1)
    torch.manual_seed(int(os.environ["RANK"]))
    network = Failing(Killed(0 if start == "0" else -1))
    options = {"recipe": small_runs.RECIPE, "device": "cpu", "precision": "fp32", "workers": 0, "resume": True}
    resnets.train(network, splits(), out=path, save_every=1, **options)


DETECTOR = small_detectors.RECIPE.with_changes(batch_size=4, iterations=3, masks=True, roi_pooling="align")


def train_detector(folder: Path) -> Any:
    """Train a detector of masks on five images, or go on, saving after each iteration; return its result."""
    data = pickle.loads((folder.parent / "splits").read_bytes())
    with small_detectors.small_networks():
        start = folder.parent / "start.safetensors"
        return small_detectors.train(start, folder, data, DETECTOR, resume=True, save_every=1)


# ---------------------------------------------------------------- what they do together


def try_out() -> float:
    """Check, in each of two processes, what only several processes can do; return the seconds of an agreement."""
    with launch.joined("cpu") as world:
        _normalise_across(world)
        _skip_together(world)
        _broadcast_object(world)
        return _exchange(world)


def _normalise_across(world: World) -> None:
    """Outputs, running statistics and gradients are those of torch's batch norm on all images; also of bfloat16."""
    generator = torch.Generator().manual_seed(0)
    everything = 5 + 3 * torch.randn(6, 5, 4, 3, generator=generator, dtype=torch.float64)
    own = slice(3 * world.rank, 3 * world.rank + 3)
    plain, across = nn.BatchNorm2d(5).double(), BatchNorm2d(5).double()
    with torch.no_grad():
        plain.weight.copy_(torch.linspace(0.5, 1.5, 5))
        plain.bias.copy_(torch.linspace(-1, 1, 5))
    across.load_state_dict(plain.state_dict())
    x, y = everything.clone().requires_grad_(), everything[own].clone().requires_grad_()
    expected = plain(x)
    (expected * everything.sin()).sum().backward()
    with sync_batch_norm.norms_across(across, 6, world):
        found = across(y)
        (found * everything[own].sin()).sum().backward()
    assert across.across is None
    torch.testing.assert_close(found, expected[own])
    torch.testing.assert_close(y.grad, x.grad[own])
    torch.testing.assert_close(across.running_mean, plain.running_mean)
    torch.testing.assert_close(across.running_var, plain.running_var)
    for ours, theirs in ((across.weight.grad, plain.weight.grad), (across.bias.grad, plain.bias.grad)):
        torch.testing.assert_close(world.sum(ours), theirs)
    across.float()
    with sync_batch_norm.norms_across(across, 6, world), torch.autocast("cpu", torch.bfloat16):
        low = across(everything[own].bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), found, rtol=0.02, atol=0.05)


def _skip_together(world: World) -> None:
    """Where a loss is looked at on the device, one that is not finite in one process is skipped by all."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], fused=True)
    guard = LossGuard(optimizer, torch.device("cpu"), deferred=True, together=True)
    guard.watch(torch.tensor(1.0), 0)
    guard.check(1)
    guard.watch(torch.tensor(float("inf") if world.rank == 1 else 1.0), 1)
    guard.watch(torch.tensor(1.0), 2)
    with pytest.raises(TrainingError, match="iteration 2: the loss is not finite"):
        guard.check(3)


def _broadcast_object(world: World) -> None:
    """What the first makes all have; what it cannot make ends all."""
    assert world.broadcast_object(lambda: ("made by", world.rank)) == ("made by", 0)

    def fail() -> None:
        raise DataError("no such thing")

    with pytest.raises(DataError if world.first else FailedElsewhere):
        world.broadcast_object(fail)


def _exchange(world: World) -> float:
    """A signal to one is every process's, only the first decides on saving; return what an exchange takes."""
    coordinator = StopCoordinator(world)
    assert coordinator.decide(1, None, due=not world.first) == (None, False)
    coordinator.next = 2
    assert coordinator.decide(2, 15 if world.rank == 1 else None, due=world.first) == (15, True)
    coordinator.next = 100
    assert coordinator.decide(99, 15, due=True) == (None, False)
    times = []
    for iteration in range(100, 400):
        coordinator.next = iteration
        start = time.perf_counter()
        coordinator.decide(iteration, None, due=False)
        times.append(time.perf_counter() - start)
    assert coordinator.ahead > 1  # these iterations take no time, so the next exchange is many of them away
    return sorted(times)[150]


class Fatal:
    """An image file that kills the process which reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return self.path.name

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("the signal ends the process")


def predict_into(images: list[Any], folder: Path) -> resnets.ImageParts:
    return resnets.predict_into("resnet20-digits", images, folder, part_images=10)


# ---------------------------------------------------------------- failing and stopping


class Failing(small_runs.Tiny):
    """Tiny, which does something at its fourth mini-batch."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.what, self.done = what, 0

    def forward(self, images: Tensor) -> Tensor:
        self.done += self.training
        logits = super().forward(images)
        return self.what(logits) if self.done == 4 else logits


def second() -> bool:
    return os.environ["RANK"] == "1"


def not_a_number(logits: Tensor) -> Tensor:
    return logits * float("nan") if second() else logits


def broken(logits: Tensor) -> Tensor:
    if second():
        raise KeyError("a bug")
    return logits


class Killed:
    """Kills the process of a rank."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def __call__(self, logits: Tensor) -> Tensor:
        if os.environ["RANK"] == str(self.rank):
            os.kill(os.getpid(), signal.SIGKILL)
        return logits


def broken_while_the_first_is_stuck(logits: Tensor) -> Tensor:
    """Raise in process 1, and keep process 0 for a minute where it hears no signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    time.sleep(1 if second() else 60)
    return broken(logits)


def fail(what: Callable[[Tensor], Tensor], folder: Path) -> None:
    """Train until process 1 fails, and end as the command does."""
    _train_as_a_command(folder, Failing(what), RECIPE)


def train_long(folder: Path) -> None:
    """Train for long enough to be stopped, and end as the command does."""
    _train_as_a_command(folder, small_runs.Tiny(), RECIPE.scaled(100_000))


def _train_as_a_command(folder: Path, network: nn.Module, recipe: Recipe) -> None:
    def train() -> None:
        resnets.train(network, splits(), recipe=recipe, out=folder / "run", device="cpu", precision="fp32")

    as_a_program(train, folder)


def as_a_program(do: Callable[[], None], folder: Path) -> None:
    """Call a function, and end as the command does."""

    def program(*_: Any, **__: Any) -> int:
        do()
        return 0

    sys.stderr = open(folder / f"err-{os.environ['RANK']}", "w")
    code = cli.run([], program)  # type: ignore[arg-type]  # what stands in for the command
    sys.stderr.flush()
    sys.exit(code)


def fail_after_the_other_is_lost() -> None:
    """Kill process 1, and fail in process 0 when it is to send something."""
    with launch.joined("cpu") as world:
        (other,) = world.gather([os.getpid()])[1:]
        if not world.first:
            os.kill(os.getpid(), signal.SIGKILL)
        while Path(f"/proc/{other}/stat").exists() and " Z " not in Path(f"/proc/{other}/stat").read_text():
            time.sleep(0.01)

        def full() -> None:
            raise RunError("the disk is full")

        world.broadcast_object(full)


# ---------------------------------------------------------------- testing


SIZES = (1, 7, 100, 101)


def evaluate_each(folder: Path, photos: Path) -> dict[str, Any]:
    """Test on splits of each size and kind, and return the result of each."""
    found = {}
    digits = few_digits(10, max(SIZES))
    assert isinstance(digits.test, ImageArrays)
    for size in SIZES:
        arrays = digits.test.select(np.arange(size))
        for kind, test in (("arrays", arrays), ("dataset", Pairs(arrays))):
            data = DataSplits(name=kind, train=digits.train, test=test, classes=digits.classes)
            found[f"{kind} {size}"] = _tested(folder / f"{kind}.safetensors", data)
    found["files"] = _tested(folder / "files.safetensors", f"folder:{photos}")
    return found


def _tested(weights: Path, data: str | DataSplits) -> dict[str, Any]:
    evaluation = resnets.evaluate(weights, data, device="cpu", workers=0)
    return {
        "samples": evaluation.samples,
        "top5": evaluation.top5_error,
        "loss": evaluation.loss,
        "confusion": evaluation.confusion,
    }


def detect_each(folder: Path, out: Path) -> dict[str, Any]:
    """Test a detector on splits, and return the scores of each; its detections are in a folder for each."""
    from resnets.detection.evaluate import evaluate_detector

    found = {}
    for name, splits in pickle.loads((folder / "splits").read_bytes()).items():
        evaluation = evaluate_detector(folder / "weights.safetensors", splits, device="cpu", workers=0, out=out / name)
        found[name] = {"images": evaluation.images, "scores": evaluation.scores}
    return found


class Pairs(torch.utils.data.Dataset[Any]):
    """Images in memory as a map-style dataset."""

    def __init__(self, images: ImageArrays) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images.images[index]).permute(2, 0, 1).float() / 255
        return image, int(self.images.labels[index])
