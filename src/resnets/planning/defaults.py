"""Estimated time of a run that is about to start, from its record alone."""

from __future__ import annotations

import dataclasses
import os

import torch
from torch.utils.data import TensorDataset

from resnets.data.map_datasets import MapSplit
from resnets.data.splits import DataSplits
from resnets.errors import ResnetsError
from resnets.networks import complexity, registry
from resnets.paper.recipes import CIFAR
from resnets.planning import forecast
from resnets.planning.measure import StepTime, measure_steps, rates_of, timed_batch
from resnets.records.runs import RunRecord
from resnets.specs import DetectionRecipe, NetworkSpec, PhotoAugmentation
from resnets.training.config import TrainingConfig, resolve

MINUTE = 60.0
READING = 300.0  # photos a second that a core reads, decodes and crops
SLOWEST = {"cpu": 5e9, "cuda": 1e12}  # multiply-adds a second that any of them reaches
STEP_MACS = 9e9  # of the images of a step that is timed on a CPU; fewer would take longer each
SECONDS = 0.5  # of steps that are timed
LIMIT = 2.0  # seconds, after which one step that was timed is enough
STEPS = 1_000  # of a run for which nothing is compiled


def estimated_seconds(run: RunRecord) -> float | None:
    """Return the seconds that a run takes on its device, where they may be more than a minute, else None.

    Also None where that is not known. A few steps on black images are timed, in some two seconds; reading photos is
    taken to go at the speed of a usual core. A detector is taken for a classifier of as many pixels: its regions cost
    more, its frozen stages less. Torch's random state stays as it is.
    """
    spec, recipe, hardware = run.network.spec, run.recipe, run.provenance[-1].hardware
    if spec is None or run.teacher is not None or "processes" in hardware:
        return None
    size, pixels = getattr(recipe.augmentation, "crop", spec.input_size), 1.0
    if isinstance(recipe, DetectionRecipe):
        pixels = recipe.shorter_side * min(recipe.longest_side, recipe.shorter_side * 4 / 3) / size**2
    device = torch.device(str(hardware["device"]))
    cost = complexity.measure(complexity.skeleton(spec), size)
    if 3 * cost.macs * pixels * recipe.batch_size * recipe.iterations < MINUTE * SLOWEST[device.type]:
        return None
    try:
        steps = _steps(run, spec, size, timed_batch(recipe.batch_size, cost.macs, device, step_macs=STEP_MACS))
    except (ResnetsError, RuntimeError, MemoryError):  # which are the run's own to report
        return None
    step = steps.step * pixels
    if isinstance(recipe.augmentation, PhotoAugmentation):
        reading = steps.batch_size / (READING * max(1, min(run.workers, os.cpu_count() or 1)))
        step = max(step, reading) if device.type == "cuda" else step + reading  # a CPU does either
    rates = rates_of(dataclasses.replace(steps, step=step), recipe.batch_size, run.precision, cost)
    return forecast.duration(recipe, rates, run.data.test_images).total


def _steps(run: RunRecord, spec: NetworkSpec, size: int, batch_size: int) -> StepTime:
    """Time steps of a run's network on black images."""
    device = str(run.provenance[-1].hardware["device"])
    black = torch.zeros(1, spec.in_channels, size, size).expand(batch_size, -1, -1, -1)
    split = MapSplit(TensorDataset(black, torch.zeros(batch_size, dtype=torch.int64)))
    data = DataSplits(name="black", train=split, test=split, classes=tuple(map(str, range(spec.num_classes))))
    short = CIFAR.scaled(STEPS).with_changes(batch_size=batch_size, bn_group=None)
    config = TrainingConfig(recipe=short, device=device, precision=run.precision, workers=0)
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        steps, _ = measure_steps(resolve(registry.build(spec), data, config), warm_up=1, seconds=SECONDS, limit=LIMIT)
    return steps
