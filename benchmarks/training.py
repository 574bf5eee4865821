"""Training end to end: ours through the product's own loop and defaults, the peers through theirs."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from benchmarks import loaders
from benchmarks.peers import (
    BaselineResNet,
    Batches,
    Flags,
    baseline_loop,
    timm_loop,
    torchvision_loop,
)
from benchmarks.rows import Row, Source
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.load import load_data
from resnets.data.loading import Batch
from resnets.data.map_datasets import MapSplit
from resnets.data.splits import DataSplits
from resnets.networks import registry
from resnets.runtime.device import choose_precision, keep_freed_memory, place
from resnets.runtime.processes import ALONE, World
from resnets.specs import Recipe
from resnets.training.classification import ClassificationTask
from resnets.training.config import TrainingConfig, resolve
from resnets.training.default_recipe import recipe_of_kind
from resnets.training.recipes import RECIPES
from resnets.training.run_folder import RunFolder
from resnets.training.state import TrainingState
from resnets.training.trainer import Task, iterate, iterations_between_lines

WORKERS = 2  # processes that read data: `resnets train`'s default
MOST_PHOTOS = 32  # of a batch on a CPU
LONG = 10_000_000  # iterations
BASELINE_WORKERS = min(4, os.cpu_count() or 1)  # the baseline repository's four, if there are as many cores


# ---------------------------------------------------------------- ours


def ours_training(task: Task[Any], start: Callable[[], TrainingState], out: Path) -> Loop:
    """Return the product's training with its defaults and its log. The one place that knows how a session trains."""
    training = task.training
    recipe, device = training.recipe, training.device
    keep_freed_memory()
    place(training.network, device)
    state = start()
    log_every = iterations_between_lines(recipe.iterations, device.type)

    def loop(tick: Tick) -> None:
        opened = RunFolder(out) if training.world.first else nullcontext()
        with opened as folder, closing(iterate(task, state)) as iterations:
            for iteration in iterations:
                if iteration % log_every == 0:
                    state.guard.check(iteration)
                    state.meter.gather(training.world)
                    if folder is not None:
                        folder.log(task.log_line(state))
                    state.meter.reset()
                tick(recipe.batch_size)

    return loop


def ours(row: Row, setting: Setting, world: World = ALONE) -> Loop:
    """Prepare `resnets train` of the row's network, by the recipe for its kind of data."""
    splits = splits_of(row, setting)
    config = TrainingConfig(recipe=recipe_of(row, splits), device=setting.device, workers=WORKERS)
    training = resolve(row.network, splits, config, world)
    batches = InMemory(row.batch, setting.on()) if row.source == "memory" else None
    task = ClassificationTask(training, batches)
    return ours_training(task, task.initial_state, setting.scratch / f"{row.name}-run-of-{world.size}")


def recipe_of(row: Row, splits: DataSplits) -> Recipe:
    """Return the recipe for the row's images, in the row's batches."""
    recipe = _whole_recipe(row, splits)
    if row.spec is not None:  # of any speed: a small network has finished its recipe before its rounds are over
        recipe = recipe.scaled(LONG).with_changes(warm_up=recipe.warm_up)
    if recipe.name == "imagenet":
        recipe = recipe.with_changes(augmentation=loaders.SCALES)  # the peers have no colour augmentation
    # the batch's share of the rate, lest synthetic images make the loss overflow
    return recipe.with_changes(lr=recipe.lr / recipe.batch_size * row.batch, batch_size=row.batch)


def _whole_recipe(row: Row, splits: DataSplits) -> Recipe:
    return RECIPES.find("imagenet") if row.source == "memory" else recipe_of_kind(splits.train)


def splits_of(row: Row, setting: Setting) -> DataSplits:
    """Return the row's images; photos and those in memory have as many classes as ImageNet."""
    if row.source == "data":
        assert setting.images.source is not None
        return load_data(setting.images.source, registry.decoded_side(row.network))
    if row.source == "cifar":
        return setting.images.cifar_splits()
    classes = tuple(map(str, range(1000)))
    if row.source == "photos":
        return dataclasses.replace(setting.images.photo_splits(), classes=classes)
    images = MapSplit(TensorDataset(*next(iter(loaders.in_memory(row.batch, 224, len(classes), setting.on())))))
    return DataSplits("random images in memory", images, images, classes)


class InMemory:
    """The same random batch at every iteration, on the device."""

    def __init__(self, batch: int, device: torch.device) -> None:
        self.source = loaders.in_memory(batch, 224, 1000, device)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        yield from itertools.islice(self.source, stop - start)


# ---------------------------------------------------------------- the row of a network by name


