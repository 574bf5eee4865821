"""`train`: a network, data and a recipe, by name or as objects, resolved into a run and carried out."""

from __future__ import annotations

import dataclasses
import hashlib
import reprlib
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.utils.data import Dataset

from resnets.data.loading import Batching
from resnets.data.splits import DataSplits
from resnets.errors import RunError, TrainingError, UsageError
from resnets.networks.registry import spec_of
from resnets.networks.sync_batch_norm import require_nesting
from resnets.runtime.launch import joined
from resnets.runtime.processes import ALONE, World
from resnets.runtime.provenance import provenance
from resnets.specs import Recipe
from resnets.training.accumulation import require_parts
from resnets.training.config import Resolved, resolve
from resnets.training.recipes import FINETUNE
from resnets.training.run import RunFolder, difference, identity
from resnets.training.session import Job, run
from resnets.training.statistics import norms_of
from resnets.training.stretch import Observer
from resnets.training.tensorboard import TensorBoard
from resnets.weights import weights_file as weights_files
from resnets.weights.weights_file import load_weights


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
    size: int | None = None,
    bn_images: int | None = None,
    ema: float | None = None,
    evaluate_every: int | None = None,
    accumulate: int = 1,
    seed: int = 0,
    split: str = "all",
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    workers: int = 2,
    save_every: int | None = None,
    observers: Iterable[Observer] = (),
    **network_options: Any,
) -> TrainResult:
    """Train a network by a recipe in a folder of its own, and return how it ended.

    `network` is a name, with `network_options` as in `create`, or any module. `data` is a source (`cifar10`,
    `folder:PATH`, ...), splits, or a pair of map-style datasets (training, test) of (image tensor, label).
    `recipe` is a name or a recipe; None takes the one for the data. `iterations` (or `epochs`) changes its length,
    with its milestones in proportion; `size` takes crops of photos of other than its 224 pixels, and the sides of what
    they are cut from in proportion. `split` is `all`, or holds out training images to validate on, drawn by the
    seed: `45k5k` 5,000 of CIFAR's, `10%` (any share) of each class of any data. `weights` is a run's folder or a
    weights file of the same network to begin with: its last layer is new where its classes are others, and its input's
    mean is kept. With `resume`, a run found in `out` goes on, and a finished one is returned. With `bn_images`, batch
    norm's statistics are computed anew at the end, over so many training images; with `ema`, a decay, a moving average
    of the weights is what is tested and saved. `evaluate_every` is the distance of two tests, in iterations; there is
    one at the end in any case. `accumulate` takes each mini-batch in so many parts, so that it fits in memory; the
    gradient is the same but for rounding, and a resumed run may change it. `save_every` is in iterations; None saves
    every 30 seconds, or so rarely that it takes a twentieth of the time. A module is trained in place (and gets the
    weights of a run that had finished); torch's random state is set from the seed.

    Where torchrun started several processes, each takes its share of every mini-batch on a device of its own, with
    `workers` of its own; the first one writes the folder and tells the observers, and all return the same.

    Raises: UsageError, DataError, RunError, TrainingError, CheckpointError; Interrupted after a signal;
    FailedElsewhere, if another process failed.
    """
    check(seed=seed, workers=workers, save_every=save_every)
    with joined(device) as world:
        todo = resolve(
            network,
            data,
            recipe=recipe,
            iterations=iterations,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            size=size,
            bn_images=bn_images,
            ema=ema,
            evaluate_every=evaluate_every,
            seed=seed,
            split=split,
            device=world.device,
            precision=precision,
            weights=weights,
            network_options=network_options,
        )
        if weights is None and todo.recipe.name == FINETUNE.name:
            raise UsageError(
                "recipe 'finetune' begins with trained weights; name a run's folder or a file as --weights"
            )
        if todo.recipe.bn_images is not None:
            norms_of(todo.network)  # a network without any is refused before it is trained
        description = describe(todo, seed=seed, split=split) | {
            "source": data if isinstance(data, str) else None,
            "workers": workers,
            "accumulate": accumulate,
            "provenance": [provenance(todo.device, world.size)],
        }
        if weights is not None:
            description["weights"] = begun_with(load_weights(weights).path)
        return carry_out(
            todo,
            description,
            Path(out or Path("runs") / f"{description['network']['name']}-{todo.data.name}"),
            resume=resume,
            keep_precision=precision == "auto",
            save_every=save_every,
            observers=observers,
            world=world,
        )


def describe(todo: Resolved, *, seed: int, split: str) -> dict[str, Any]:
    """Return what makes a run the one that it is, JSON-ready: the part of run.json that a resumed run must share."""
    return {
        "network": _describe_network(todo.network),
        "recipe": msgspec.to_builtins(todo.recipe),
        "data": _describe_data(todo.data, split),
        "seed": seed,
        "precision": todo.precision,
    }


