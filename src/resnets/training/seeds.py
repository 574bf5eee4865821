"""A training with several seeds: a run for each, in a folder of its own, and the mean and deviation of their errors."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

from resnets.data.folder import require_outside
from resnets.data.load import load_data
from resnets.errors import UsageError, first_line
from resnets.files import require_folder
from resnets.networks import registry
from resnets.runtime.launch import require_alone
from resnets.runtime.turns import Session
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.training.observers import Observer
from resnets.training.run_folder import RunFolder, continuing, earlier_record
from resnets.training.settings import TrainSettings
from resnets.training.together import Process, train_together
from resnets.training.train import TrainResult, require_start, run_folder, session


@dataclass(frozen=True, kw_only=True)
class SeedsResult:
    """The results of the seeds that were trained to their end, and why others failed, by seed. Units: percent."""

    results: tuple[TrainResult, ...]
    failed: dict[int, str]

    @property
    def mean(self) -> float:
        """The mean test error."""
        return statistics.fmean(result.test_error for result in self.results)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the test errors, of a sample; None for one."""
        errors = [result.test_error for result in self.results]
        return statistics.stdev(errors) if len(errors) > 1 else None


class SeveralSeeds:
    """The runs of a training with several seeds; arguments and settings are those of `train`.

    Each is in the folder OUT-seed with its seed. The data is read once.

    Raises: UsageError, DataError, WeightsError; RunError, if a folder holds another run, or this one and it is not to
        be resumed; all before anything is trained.
    """

    def __init__(
        self,
        network: str,
        data: str,
        seeds: Sequence[int],
        *,
        out: Path | None = None,
        resume: bool = False,
        **settings: Unpack[TrainSettings],
    ) -> None:
        require_alone("train --seeds")
        self.network, self.source, self.seeds, self.resume = network, data, tuple(seeds), resume
        self.config = TrainingConfig.from_settings(**settings)
        require_folder(out)
        if out is not None and out.name in ("", ".."):
            raise UsageError(
                f"out is {str(out)!r}; it must end in a name, as runs/{network} does: seed 0 is in NAME-seed0"
            )
        self.data = load_data(data)
        self.out = run_folder(out, network, self.data.name)
        for seed in seeds:
            require_outside(self.folder(seed), data)
        self.first = self.training(self.seeds[0])
        require_start(self.first, self.config)
        for seed in filter(self.is_started, self.seeds):
            started = self.training(seed)
            folder = RunFolder(self.folder(seed))
            continuing(folder, started.record, resume=resume, keep_precision=started.keep_precision)
        self.first.warn_if_short()

    def training(self, seed: int) -> Training:
        """Return the training with a seed, resolved."""
        config = dataclasses.replace(self.config, seed=seed)
        earlier = earlier_record(lambda _: self.folder(seed), resume=self.resume)
        return resolve(self.network, self.data, config, earlier=earlier).from_source(self.source)

    def folder(self, seed: int) -> Path:
        """Return the folder of the run with a seed."""
        return self.out.with_name(f"{self.out.name}-seed{seed}")

    def is_started(self, seed: int) -> bool:
        """Return whether the run with a seed has checkpoints or its result."""
        return RunFolder(self.folder(seed)).started() is not None

    def is_finished(self, seed: int) -> bool:
        """Return whether the run with a seed has its result."""
        return (self.folder(seed) / "result.json").exists()

    def train(self, groups: Sequence[Sequence[int]], observe: Callable[[int], Observer] | None = None) -> SeedsResult:
        """Train groups of seeds one after another, those of a group together.

        Raises: RunError, CheckpointError, DataError; Interrupted after a signal, with everything saved.
        """
        depth = registry.declare(self.network).depth or 0
        results: list[TrainResult] = []
        failed: dict[int, str] = {}

        def run(seed: int, process: Process) -> Session[TrainResult]:
            watching = [observe(seed)] if observe else []
            training, folder = self.training(seed), self.folder(seed)
            return (yield from session(training, folder, process, resume=self.resume, observers=watching))

        for group in groups:
            runs = [partial(run, seed) for seed in group]
            outcomes = train_together(runs, self.first.device, [depth] * len(group))
            for seed, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    failed[seed] = first_line(outcome)
                else:
                    results.append(outcome)
        return SeedsResult(results=tuple(results), failed=failed)
