"""Train a detector in a run's folder, by the same stretches, checkpoints and log as a classifier."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from resnets.detection.annotations import AnnotatedImage
from resnets.detection.config import DetectorTraining
from resnets.detection.detector import save_detector
from resnets.detection.faster_rcnn import LOSSES
from resnets.detection.pixels import TrainingSamples
from resnets.detection.predict import detect_all
from resnets.files import writing
from resnets.runtime.device import Precision
from resnets.training.run import RunFolder
from resnets.training.state import Meter
from resnets.training.stretch import Observer, Stretch


def run(job: DetectorTraining, folder: RunFolder, observers: list[Observer]) -> dict[str, Any]:
    """Train to the end and return the result; the folder is locked by the caller.

    Raises: as `training.session.run`.
    """
    return _DetectionStretch(job, folder, observers).run()


class _DetectionStretch(Stretch):
    """One stretch of a detector's run."""

    def __init__(self, job: DetectorTraining, folder: RunFolder, observers: list[Observer]) -> None:
        super().__init__(job, folder, observers)
        self.job = job
        sums = torch.zeros(len(LOSSES) + 1, dtype=torch.float64, device=job.device)  # and the share of wrong regions
        self.state.meter = Meter(sums, self.state.meter.wrong)
        # the curve is on the validation split where there is one, so that the test set is seen once, at the end
        self.curve_on = "test" if job.data.validation is None else "validation"

    def _train(self) -> None:
        job, state = self.job, self.state
        samples = TrainingSamples(job.data.train, job.recipe, seed=job.seed, workers=job.workers)
        job.network.train().lay_out_for(job.device, job.precision)
        state.execution = "eager"
        for images in samples.batches(state.iteration, job.recipe.iterations):
            state.set_lr(state.schedule.lr(state.iteration))
            state.optimizer.zero_grad(set_to_none=True)
            parts = torch.zeros_like(state.meter.loss_sum)
            for sample in images:  # one after the other: the gradients add up, and no image is padded
                with torch.autocast(job.device.type, torch.bfloat16, enabled=job.precision == "bf16"):
                    answers = job.network(*sample.to(job.device))
                (answers[: len(LOSSES)].sum() / len(images)).backward()
                parts += answers.detach() / len(images)
            state.guard.watch(parts[: len(LOSSES)].sum(), state.iteration)
            state.optimizer.step()
            state.meter.add(parts, torch.zeros_like(state.meter.wrong), len(images))
            state.meter.images += len(images)
            state.iteration += 1
            self._after_step()

    def _log(self, test: bool) -> None:
        job, state = self.job, self.state
        self._lap()
        images = state.meter.images
        *losses, wrong = (state.meter.loss_sum / images).tolist()
        line: dict[str, Any] = {"iteration": state.iteration, "lr": state.lr, "loss": sum(losses)}
        line |= dict(zip(LOSSES, losses, strict=True))
        line |= {"training_error": 100.0 * wrong, "images": images}  # of the regions that were drawn
        state.meter.reset()
        state.schedule.log(state.iteration, images, line["training_error"])
        if test and state.iteration < job.recipe.iterations:  # at the end there is the final test
            split = job.data.test if job.data.validation is None else job.data.validation
            if (mean_ap := self._test(split, job.precision)["mean_ap"]) is not None:
                line[f"{self.curve_on}_map"] = 100.0 * mean_ap  # percent, as the errors
            job.network.train()
        line |= {"seconds": round(state.clock.training + state.clock.testing, 3)}
        line |= {"images_per_second": round(state.iteration * job.recipe.batch_size / state.clock.training, 3)}
        self._emit(line)

    def _test(self, split: Sequence[AnnotatedImage], precision: Precision) -> dict[str, Any]:
        """Return the scores on a split; where only a server knows its boxes, there are none."""
        job = self.job
        if split is job.data.test and not job.data.test_annotated:
            return {"mean_ap": None}
        found = detect_all([job.network], split, device=job.device, precision=precision, workers=job.workers)
        scores = job.score(split, list(found))
        now = time.perf_counter()
        self.state.clock.testing += now - self.mark
        self.mark = now
        return scores

    def _finish(self) -> dict[str, Any]:
        job, state = self.job, self.state
        assert self.folder is not None
        with writing(self.folder.weights):
            save_detector(self.folder.weights, job.network, job.data.classes)
        self.mark = time.perf_counter()
        final = self._test(job.data.test, "fp32")
        timings = ("seconds", "images_per_second")
        curve = [{key: line[key] for key in line if key not in timings} for line in self.folder.logged()]
        result: dict[str, Any] = {
            "network": job.description["network"]["name"],
            "data": job.data.name,
            "recipe": job.recipe.name,
            "iterations": job.recipe.iterations,
            "seed": job.seed,
            "test_images": len(job.data.test),
            "scores": final,
        }
        if job.data.validation is not None:
            result["validation_scores"] = self._test(job.data.validation, "fp32")
        result |= {
            "seconds": round(state.clock.training + state.clock.testing, 1),
            "images_per_second": round(state.iteration * job.recipe.batch_size / state.clock.training, 3),
            "curve": curve,
            "run": job.description,
        }
        return self._end(result)
