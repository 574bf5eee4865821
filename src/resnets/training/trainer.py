"""The trainer: a run from start, or its newest checkpoint, to its end or an interruption.

Stochastic gradient descent as in section 3.4, one mini-batch an iteration. What differs between a classifier and a
detector is their `Task`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.errors import CheckpointError, DataError, Interrupted, RunError, TrainingError, WeightsError
from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.sync_batch_norm import average_statistics
from resnets.records.runs import ClassifierResult, DetectorResult, LocaliserResult, LogLine, Result, RunRecord
from resnets.runtime.device import keep_freed_memory, place
from resnets.runtime.kernels import unavailable
from resnets.runtime.processes import World
from resnets.runtime.signals import StopCoordinator, StopRequest
from resnets.runtime.turns import Session, completed
from resnets.training.observers import Observer, Observers, TensorBoard
from resnets.training.resolved import ResolvedTraining
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState
from resnets.training.step import Step

SAVE_SECONDS = 30.0  # between two checkpoints, at least
SAVE_SHARE = 0.05  # of the time, that they may take
LOG_ITERATIONS = {"cpu": 50, "cuda": 500}  # between two lines of the log, at most: each makes a GPU wait
LOG_LINES = 50  # of a run, at least

R = TypeVar("R", ClassifierResult, DetectorResult, LocaliserResult)
R_co = TypeVar("R_co", bound=Result, covariant=True)


def seconds_between(save: float) -> float:
    """Return the seconds from one checkpoint to the next, where one takes `save` seconds."""
    return max(SAVE_SECONDS, save / SAVE_SHARE)


def iterations_between_lines(iterations: int, device_type: str) -> int:
    """Return the iterations from one line of the log to the next, in a run of this length."""
    return max(1, min(LOG_ITERATIONS[device_type], iterations // LOG_LINES))


class Task(Protocol[R_co]):
    """What is trained, and how it is tested."""

    @property
    def training(self) -> ResolvedTraining: ...

    def start(self) -> TrainingState:
        """Return the state before the first iteration."""

    def batches(self, start: int, stop: int) -> Iterator[Any]:
        """Yield the mini-batches of iterations start, start + 1, ..., stop - 1."""

    def stepping(self, state: TrainingState) -> AbstractContextManager[Step]:
        """Return a step, which trains on a mini-batch and returns how many answers were wrong, while it is entered."""

    def log_line(self, state: TrainingState) -> LogLine:
        """Return what the meter has summed since the line before."""

    def test(self, state: TrainingState) -> dict[str, float]:
        """Test during training, and return the numbers of the log's line; {} where there is no such test."""

    def finish(self, state: TrainingState, folder: RunFolder | None) -> R_co:
        """Write the weights, test, and return the result."""


def iterate(task: Task[Result], state: TrainingState) -> Generator[int, None, None]:
    """Train from the state's iteration to the recipe's last, and yield how many are done after each.

    Raises: TrainingError, naming the iteration, if the loss is not finite; nothing is updated from it.
    """
    training, schedule = task.training, state.schedule
    recipe, world = training.recipe, training.world
    with task.stepping(state) as step:
        for batch in task.batches(state.iteration, recipe.iterations):
            state.set_lr(schedule.lr(state.iteration))
            world.seed_iteration(training.record.seed, state.iteration)
            wrong = step(*batch)
            state.meter.images += recipe.images // world.size
            if schedule.warming:
                all_wrong = world.sum(wrong.clone()).item()
                schedule.observe(state.iteration, 100.0 * all_wrong / recipe.images)
            state.iteration += 1
            if state.average is not None:
                state.average.update(state.iteration)
            yield state.iteration


