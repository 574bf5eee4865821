"""The run of a classifier: its training, its tests on the way and its result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from resnets.data.splits import DataSplits, Split, TrainingBatches
from resnets.evaluation.metrics import Counts
from resnets.evaluation.single_view import SingleView
from resnets.files import writing
from resnets.networks.sync_batch_norm import average_statistics
from resnets.runtime.device import Precision
from resnets.runtime.processes import ALONE, World
from resnets.specs import InputConvention, Recipe
from resnets.training.loop import train
from resnets.training.run import RunFolder
from resnets.training.statistics import recompute_statistics
from resnets.training.stretch import Observer, Stretch
from resnets.weights import weights_file


@dataclass(frozen=True, eq=False)
class Job:
    """Everything resolved that a run needs."""

    network: nn.Module
    data: DataSplits
    batches: TrainingBatches
    recipe: Recipe
    convention: InputConvention | None
    seed: int
    device: torch.device
    precision: Precision
    description: dict[str, Any]  # run.json
    workers: int = 0  # processes that read what is tested on
    save_every: int | None = None  # iterations between checkpoints; None: every 30 seconds
    accumulate: int = 1  # parts of a mini-batch, one after the other
    world: World = ALONE


def run(job: Job, folder: RunFolder | None, observers: list[Observer]) -> dict[str, Any]:
    """Train to the end and return the result; the folder is locked by the caller.

    Of several processes the first alone has the folder and tells the observers; the others have neither.

    Raises: Interrupted, after a signal, once the state is saved; TrainingError; CheckpointError; RunError, if the
    folder cannot be written (the newest checkpoint stays).
    """
    return _Session(job, folder, observers).run()


class _Session(Stretch):
    """One stretch of a classifier's run."""

    def __init__(self, job: Job, folder: RunFolder | None, observers: list[Observer]) -> None:
        super().__init__(job, folder, observers)
        self.job = job
        # the curve is on the validation split where there is one, so that the test set is seen once, at the end
        self.curve_on = "test" if job.data.validation is None else "validation"
        self.final_test = self._test_of(job.data.test)
        self.curve_test = self.final_test if job.data.validation is None else self._test_of(job.data.validation)

    def _train(self) -> None:
        train(
            self.state,
            self.job.recipe,
            self.job.batches,
            device=self.job.device,
            precision=self.job.precision,
            after_step=self._after_step,
            accumulate=self.job.accumulate,
            seed=self.job.seed,
            world=self.world,
        )

    def _log(self, test: bool) -> None:
        state = self.state
        self._lap()
        state.meter.gather(self.world)
        line = self.world.tell(self._line)
        state.meter.reset()
        state.schedule.log(state.iteration, line["images"], line["training_error"])
        if test:
            counts = self._test(self.curve_test, self.job.precision)
            line |= {f"{self.curve_on}_error": counts.top1_error, f"{self.curve_on}_loss": counts.loss}
        line |= {"seconds": round(state.clock.training + state.clock.testing, 3)}
        line |= {"images_per_second": round(state.iteration * self.job.recipe.batch_size / state.clock.training, 1)}
        self._emit(line)

    def _line(self) -> dict[str, Any]:
        """Return what the first process has gathered since the last line."""
        state = self.state
        images = state.meter.images
        return {
            "iteration": state.iteration,
            "lr": state.lr,
            "loss": state.meter.loss_sum.item() / images,
            "training_error": 100.0 * state.meter.wrong.item() / images,
            "images": images,
        }

    def _test_of(self, split: Split) -> SingleView:
        """Return the test of the network, or of its average, on this process's share of a split."""
        return SingleView(
            self.state.tested,
            split.take(self.world.share),
            self.job.convention,
            classes=len(self.job.data.classes),
            device=self.job.device,
            workers=self.job.workers,
        )

    def _test(self, test: SingleView, precision: Precision) -> Counts:
        """Test on this process's share of a split, and return the counts over all of it."""
        average_statistics(test.network, self.world)
        counts = test(precision).summed(self.world)
        now = time.perf_counter()
        self.state.clock.testing += now - self.mark
        self.mark = now
        return counts

    def _finish(self) -> dict[str, Any]:
        job, state = self.job, self.state
        if job.recipe.bn_images is not None:
            enough = -(-job.recipe.bn_images // job.recipe.batch_size)
            batches = job.batches.batches(state.iteration, state.iteration + enough)  # as the last ones: of full size
            recompute_statistics(
                state.tested, batches, job.recipe.bn_images, job.device, self.world, accumulate=job.accumulate
            )
            self._lap()
        if self.folder is not None:
            with writing(self.folder.weights):
                weights_file.save(
                    self.folder.weights, state.tested, classes=job.data.classes, convention=job.convention
                )
        self.mark = time.perf_counter()
        counts = self._test(self.final_test, "fp32")  # as `evaluate` does, whatever the training computed in
        unaveraged: Counts | None = None
        if state.average is not None:  # the last weights themselves, for comparison; then the module gets what is saved
            averaged, state.average = state.average, None
            unaveraged = self._test(self._test_of(job.data.test), "fp32")
            job.network.load_state_dict(averaged.network.state_dict())
        return self.world.tell(lambda: self._write_result(counts, unaveraged))

    def _write_result(self, counts: Counts, unaveraged: Counts | None) -> dict[str, Any]:
        assert self.folder is not None
        job, state = self.job, self.state
        curve = _curve(self.folder.logged(), self.curve_on)
        result: dict[str, Any] = {
            "network": job.description["network"]["name"],
            "data": job.data.name,
            "recipe": job.recipe.name,
            "iterations": job.recipe.iterations,
            "seed": job.seed,
            "test_error": counts.top1_error,
            "test_top5_error": counts.top5_error,
            "test_samples": counts.samples,
            "training_error": curve[-1]["training_error"],
        }
        if unaveraged is not None:
            result["unaveraged_test_error"] = unaveraged.top1_error
        if job.data.validation is not None:
            result["validation_error"] = curve[-1]["validation_error"]
        result |= {
            "warmed_up_at": state.schedule.warmed_up_at,
            "seconds": round(state.clock.training + state.clock.testing, 1),
            "images_per_second": round(state.iteration * job.recipe.batch_size / state.clock.training, 1),
            "curve": curve,
            "run": job.description,
        }
        return self._end(result)


def _curve(log: list[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    """Return the points at which the network was tested, with the training error since the point before."""
    curve, images, wrong = [], 0, 0.0
    for line in log:
        images += line["images"]
        wrong += line["images"] * line["training_error"]
        if f"{split}_error" in line:
            point = {"iteration": line["iteration"], "training_error": wrong / images}
            curve.append(point | {f"{split}_error": line[f"{split}_error"]})
            images, wrong = 0, 0.0
    return curve
