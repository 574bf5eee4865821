"""`train`: a network, data and a recipe, by name or as objects, resolved into a run and carried out."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from resnets.api.data import load_data, split_data
from resnets.data import convention as conventions
from resnets.data.datasets import DataSplits, ImageArrays, ImageFiles
from resnets.data.pipeline import training_batches
from resnets.errors import RunError, UsageError
from resnets.networks import catalog, weights
from resnets.networks.execution import choose_device, choose_precision
from resnets.paper import recipes
from resnets.specs import InputConvention, NetworkSpec, Recipe, ResNetSpec, ScaleCropFlip, VGGSpec
from resnets.training.provenance import provenance
from resnets.training.run import RunFolder
from resnets.training.session import Job, Observer, run
from resnets.training.tensorboard import TensorBoard


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a finished run came to. Errors are in percent; `training_error` is over the last stretch of iterations."""

    folder: Path
    network: str
    iterations: int
    seed: int
    test_error: float
    training_error: float
    validation_error: float | None  # with a validation split
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
    `save_every` is in iterations; None saves every 30 seconds. A module is trained in place (and gets the weights of a
    run that had finished); torch's random state is set from the seed.

    Raises: UsageError, DataError, RunError, TrainingError, CheckpointError; Interrupted after a signal.
    """
    if isinstance(network, str):
        catalog.spec(network, **network_options)  # a wrong name or option shows before the data is read
    elif network_options:
        raise UsageError(f"{', '.join(network_options)}: an option of networks that are given by their name")
    _check(seed=seed, workers=workers, save_every=save_every)
    target = choose_device(device)
    multiply = choose_precision(precision, target)
    base = recipes.find(recipe) if isinstance(recipe, str) else recipe
    splits = split_data(load_data(data, network), split, seed)
    changed = _change(
        base or _default_recipe(splits), batch_size=batch_size, lr=lr, momentum=momentum, weight_decay=weight_decay
    )
    chosen = _applicable(_resize(changed, splits, iterations, epochs), network, splits)
    convention = _fit_convention(splits, chosen)
    torch.manual_seed(seed)
    module = _build(network, splits, chosen, convention, network_options)
    if precision == "auto" and _meets_single_pixels(module, convention):
        multiply = "fp32"
    about_network = _describe_network(module)
    description = {
        "network": about_network,
        "recipe": dataclasses.asdict(chosen),
        "data": _describe_data(splits, split),
        "seed": seed,
        "precision": multiply,
        "source": data if isinstance(data, str) else None,
        "workers": workers,
        "provenance": [provenance(target)],
    }
    batches = training_batches(
        splits.train,
        convention,
        batch_size=chosen.batch_size,
        seed=seed,
        augmentation=chosen.augmentation,
        workers=workers,
        device=target,
    )
    with RunFolder(Path(out or Path("runs") / f"{about_network['name']}-{splits.name}")) as folder:
        old = folder.description()
        if folder.checkpoints.paths() or folder.result():  # else nothing was begun that could be lost
            if old is None:
                raise RunError(
                    f"{folder.path} holds checkpoints but no run.json that says of what; name another with --out"
                )
            if precision == "auto":
                description["precision"] = multiply = old["precision"]
            folder.require_same(description)
            if not resume:
                raise RunError(f"{folder.path} holds this run already: add --resume, or name another with --out")
            if (result := folder.result()) is not None:
                weights.load(folder.weights).load_into(module)
                return _train_result(folder.path, result, already_finished=True)
            description["provenance"] = _continued(old["provenance"], provenance(target))
        folder.describe(description)
        job = Job(
            network=module,
            data=splits,
            batches=batches,
            recipe=chosen,
            convention=convention,
            seed=seed,
            device=target,
            precision=multiply,
            description=description,
            workers=workers,
            save_every=save_every,
        )
        return _train_result(folder.path, run(job, folder, [TensorBoard(folder.tensorboard), *observers]))


def find_recipe(name: str) -> Recipe:
    """Return a recipe by its name, for example to change it with `dataclasses.replace`.

    Raises: UsageError, naming the nearest ones, if there is none.
    """
    return recipes.find(name)


def _check(*, seed: int, workers: int, save_every: int | None) -> None:
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; it must be 0 or more and below 2**63")
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
    if save_every is not None and save_every < 1:
        raise UsageError(f"save_every is {save_every} iterations; it must be 1 or more")


def _default_recipe(splits: DataSplits) -> Recipe:
    if isinstance(splits.train, ImageFiles):
        return recipes.IMAGENET
    tiny = isinstance(splits.train, ImageArrays) and splits.train.images.shape[1] < 16  # pixels, as the digits
    return recipes.DIGITS if tiny else recipes.CIFAR


def _applicable(recipe: Recipe, network: str | nn.Module, splits: DataSplits) -> Recipe:
    """Return the recipe without what does not apply: a dataset object comes prepared, a module as it is."""
    if not isinstance(splits.train, ImageArrays | ImageFiles):
        recipe = dataclasses.replace(recipe, preprocessing=None, augmentation=None)
    if not isinstance(network, str):
        recipe = dataclasses.replace(recipe, bn_group=getattr(getattr(network, "spec", None), "bn_group", None))
    return recipe


def _change(recipe: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(recipe, **{name: value for name, value in changes.items() if value is not None})


def _resize(recipe: Recipe, splits: DataSplits, iterations: int | None, epochs: float | None) -> Recipe:
    if iterations is not None and epochs is not None:
        raise UsageError("iterations and epochs are both given; one of them is enough")
    if epochs is not None:
        if not (math.isfinite(epochs) and epochs > 0):
            raise UsageError(f"epochs is {epochs}; it must be a positive number")
        iterations = max(1, round(epochs * len(splits.train) / recipe.batch_size))  # type: ignore[arg-type]
    return recipe if iterations is None else recipe.scaled(iterations)


def _fit_convention(splits: DataSplits, recipe: Recipe) -> InputConvention | None:
    if recipe.preprocessing is None:
        return None
    if isinstance(splits.train, ImageArrays):
        return conventions.fit(splits.train, recipe.preprocessing)
    assert isinstance(splits.train, ImageFiles)
    crop = recipe.augmentation
    if not isinstance(crop, ScaleCropFlip):
        raise UsageError(f"recipe {recipe.name!r} pads and crops small images of one size; for photos take 'imagenet'")
    return conventions.fit_photos(splits.train, recipe.preprocessing, size=crop.crop, resize=crop.shortest)


def _build(
    network: str | nn.Module,
    splits: DataSplits,
    recipe: Recipe,
    convention: InputConvention | None,
    options: dict[str, Any],
) -> nn.Module:
    """Return the module, new if the network is a name; one of ours must fit the data."""
    if isinstance(network, str):
        fitting: dict[str, Any] = {
            "num_classes": len(splits.classes),
            "in_channels": convention.channels if convention else 3,
        }
        if isinstance(catalog.spec(network), ResNetSpec):
            fitting["bn_group"] = recipe.bn_group
        network = catalog.create(network, **(fitting | options))
    spec = getattr(network, "spec", None)
    if isinstance(spec, ResNetSpec | VGGSpec):
        if spec.num_classes != len(splits.classes):
            raise UsageError(f"{spec.name} has num_classes={spec.num_classes}; {splits.name} has {len(splits.classes)}")
        if convention is not None:
            _check_images(spec, splits, convention)
    return network


def _meets_single_pixels(network: nn.Module, convention: InputConvention | None) -> bool:
    """Tell whether a 3x3 convolution of stride 2 would see maps of one pixel.

    There torch's bf16 gradient on a CPU holds uninitialised memory at the taps that only meet padding.
    """
    spec = getattr(network, "spec", None)
    return isinstance(spec, ResNetSpec) and spec.type == "imagenet" and convention is not None and convention.size <= 16


def _describe_network(network: nn.Module) -> dict[str, Any]:
    spec = getattr(network, "spec", None)
    if isinstance(spec, ResNetSpec | VGGSpec):
        return weights.spec_to_dict(spec)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"name": type(network).__name__, "parameters": parameters}


def _continued(earlier: list[dict[str, Any]], now: dict[str, Any]) -> list[dict[str, Any]]:
    """Return where each stretch of a run was made, where that changed."""
    if earlier[-1] == now:
        return earlier
    changed = [key for key in now if earlier[-1].get(key) != now[key]]
    warnings.warn(f"continued with another {' and '.join(changed)} than before; run.json records both", stacklevel=3)
    return [*earlier, now]


def _check_images(spec: NetworkSpec, splits: DataSplits, convention: InputConvention) -> None:
    size = convention.size
    if spec.in_channels != convention.channels:
        raise UsageError(f"{spec.name} has in_channels={spec.in_channels}; {splits.name} has {convention.channels}")
    if isinstance(spec, VGGSpec) and size < 32:
        raise UsageError(
            f"{spec.name} needs images of 32 x 32 pixels or more; those of {splits.name} are {size} x {size}"
        )
    if spec.type == "imagenet" and size < 64:
        warnings.warn(
            f"{spec.name} is made for photos of 224 x 224 pixels; for images of {size} x {size} the paper has "
            f"resnet20, resnet32, resnet44, resnet56 and resnet110",
            stacklevel=4,
        )


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
        network=result["network"],
        iterations=result["iterations"],
        seed=result["seed"],
        test_error=result["test_error"],
        training_error=result["training_error"],
        validation_error=result.get("validation_error"),
        seconds=result["seconds"],
        images_per_second=result["images_per_second"],
        curve=result["curve"],
    )
