"""The calls behind the commands: defaults are resolved here, results are small dataclasses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from resnets.data import convention as conventions
from resnets.data import sources
from resnets.data.datasets import DataSplits, ImageArrays, ImageFiles
from resnets.data.pipeline import training_batches
from resnets.errors import RunError, UsageError
from resnets.evaluation.metrics import Counts
from resnets.evaluation.protocols import single_view
from resnets.networks import catalog, weights
from resnets.networks.execution import choose_device, choose_precision
from resnets.paper import recipes
from resnets.specs import InputConvention, NetworkSpec, PadCropFlip, Recipe, ResNetSpec, ScaleCropFlip, VGGSpec, to_dict
from resnets.training.provenance import provenance
from resnets.training.run import RunFolder
from resnets.training.session import Job, Observer, run
from resnets.training.tensorboard import TensorBoard

SPLITS = ("all", "45k5k")


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a finished run came to. Errors are in percent; `training_error` is over the last stretch of iterations."""

    folder: Path
    network: str
    iterations: int
    test_error: float
    training_error: float
    seconds: float
    images_per_second: float
    curve: list[dict[str, Any]]
    already_finished: bool = False


def train(
    network: str | nn.Module,
    data: str | DataSplits | tuple[Dataset[Any], Dataset[Any]],
    *,
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    iterations: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    seed: int = 0,
    split: str = "all",
    device: str = "auto",
    precision: str = "auto",
    workers: int = 2,
    save_every: int | None = None,
    observers: Iterable[Observer] = (),
    **network_options: Any,
) -> TrainResult:
    """Train a network by a recipe in a folder of its own, and return how it ended.

    `network` is a name, with `network_options` as in `create`, or any module. `data` is a source (`cifar10`,
    `folder:PATH`, ...), splits, or a pair of map-style datasets (training, test) of (image tensor, label).
    `recipe` is a name or a recipe; None takes the one for the data. `iterations` (or `epochs`) changes its length,
    with its milestones in proportion. `split` is `all` or, on CIFAR, `45k5k`, which draws 5,000 validation
    images by the seed. With `resume`, a run found in `out` goes on, and a finished one is returned.
    `save_every` is in iterations; None saves every 30 seconds.

    Raises: UsageError, DataError, RunError, TrainingError, CheckpointError; Interrupted after a signal.
    """
    splits = _load(network, data)
    chosen = _recipe(recipe, splits)
    splits = _split(splits, split, seed)
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; it must be in [0, 2**63)")
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
    if save_every is not None and save_every < 1:
        raise UsageError(f"save_every is {save_every} iterations; it must be 1 or more")
    changes = {"batch_size": batch_size, "lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    chosen = dataclasses.replace(chosen, **{key: value for key, value in changes.items() if value is not None})
    if iterations is not None and epochs is not None:
        raise UsageError("iterations and epochs are given; one of them is enough")
    if epochs is not None:
        if not (math.isfinite(epochs) and epochs > 0):
            raise UsageError(f"epochs is {epochs}; it must be a positive number")
        iterations = max(1, round(epochs * len(splits.train) / chosen.batch_size))  # type: ignore[arg-type]
    if iterations is not None:
        chosen = chosen.scaled(iterations)

    place, numbers = choose_device(device), choose_precision(precision, choose_device(device))
    convention = _fit_convention(splits, chosen)
    torch.manual_seed(seed)
    module, network_description = _network(network, splits, chosen, convention, network_options)
    description = {
        "network": network_description,
        "recipe": to_dict(chosen),
        "data": _describe_data(splits, split),
        "seed": seed,
        "precision": numbers,
        "source": data if isinstance(data, str) else None,
        "provenance": provenance(place),
    }
    path = Path(out) if out is not None else Path("runs") / f"{network_description['name']}-{splits.name}"
    with RunFolder(path) as folder:
        if (old := folder.description()) is not None:
            if not resume:
                raise RunError(f"{path} holds a run already; continue it with --resume or choose another folder with --out")
            if precision == "auto":
                description["precision"] = numbers = old["precision"]
            folder.require_same(description)
            if (result := folder.result()) is not None:
                return _train_result(path, result, already_finished=True)
        elif folder.checkpoints.paths() or folder.result():
            raise RunError(f"{path} holds checkpoints but no run.json, so what they belong to is unknown; choose another folder")
        else:
            folder.describe(description)
        job = Job(
            network=module,
            data=splits,
            batches=training_batches(
                splits.train,
                convention,
                batch_size=chosen.batch_size,
                seed=seed,
                augmentation=chosen.augmentation,
                workers=workers,
            ),
            recipe=chosen,
            convention=convention,
            seed=seed,
            device=place,
            precision=numbers,
            description=description,
            evaluate=lambda network, images: single_view(
                network,
                images,
                convention,
                classes=len(splits.classes),
                device=place,
                precision=numbers,
                workers=workers,
            ),
            save_every=save_every,
        )
        return _train_result(path, run(job, folder, [TensorBoard(folder.tensorboard), *observers]))


def _load(network: str | nn.Module, data: str | DataSplits | tuple[Dataset[Any], Dataset[Any]]) -> DataSplits:
    if isinstance(data, DataSplits):
        return data
    if isinstance(data, str):
        spec = catalog.spec(network) if isinstance(network, str) else getattr(network, "spec", None)
        small = isinstance(spec, ResNetSpec) and spec.type == "cifar"
        return sources.load(data, size=32 if small else None)
    training, test = data
    for name, dataset in (("training", training), ("test", test)):
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise UsageError(f"the {name} dataset is a {type(dataset).__name__}; it needs __getitem__ and __len__")
    return DataSplits(name="dataset", train=training, test=test, classes=_classes_of(training))


def _classes_of(dataset: Dataset[Any]) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    if names is None:
        raise UsageError(
            "the training dataset has no attribute `classes` (the class names); pass resnets.DataSplits(name=..., "
            "train=..., test=..., classes=...) instead"
        )
    return tuple(map(str, names))


def _split(splits: DataSplits, split: str, seed: int) -> DataSplits:
    if split not in SPLITS:
        raise UsageError(f"split is {split!r}; it must be {' or '.join(SPLITS)}")
    if split == "all":
        return splits
    if len(splits.train) != 50_000:  # type: ignore[arg-type]
        raise UsageError(f"split 45k5k is for CIFAR's 50,000 training images; {splits.name} has {len(splits.train):,}")  # type: ignore[arg-type]
    return splits.hold_out(5_000, seed)


def _recipe(recipe: str | Recipe | None, splits: DataSplits) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is not None:
        return recipes.find(recipe)
    if isinstance(splits.train, ImageFiles):
        return recipes.IMAGENET
    return recipes.DIGITS if splits.name == "digits" else recipes.CIFAR


def _fit_convention(splits: DataSplits, recipe: Recipe) -> InputConvention | None:
    if isinstance(splits.train, ImageArrays):
        return conventions.fit(splits.train, recipe.preprocessing)
    if isinstance(splits.train, ImageFiles):
        raise UsageError("photos: not yet")
    return None


def _network(
    network: str | nn.Module,
    splits: DataSplits,
    recipe: Recipe,
    convention: InputConvention | None,
    options: dict[str, Any],
) -> tuple[nn.Module, dict[str, Any]]:
    if isinstance(network, nn.Module):
        if options:
            raise UsageError(f"{', '.join(options)}: options of a network that is given by its name")
        spec = getattr(network, "spec", None)
        if isinstance(spec, ResNetSpec | VGGSpec):
            return network, weights.spec_to_dict(spec)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return network, {"name": type(network).__name__, "parameters": parameters}
    options = {"num_classes": len(splits.classes), "in_channels": convention.channels if convention else 3} | options
    if not network.startswith("vgg"):
        options.setdefault("bn_group", recipe.bn_group)
    spec = catalog.spec(network, **options)
    return catalog.build(spec), weights.spec_to_dict(spec)


def _describe_data(splits: DataSplits, split: str) -> dict[str, Any]:
    return {
        "name": splits.name,
        "split": split,
        "digest": splits.digest,
        "classes": list(splits.classes),
        "training_images": len(splits.train),  # type: ignore[arg-type]
        "test_images": len(splits.test),  # type: ignore[arg-type]
    }


def _train_result(folder: Path, result: dict[str, Any], *, already_finished: bool = False) -> TrainResult:
    return TrainResult(
        folder=folder,
        already_finished=already_finished,
        **{
            name: result[name]
            for name in (
                "network",
                "iterations",
                "test_error",
                "training_error",
                "seconds",
                "images_per_second",
                "curve",
            )
        },
    )
