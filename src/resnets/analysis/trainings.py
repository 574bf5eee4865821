"""Trainings for an analysis: of a network by its name, or of a finished run as it was at its start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from resnets.data.load import load_data
from resnets.data.splits import DataSplits
from resnets.errors import DataError, RunError, WeightsError
from resnets.networks import registry
from resnets.records import base
from resnets.records.runs import RunRecord
from resnets.specs import Recipe
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.weights import weights_file


def initial(
    network: str,
    splits: DataSplits,
    recipe: str | Recipe | None,
    iterations: int | None,
    seed: int,
    device: str,
    workers: int,
) -> Training:
    """Return the training of a new network, initialised by a seed, in float32. Raises: as `resolve`."""
    config = TrainingConfig(
        recipe=recipe, iterations=iterations, seed=seed, device=device, precision="fp32", workers=workers
    )
    return resolve(network, splits, config)


def from_run(folder: Path, splits: DataSplits, device: str, workers: int) -> Training:
    """Return the training of a classifier's run, as it was before its first iteration, in float32.

    Raises: RunError, if the folder holds no such run; DataError, if the data is not what the run was trained on.
    """
    record = base.read(folder / "run.json", RunRecord)
    if record is None or record.network.detector is not None or not isinstance(record.recipe, Recipe):
        raise RunError(f"{folder}: holds no run of a classifier; name a folder that `resnets train` wrote")
    if record.network.spec is None:
        raise WeightsError(f"{folder}: is of a custom module, which is not built by a name; register it to analyse it")
    splits = load_data(splits, registry.decoded_side(record.network.name))
    if splits.digest != record.data.digest:
        raise DataError(f"{folder} was trained on {record.data.in_words()}; {splits.name} is other data")
    torch.manual_seed(record.seed)
    network = registry.build(record.network.spec)  # as `train` has initialised it
    config = TrainingConfig(
        recipe=record.recipe.with_changes(distillation=None),  # the loss of the labels
        split=record.data.split,
        seed=record.seed,
        device=device,
        precision="fp32",
        workers=workers,
    )
    training = resolve(network, splits, config).resumed(record)
    weights = folder / "weights.safetensors"
    if record.start is None or not weights.is_file():
        return training
    return dataclasses.replace(training, input_spec=weights_file.load(weights).input_spec)  # of what it started from
