"""The plan of a study: its networks, its images, and the iterations that fit in a time budget."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resnets import durations
from resnets.data.load import load_data
from resnets.data.splits import DataSplits
from resnets.depth_study.candidates import share_to_hold_out, size_of
from resnets.errors import TrainingError, UsageError, first_line
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.planning import dataset_stats, forecast
from resnets.planning.forecast import Rates
from resnets.planning.measure import loading_rate, measure
from resnets.planning.memory import Memory, available_memory, training_memory
from resnets.quantities import plural
from resnets.records.studies import PlannedNetwork, StudyPlan
from resnets.runtime.device import choose_device, choose_precision
from resnets.specs import Recipe, ResNetSpec
from resnets.training.config import TrainingConfig, resolve
from resnets.training.together import TRAINING_FAILURES

PHOTO_EPOCHS = 10.0  # of large images for an ImageNet-type network; with fewer a smaller type is used
LEAST = 20  # iterations of a study, with fewer of which a curve shows nothing
MEASURING = 0.5  # of the budget, at most, before any training
MARGIN = 0.07  # of the budget, for costs that are not measured
SHORT = 5_000  # iterations: a study's runs are no longer, as a rule, and measured as such
AROUND_A_RUN = 0.5  # seconds, of setting a run up and closing it
AROUND_ALL = 4.0  # seconds, of imports at the first run, and of the drawings at the end


@dataclass(frozen=True, eq=False)
class _Task:
    """The images for a kind of network, undivided and with some held out, and their recipe."""

    splits: DataSplits
    divided: DataSplits
    split: str
    recipe: Recipe

    @property
    def tested(self) -> tuple[int, int]:
        """Numbers of images of the final test and of the curve."""
        assert self.divided.validation is not None
        return len(self.divided.test), len(self.divided.validation)


# ---------------------------------------------------------------- how long


@dataclass(eq=False)
class Planner:
    """Measures networks on this machine, each once, and estimates what fits in the rest of a budget."""

    start: float  # by time.perf_counter
    budget: float  # in seconds
    config: TrainingConfig
    measured: dict[str, Rates] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # networks whose first steps failed, and why

    def plan(
        self, loaded: DataSplits, choices: Sequence[tuple[str, ...]], notify: Callable[[str], None]
    ) -> tuple[StudyPlan, DataSplits]:
        """Return the plan for the first choice of networks that fits memory and budget, and its images.

        A network whose first steps fail is left out, and the plan says why.

        Raises: UsageError, if not even the last choice fits, naming what would; TrainingError, if all networks fail.
        """
        for names in choices[:-1]:
            task = self._task(loaded, names[0])
            if reason := self._too_big(names, task) or self._too_long(names, task):
                notify(f"{reason}, so networks smaller than {', '.join(names)} are used")
                continue
            return self._plan(names, task, notify), task.splits
        names = choices[-1]
        task = self._task(loaded, names[0])
        if reason := self._too_big(names, task):
            offer = self._offer(names, task, lambda part: not self._too_big(part, task))
            raise UsageError(f"{reason}{offer or '; name smaller networks with --networks'}")
        return self._plan(names, task, notify), task.splits

    def _task(self, loaded: DataSplits, network: str) -> _Task:
        splits = load_data(loaded, registry.decoded_side(network))
        split = "all" if splits.validation is not None else share_to_hold_out(len(splits.train))
        divided = splits.divided(split, self.config.seed)
        return _Task(splits, divided, split, self.config.resolve_recipe(splits))

    def _too_big(self, names: Sequence[str], task: _Task) -> str:
        """Return a phrase on the first network that needs more memory than is free, or ''."""
        available, batch = available_memory(choose_device(self.config.device)), task.recipe.batch_size
        for name in names:
            needed = self._memory(_cost(name, task), task).of(batch)
            if needed > available:
                return (
                    f"{name} needs about {needed / 2**30:.1f} GiB of memory with {batch} images per iteration, and "
                    f"{available / 2**30:.1f} GiB are free"
                )
        return ""

    def _memory(self, cost: Complexity, task: _Task) -> Memory:
        target, in_memory = choose_device(self.config.device), 0
        if task.splits.train.kind == "arrays":
            in_memory = dataset_stats.stats_of(task.splits).memory_bytes(task.recipe.augmentation)
        return training_memory(
            cost,
            choose_precision(self.config.precision, target),
            target.type,
            images_bytes=in_memory,
            test_images=len(task.splits.test),
        )

    def _too_long(self, names: Sequence[str], task: _Task) -> str:
        """Return a phrase if the epochs would be too few, estimated from the first network and multiply-adds, or ''."""
        if not any(self._is_measured(name, task) for name in names):
            return ""  # none can be trained: `_plan` says why
        epochs = self._longest(task, names) * task.recipe.batch_size / len(task.divided.train)
        if epochs >= PHOTO_EPOCHS:
            return ""
        length = f"only {epochs:.1f}" if epochs >= 0.05 else "less than 0.1"
        return f"Within {durations.show(self.budget)} each would be trained for {length} epochs"

    def _longest(self, task: _Task, names: Sequence[str]) -> int:
        """Return the iterations that fit, by measured rates, and where there are none by multiply-adds."""
        rates = [self._rates(name, task) for name in names]
        return forecast.longest(task.recipe, rates, self._available(len(rates)), *task.tested)

    def _rates(self, name: str, task: _Task) -> Rates:
        if name in self.measured:
            return self.measured[name]
        first, rates = next(iter(self.measured.items()))
        times = _cost(name, task).macs / _cost(first, task).macs
        own = {part: times * getattr(rates, part) for part in ("step", "test", "final_test")}
        return dataclasses.replace(rates, **own)

    def elapsed(self) -> float:
        """Return the used seconds of the budget, which include reading the data and measuring."""
        return time.perf_counter() - self.start

    def _available(self, networks: int) -> float:
        """Return the remaining seconds for the runs."""
        return self.budget * (1 - MARGIN) - self.elapsed() - AROUND_ALL - networks * AROUND_A_RUN

    def _is_measured(self, name: str, task: _Task) -> bool:
        """Measure a network, and return whether its steps do not fail, as by a loss that is not finite."""
        if name not in self.failed:
            try:
                self._measure(name, task)
            except TRAINING_FAILURES as error:
                why = first_line(error)
                self.failed[name] = f"its first steps fail ({why}); try --precision fp32, or another --recipe"
        return name in self.measured

    def _measure(self, name: str, task: _Task) -> None:
        if name in self.measured:
            return
        before = time.perf_counter()
        config = dataclasses.replace(
            self.config,
            recipe=task.recipe.scaled(min(task.recipe.iterations, SHORT)),
            split=task.split,
        )
        todo = resolve(name, task.splits, config)
        in_memory = task.splits.train.kind == "arrays"
        reading = 0.0 if in_memory else time.perf_counter() - before  # for the mean image, and again in the run
        cost, batch = _cost(name, task), todo.recipe.batch_size
        memory = self._memory(cost, task)
        with tempfile.TemporaryDirectory(prefix="resnets-study-") as folder:
            found = measure(
                todo,
                batch,
                largest=memory.largest_batch(available_memory(todo.device)),
                macs=cost.macs,
                loading=math.inf if in_memory else loading_rate(todo, batch),
                folder=Path(folder),
                seconds=min(6.0, max(0.25, self.budget / 200)),
                workers=config.workers,
            )
        self.measured[name] = dataclasses.replace(found.rates, start=found.rates.start + reading)

    def _plan(self, names: Sequence[str], task: _Task, notify: Callable[[str], None]) -> StudyPlan:
        notify(f"Measuring a few steps of {plural(len(names), 'network')}: {', '.join(names)}")
        before = self.elapsed()
        for number, name in enumerate(names, 1):
            if not self._is_measured(name, task):
                notify(f"{name} is left out: {self.failed[name]}")
                continue
            each = (self.elapsed() - before) / number

            def fits(part: Sequence[str], each: float = each) -> bool:
                is_measured = before + each * len(part) <= MEASURING * self.budget
                return is_measured and self._longest(task, part) >= LEAST

            needed = before + each * len(names)
            if needed > MEASURING * self.budget:
                raise UsageError(
                    f"reading the data and measuring {plural(len(names), 'network')} takes {needed:.0f} s of a budget "
                    f"of {durations.show(self.budget)}: it is too small, or this machine too busy; "
                    f"--budget {durations.at_least(needed / MEASURING)} is enough{self._offer(names, task, fits)}"
                )
        if all(name in self.failed for name in names):
            raise TrainingError(f"no network could be measured: {names[0]}: {self.failed[names[0]]}")
        divided, recipe = task.divided, task.recipe
        test_images, validation_images = task.tested
        names = [name for name in names if name in self.measured]
        iterations = self._longest(task, names)
        if iterations < LEAST:
            raise UsageError(self._too_small(names, task, iterations) + self._offer(names, task, fits))
        scaled = recipe.scaled(iterations)

        def planned(name: str) -> PlannedNetwork:
            cost = _cost(name, task)
            return PlannedNetwork(
                network=name,
                depth=_depth(name, task),
                residual=getattr(registry.declare(name), "residual", None),
                parameters=cost.parameters,
                macs=cost.macs,
                memory=self._memory(cost, task).of(recipe.batch_size),
                seconds=forecast.duration(scaled, self.measured[name], test_images, validation_images).total,
            )

        return StudyPlan(
            data=divided.name,
            classes=len(divided.classes),
            training_images=len(divided.train),
            validation_images=validation_images,
            majority_class_error=_majority_class_error(divided),
            test_images=test_images,
            split=task.split,
            recipe=recipe.name,
            iterations=iterations,
            batch_size=recipe.batch_size,
            first_drop=scaled.milestones[0] if scaled.milestones else iterations // 2,
            seed=self.config.seed,
            budget=self.budget,
            networks=tuple(map(planned, names)),
            left_out=dict(self.failed),
        )

    def _too_small(self, names: Sequence[str], task: _Task, iterations: int) -> str:
        """Return a message that names a budget that is enough."""
        least = task.recipe.scaled(LEAST)
        runs = sum(forecast.duration(least, self.measured[name], *task.tested).total for name in names)
        needed = (runs + self.elapsed() + AROUND_ALL + len(names) * AROUND_A_RUN) / (1 - MARGIN)
        return (
            f"a budget of {durations.show(self.budget)} is too small for {plural(len(names), 'network')}: each would "
            f"get {plural(iterations, 'iteration')} and {LEAST} are needed; "
            f"--budget {durations.at_least(1.1 * needed)} is enough"
        )

    def _offer(self, names: Sequence[str], task: _Task, fits: Callable[[Sequence[str]], bool]) -> str:
        """Return an option that names the largest part of the networks that fits: fewer depths, or one; or ''."""
        depths = {name: _depth(name, task) for name in names}
        limits = sorted(set(depths.values()), reverse=True)[1:]
        parts = [tuple(name for name in names if depths[name] <= limit) for limit in limits]
        parts.append((min(names, key=lambda name: (depths[name], _is_plain(name))),))
        fitting = (part for part in parts if len(part) < len(names) and fits(part))
        return next((f", or --networks {','.join(part)}" for part in fitting), "")


def _majority_class_error(divided: DataSplits) -> float:
    """Return the validation error, in percent, of always predicting the commonest class.

    Classes are assumed to be equally common if labels are not known before images are read.
    """
    labels = None if divided.validation is None else divided.validation.labels
    if labels is None:
        return 100 * (1 - 1 / len(divided.classes))
    return 100 * (1 - float(np.bincount(labels).max()) / len(labels))


def _is_plain(name: str) -> bool:
    spec = registry.declare(name)
    return isinstance(spec, ResNetSpec) and not spec.residual


def _depth(name: str, task: _Task) -> int:
    return registry.declare(name).depth or _cost(name, task).depth


def _cost(name: str, task: _Task) -> Complexity:
    """Return the complexity of a network of this name on these images."""
    size, channels = size_of(task.splits)
    spec = registry.declare(name, num_classes=len(task.splits.classes), in_channels=channels)
    return complexity.measure(complexity.skeleton(spec), size, channels)
