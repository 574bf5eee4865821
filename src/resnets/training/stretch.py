"""One stretch of a run of any kind: resume, log, save, stop on a signal, and finish, in the run's folder."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.errors import CheckpointError, DataError, Interrupted, RunError, TrainingError, WeightsError
from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.sync_batch_norm import average_statistics
from resnets.runtime.device import keep_freed_memory, place
from resnets.runtime.kernels import unavailable
from resnets.runtime.processes import World
from resnets.runtime.signals import StopCoordinator, StopRequest
from resnets.specs import Recipe
from resnets.training.run import RunFolder, fingerprint
from resnets.training.state import TrainingState

SAVE_SECONDS = 30.0  # between two checkpoints, at least
SAVE_SHARE = 0.05  # of the time, that they may take
LOG_ITERATIONS = {"cpu": 50, "cuda": 500}  # between two lines of the log, at most: each makes a GPU wait
LOG_LINES = 50  # of a run, at least


def seconds_between(save: float) -> float:
    """Return the seconds from one checkpoint to the next, where one takes `save` seconds."""
    return max(SAVE_SECONDS, save / SAVE_SHARE)


def iterations_between_lines(iterations: int, device_type: str) -> int:
    """Return the iterations from one line of the log to the next, in a run of this length."""
    return max(1, min(LOG_ITERATIONS[device_type], iterations // LOG_LINES))


class Observer(Protocol):
    """Is told of a run's progress, for example to show it; what it raises ends the run, which can be continued."""

    def started(self, description: dict[str, Any], iteration: int, notes: list[str]) -> None: ...

    def logged(self, line: dict[str, Any]) -> None: ...

    def finished(self, result: dict[str, Any]) -> None: ...

    def closed(self) -> None: ...


class Work(Protocol):
    """What a run of any kind is made of."""

    @property
    def network(self) -> nn.Module: ...

    @property
    def recipe(self) -> Recipe: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def description(self) -> dict[str, Any]: ...

    @property
    def save_every(self) -> int | None: ...

    @property
    def world(self) -> World: ...