def of_network(name: str, data: str | None, *, gpu: bool) -> Row:
    """Return the row of a network's training, to be fitted: on a source, or random images of the network's size.

    Raises: UsageError, if there is no such network.
    """
    source: Source = "cifar" if registry.declare(name).type == "cifar" else "memory" if gpu else "photos"
    return Row(name=name, what="", kind="training", network=name, source=source if data is None else "data")


def fitted(row: Row, setting: Setting) -> Row:
    """Return the row of a network with the declaration and the batch that its images have by their recipe.

    A batch of photos is at most MOST_PHOTOS on a CPU, so that a step takes seconds.

    Raises: UsageError, if the network does not fit the images; DataError, if they are missing or damaged.
    """
    splits = splits_of(row, setting)
    train = splits.train
    batch = _whole_recipe(row, splits).batch_size
    if train.kind == "photos" and setting.device == "cpu":
        batch = min(batch, MOST_PHOTOS)
    channels = 3 if train.kind == "tensors" else train.channels
    side = train.side or loaders.SCALES.crop
    return dataclasses.replace(
        row,
        what=f"{row.network} training, {splits.name}, {side} x {side}, batch {batch}",
        batch=batch,
        spec=registry.declare(row.network, num_classes=len(splits.classes), in_channels=channels),
        side=side,
    )


def plain(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare the loop that most scripts have, of the same network on the same images, or that of an expert."""
    assert row.spec is not None
    splits = splits_of(row, setting)
    recipe = recipe_of(row, splits)
    loader: Batches
    if row.source == "memory":
        loader = loaders.in_memory(row.batch, loaders.SCALES.crop, len(splits.classes), setting.on())
    else:
        loader = loaders.baseline(splits.train, recipe.augmentation, row.batch, workers=WORKERS, expert=expert)
    return _train_in_baseline_loop(registry.build(row.spec), loader, setting, recipe.lr, expert=expert)


# ---------------------------------------------------------------- the peers


def baseline(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare the baseline CIFAR repository's training, or that of its expert: autocast, channels_last, compile."""
    splits = setting.images.cifar_splits()
    assert isinstance(splits.train, ImageArrays)
    loader = loaders.baseline_cifar(splits.train, row.batch, workers=BASELINE_WORKERS, expert=expert)
    network = BaselineResNet(int(row.network.removeprefix("resnet")), len(splits.classes))
    return _train_in_baseline_loop(network, loader, setting, 0.1, expert=expert)


def _train_in_baseline_loop(network: nn.Module, loader: Batches, setting: Setting, lr: float, *, expert: bool) -> Loop:
    model, flags = tune(network, setting.on(), expert=expert)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=1e-4)

    def loop(tick: Tick) -> None:
        with open(os.devnull, "w") as log:
            baseline_loop(model, optimizer, loader, flags, log, tick)

    return loop


def torchvision(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare the training of torchvision's reference script, or that of its expert."""
    from torchvision import models

    loader = _photo_loader(row, setting, expert=expert)
    network = models.get_model(peer_name(row), weights=None)
    model, flags = tune(network, setting.on(), expert=expert)
    optimizer = torch.optim.SGD(model.parameters(), 0.1 / 256 * row.batch, momentum=0.9, weight_decay=1e-4)

    def loop(tick: Tick) -> None:
        with open(os.devnull, "w") as log:
            torchvision_loop(model, optimizer, loader, flags, log, tick)

    return loop


def timm(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare the training of timm's script, or that of its expert."""
    import timm as peer
    from timm.optim import create_optimizer_v2

    loader = _photo_loader(row, setting, expert=expert)
    model, flags = tune(peer.create_model(peer_name(row)), setting.on(), expert=expert)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1 / 256 * row.batch, weight_decay=1e-4)

    def loop(tick: Tick) -> None:
        with open(os.devnull, "w") as log:
            timm_loop(model, optimizer, loader, flags, log, tick)

    return loop


def peer_name(row: Row) -> str:
    """Return the peers' name of a row's network: their resnet50 is our resnet50_v1_5."""
    return row.network.removesuffix("_v1_5")


def _photo_loader(row: Row, setting: Setting, *, expert: bool) -> Batches:
    if row.source == "memory":
        return loaders.in_memory(row.batch, 224, 1000, setting.on())
    splits = setting.images.photo_splits()
    assert isinstance(splits.train, ImageFiles)
    return loaders.baseline_photos(splits.train, row.batch, workers=WORKERS, expert=expert)


def tune(network: nn.Module, device: torch.device, *, expert: bool) -> tuple[nn.Module, Flags]:
    """Return a peer's network on its device as its script leaves it, or with what an expert turns on."""
    network.to(device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # as all these scripts do
    if not expert:
        return network, Flags(device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    network.to(memory_format=torch.channels_last)
    compiled: nn.Module = torch.compile(network)  # type: ignore[assignment]
    return compiled, Flags(device, bf16=choose_precision("auto", device) == "bf16", channels_last=True)