def carry_out(
    todo: Resolved,
    description: dict[str, Any],
    out: Path,
    *,
    resume: bool,
    keep_precision: bool,
    save_every: int | None,
    observers: Iterable[Observer],
    world: World = ALONE,
) -> TrainResult:
    """Train what is resolved in a folder; with `keep_precision`, a run found there goes on in its own.

    Raises: RunError, TrainingError, CheckpointError, DataError; Interrupted after a signal.
    """
    batching = Batching(
        batch_size=todo.recipe.batch_size,
        seed=description["seed"],
        workers=description["workers"],
        device=todo.device,
        iterations=todo.recipe.iterations,
        share=world.share,
    )
    batches = todo.data.train.training_batches(todo.convention, todo.recipe.augmentation, batching)
    require_nesting(todo.network, todo.recipe.batch_size, world.size)
    require_parts(todo.network, todo.recipe.batch_size // world.size, description.get("accumulate", 1))
    _require_same_everywhere(description, world)
    with RunFolder(out) if world.first else nullcontext() as folder:

        def begin() -> tuple[dict[str, Any], dict[str, Any] | None]:
            assert folder is not None
            return begin_run(folder, description, resume=resume, keep_precision=keep_precision)

        description, result = world.tell(begin)
        if result is not None:
            if folder is not None:
                weights_files.load(folder.weights).load_into(todo.network)
            world.spread(todo.network.state_dict().values())
            return _train_result(out, result, already_finished=True)
        job = Job(
            network=todo.network,
            data=dataclasses.replace(todo.data, name=description["data"]["name"]),
            batches=batches,
            recipe=todo.recipe,
            convention=todo.convention,
            seed=description["seed"],
            device=todo.device,
            precision=description["precision"],
            description=description,
            workers=description["workers"],
            save_every=save_every,
            accumulate=description.get("accumulate", 1),
            world=world,
        )
        told = [TensorBoard(folder.tensorboard), *observers] if folder is not None else []
        return _train_result(out, run(job, folder, told))


def begin_run(
    folder: RunFolder, description: dict[str, Any], *, resume: bool, keep_precision: bool
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Write run.json, and return what it holds, and the result where the run had finished.

    Raises: RunError, if the folder holds another run, or this one and it is not to be resumed.
    """
    old = folder.description()
    if folder.checkpoints.paths() or folder.result():  # else nothing was begun that could be lost
        if old is None:
            raise RunError(
                f"{folder.path} holds checkpoints but no run.json that says of what; name another with --out"
            )
        if keep_precision:
            description = description | {"precision": old["precision"]}
        description = _named_as(old, description)
        folder.require_same(description)
        if not resume:
            raise RunError(f"{folder.path} holds this run already: add --resume, or name another with --out")
        if (result := folder.result()) is not None:
            return description, result
        description = description | {"provenance": _continued(old["provenance"], description["provenance"][0])}
    folder.describe(description)
    return description, None


def _named_as(other: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """Return a description with its data under the other's name, if it is the same data: its folder may have moved."""
    there, here = other.get("data") or {}, description["data"]
    if here["digest"] is None or here["digest"] != there.get("digest"):
        return description
    return description | {"data": here | {"name": there["name"]}}


def _require_same_everywhere(description: dict[str, Any], world: World) -> None:
    """Check that all processes were asked for the same, of the same data.

    Raises: RunError, on the one that was not.
    """
    first = world.tell(lambda: identity(description))
    if found := difference(first, identity(_named_as(first, description))):
        where, there, here = found
        raise RunError(
            f"the {where} of this process is {reprlib.repr(here)}, and {reprlib.repr(there)} of process 0; "
            f"give all the same data and settings"
        )


CANNOT_BE_TRAINED = (TrainingError, MemoryError, torch.OutOfMemoryError)
"""What ends one training and leaves others to be made: a loss that is not finite, too little memory."""


def check(*, seed: int, workers: int, save_every: int | None) -> None:
    """Raise UsageError where one of these cannot be."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; it must be 0 or more and below 2**63")
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
    if save_every is not None and save_every < 1:
        raise UsageError(f"save_every is {save_every} iterations; it must be 1 or more")


def begun_with(file: Path) -> dict[str, str]:
    """Return which weights file a run begins with: its path, and what it is."""
    with open(file, "rb") as content:
        return {"file": str(file), "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def _describe_network(network: nn.Module) -> dict[str, Any]:
    if (spec := spec_of(network)) is not None:
        return msgspec.to_builtins(spec)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"name": type(network).__name__, "parameters": parameters}


def _continued(earlier: list[dict[str, Any]], now: dict[str, Any]) -> list[dict[str, Any]]:
    """Return where each stretch of a run was made, where that changed."""
    changed = [key for key in now if earlier[-1].get(key) != now[key]]
    if not changed:
        return earlier
    warnings.warn(f"continued with another {' and '.join(changed)} than before; run.json records both", stacklevel=5)
    return [*earlier, now]


def _describe_data(splits: DataSplits, split: str) -> dict[str, Any]:
    return {
        "name": splits.name,
        "split": split,
        "digest": splits.digest,
        "classes": list(splits.classes),
        "training_images": len(splits.train),
        "test_images": len(splits.test),
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