class Trainer(Generic[R]):
    """One session of a run. Of several processes the first has the folder and calls the observers; others have none.

    `at_once` is how many trainings take turns in this process.
    """

    def __init__(
        self, task: Task[R], folder: RunFolder | None, observers: Iterable[Observer], *, at_once: int = 1
    ) -> None:
        self.task: Task[R] = task
        self.folder = folder
        self.training = training = task.training
        self.world: World = training.world
        self.record: RunRecord = training.record
        self.fingerprint = self.record.fingerprint()
        self.observers = Observers([TensorBoard(folder.tensorboard), *observers] if folder is not None else [])
        keep_freed_memory()
        place(training.network, training.device)
        self.state = task.start()
        self.log_every = iterations_between_lines(training.recipe.iterations, training.device.type)
        self.at_once = at_once
        self.coordinator = StopCoordinator(self.world)
        self.checkpoint: Path | None = None  # the newest that is known to be valid
        self.saving = 0.0  # seconds that it took

    def run(self) -> R:
        """Train to the end and return the result.

        Raises: as `session`.
        """
        with StopRequest(alone=self.world.size == 1) as stop:
            return completed(self.session(stop))

    def session(self, stop: StopRequest) -> Session[R]:
        """Train to the end, yield how many iterations are done after each, and return the result.

        Raises: Interrupted, after a signal, once the state is saved; TrainingError, DataError and RunError, naming the
            last valid checkpoint; CheckpointError.
        """
        try:
            return (yield from self._session(stop))
        except (DataError, RunError, TrainingError) as error:
            last = f"the last valid checkpoint is {self.checkpoint}" if self.checkpoint else "no checkpoint yet"
            raise type(error)(f"{error}; {last}") from error
        finally:
            self.observers.closed()

    def _session(self, stop: StopRequest) -> Session[R]:
        notes = self._resume() + self._notes()
        self.observers.started(self.record, self.state.iteration, notes)
        self.state.clock.start()
        self.saved_at = time.perf_counter()
        for iteration in iterate(self.task, self.state):
            self._after(iteration, stop)
            yield iteration
        result = self.task.finish(self.state, self.folder)
        return self.world.broadcast_object(lambda: self._end(result))

    def _after(self, iteration: int, stop: StopRequest) -> None:
        """Log, test, save, show and stop after an iteration, where that is due."""
        recipe, every = self.training.recipe, self.training.save_every
        last, line = iteration == recipe.iterations, None
        test = last or iteration % recipe.evaluate_every == 0
        if test or iteration % self.log_every == 0:
            self.state.guard.check(iteration)
            line = self._log(test)
        late = time.perf_counter() - self.saved_at > seconds_between(self.at_once * self.saving)
        signum, late = self.coordinator.decide(iteration, stop.signum, late)
        if last or signum is not None or (iteration % every == 0 if every else late):
            self.state.guard.check(iteration)
            self._save()
        if line is not None:
            self.observers.logged(line)  # after it is saved, for it may take its time, or fail
        if signum is not None and not last:
            name = signal.Signals(signum).name
            raise Interrupted(f"stopped by {name} after iteration {iteration:,}; everything is saved", signum)

    # ------------------------------------------------------------ log

    def _log(self, test: bool) -> LogLine:
        state = self.state
        state.clock.lap()
        state.meter.gather(self.world)
        line = self.world.broadcast_object(lambda: self.task.log_line(state))
        state.meter.reset()
        state.schedule.log(state.iteration, line.images, line.training_error)
        tested = self.task.test(state) if test else {}
        state.add_to_curve(line, tested)
        images = state.iteration * self.training.recipe.images
        line = line.with_changes(
            **tested,
            seconds=round(state.clock.total, 3),
            images_per_second=round(state.clock.rate(images), 3),
            note=self.observers.take_notes(),
        )
        if self.folder is not None:
            self.folder.log(line)
        return line

    # ------------------------------------------------------------ checkpoints

    def _resume(self) -> list[str]:
        """Restore the newest valid checkpoint on all processes, and return what is to be reported of it."""
        notes, self.checkpoint = self.world.broadcast_object(self._restore)
        self.state.broadcast(self.world)
        return notes

    def _restore(self) -> tuple[list[str], Path | None]:
        assert self.folder is not None
        checkpoint = self.folder.checkpoints.load(self.fingerprint)
        if checkpoint is None:
            if (earlier := self.folder.archive_log()) is None:
                return [], None
            return [f"started again, for there is no checkpoint; what was logged before is in {earlier}"], None
        try:
            self.state.restore(checkpoint.tensors, checkpoint.progress)
        except (WeightsError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{checkpoint.path}: not a state of this run ({error}); nothing was changed"
            ) from error
        self.checkpoint = checkpoint.path
        self.folder.rewind(self.state.iteration)
        notes = [f"not used: {reason}" for reason in checkpoint.skipped]
        notes.append(f"continued from iteration {self.state.iteration:,} ({checkpoint.path.name})")
        return notes, self.checkpoint

    def _save(self) -> None:
        """Save the state of all processes, which wait for it."""
        state, network = self.state, self.training.network
        state.clock.lap()
        start = time.perf_counter()
        average_statistics(network, self.world)
        if state.average is not None:
            average_statistics(state.average.network, self.world)
        state.meter.gather(self.world)

        def save() -> Path:
            assert self.folder is not None
            self.folder.sync_log()
            if state.execution is not None:
                others = f", {self.at_once} trainings at once" if self.at_once > 1 else ""
                self.record = self.folder.record_execution(self.record, state.execution + others)
            return self.folder.checkpoints.save(state, self.fingerprint)

        self.checkpoint = self.world.broadcast_object(save)
        self.saved_at = time.perf_counter()
        self.saving = self.saved_at - start

    # ------------------------------------------------------------ start and end

    def _notes(self) -> list[str]:
        """Return what is to be reported of the data, and of how this network trains here."""
        device, modules = self.training.device, list(self.training.network.modules())
        notes = list(self.training.notes)
        ours = any(isinstance(module, BatchNorm2d) for module in modules)
        if ours and device.type == "cpu" and (slower := unavailable(device)):
            notes.append(f"batch norm runs by torch's own kernels, not by the faster one: {slower}")
        if self.world.size > 1 and any(_is_local(module) for module in modules):
            notes.append("each process's share of a mini-batch has batch norm statistics of its own in this network")
        return notes

    def _end(self, result: R) -> R:
        """Write the result, which marks the run as finished, and return it."""
        assert self.folder is not None
        result = result.with_changes(run=self.record.in_result())
        self.folder.finish(result)
        self.observers.finished(result)
        return result


def _is_local(module: nn.Module) -> bool:
    """Return whether a module is a batch norm that knows nothing of other processes."""
    return isinstance(module, _BatchNorm) and not isinstance(module, BatchNorm2d | nn.SyncBatchNorm)