class Stretch(ABC):
    """One stretch of a run of any kind, from its start or a checkpoint to its end or an interruption."""

    def __init__(self, work: Work, folder: RunFolder | None, observers: list[Observer]) -> None:
        self.work, self.folder, self.observers, self.world = work, folder, observers, work.world
        keep_freed_memory()
        place(work.network, work.device)
        self.state = TrainingState.start(work.network, work.recipe, work.device, self.world)
        self.log_every = iterations_between_lines(work.recipe.iterations, work.device.type)
        self.fingerprint = fingerprint(work.description)
        self.stop = StopRequest(alone=self.world.size == 1)
        self.coordinator = StopCoordinator(self.world)
        self.checkpoint: Path | None = None  # the newest that is known to be sound

    @abstractmethod
    def _train(self) -> None:
        """Train from the state's iteration to the last, calling `_after_step` after each."""

    @abstractmethod
    def _log(self, test: bool) -> None:
        """Log a line of what was trained since the last one, and where `test`, of a test now."""

    @abstractmethod
    def _finish(self) -> dict[str, Any]:
        """Write the weights and the result, and return it."""

    def run(self) -> dict[str, Any]:
        """Train to the end and return the result; raises as the function `run` does."""
        with ExitStack() as closing:
            for observer in self.observers:
                closing.callback(observer.closed)
            try:
                return self._run()
            except (DataError, RunError, TrainingError) as error:
                there = f"the last sound checkpoint is {self.checkpoint}" if self.checkpoint else None
                raise type(error)(f"{error}; {there or 'there is no checkpoint yet'}") from error

    def _run(self) -> dict[str, Any]:
        notes = self._resume()
        normalised = any(isinstance(module, BatchNorm2d) for module in self.work.network.modules())
        if normalised and self.work.device.type == "cpu" and (slower := unavailable(self.work.device)):
            notes.append(f"batch norm runs by torch's own kernels, not by the faster one: {slower}")
        if self.world.size > 1 and any(_is_of_ones_own(module) for module in self.work.network.modules()):
            notes.append("each process's share of a mini-batch has batch norm statistics of its own in this network")
        for observer in self.observers:
            observer.started(self.work.description, self.state.iteration, notes)
        with self.stop:
            self.mark = self.saved_at = time.perf_counter()
            self.saving = 0.0  # seconds that the last checkpoint took
            self._train()
            return self._finish()

    def _resume(self) -> list[str]:
        notes, self.checkpoint = self.world.tell(self._restore)
        self.state.spread(self.world)
        return notes

    def _restore(self) -> tuple[list[str], Path | None]:
        """Restore the newest sound checkpoint, and return what is to be said of it, and which it is."""
        assert self.folder is not None
        checkpoint = self.folder.checkpoints.load(self.fingerprint)
        if checkpoint is None:
            self.folder.rewind(-1)
            return [], None
        try:
            self.state.restore(checkpoint.tensors, checkpoint.scalars)
        except (WeightsError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{checkpoint.path}: not a state of this run ({error}); nothing was changed"
            ) from error
        self.checkpoint = checkpoint.path
        self.folder.rewind(self.state.iteration)
        notes = [f"not used: {reason}" for reason in checkpoint.skipped]
        notes.append(f"continued from iteration {self.state.iteration:,} ({checkpoint.path.name})")
        return notes, self.checkpoint

    def _after_step(self) -> None:
        iteration, recipe = self.state.iteration, self.work.recipe
        last = iteration == recipe.iterations
        test = last or iteration % recipe.evaluate_every == 0
        if test or iteration % self.log_every == 0:
            self.state.guard.check(iteration)
            self._log(test)
        every = self.work.save_every
        late = time.perf_counter() - self.saved_at > seconds_between(self.saving)
        stop, late = self.coordinator.decide(iteration, self.stop.signum, late)
        due = iteration % every == 0 if every else late
        if due or last or stop is not None:
            self.state.guard.check(iteration)
            self._lap()
            began = time.perf_counter()
            self.checkpoint = self._save()
            self.saved_at = time.perf_counter()
            self.saving = self.saved_at - began
        if stop is not None and not last:
            raise Interrupted(
                f"stopped by {signal.Signals(stop).name} after iteration {iteration:,}; all is saved",
                stop,
            )

    def _save(self) -> Path:
        """Save the state of all processes, which wait for it, and return the file."""
        average_statistics(self.work.network, self.world)
        if self.state.average is not None:
            average_statistics(self.state.average.network, self.world)
        self.state.meter.gather(self.world)

        def save() -> Path:
            assert self.folder is not None
            self.folder.sync_log()
            if self.state.execution is not None:
                self.folder.record_execution(self.work.description, self.state.execution)
            return self.folder.checkpoints.save(self.state, self.fingerprint)

        return self.world.tell(save)

    def _lap(self) -> None:
        """Add the seconds since the last lap to the training clock."""
        now = time.perf_counter()
        self.state.clock.training += now - self.mark
        self.mark = now

    def _emit(self, line: dict[str, Any]) -> None:
        """Write a line to the log and show it."""
        if self.folder is not None:
            self.folder.log(line)
        for observer in self.observers:
            observer.logged(line)

    def _end(self, result: dict[str, Any]) -> dict[str, Any]:
        """Write the result, which marks the run as finished, show it and return it."""
        assert self.folder is not None
        self.folder.finish(result)
        for observer in self.observers:
            observer.finished(result)
        return result


def _is_of_ones_own(module: nn.Module) -> bool:
    """Tell whether a module is a batch norm that knows nothing of other processes."""
    return isinstance(module, _BatchNorm) and not isinstance(module, BatchNorm2d | nn.SyncBatchNorm)
