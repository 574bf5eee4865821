"""Training end to end: ours through the product's own loop and defaults, the peers through theirs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks import loaders
from benchmarks.peers import (
    Batches,
    Flags,
    UsualResNet,
    timm_loop,
    torchvision_loop,
    usual_loop,
)
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batch, Batching
from resnets.data.splits import TrainingBatches
from resnets.runtime.device import choose_precision, keep_freed_memory, place
from resnets.specs import Recipe
from resnets.training.loop import train
from resnets.training.recipes import find_recipe
from resnets.training.run import RunFolder
from resnets.training.state import TrainingState
from resnets.training.stretch import LOG_ITERATIONS
from resnets.weights.create import create

WORKERS = 2  # processes that read data: `resnets train`'s default
USUAL_WORKERS = min(4, os.cpu_count() or 1)  # the usual repository's four, if there are as many cores


# ---------------------------------------------------------------- ours


def ours_training(
    network: nn.Module, recipe: Recipe, batches: TrainingBatches, device: torch.device, out: Path
) -> Loop:
    """Return the product's training with its defaults and its log. The one place that knows how a session trains."""
    keep_freed_memory()
    place(network, device)
    state = TrainingState.start(network, recipe, device)
    precision = choose_precision("auto", device)

    def loop(tick: Tick) -> None:
        with RunFolder(out) as folder:

            def after_step() -> None:
                if state.iteration % LOG_ITERATIONS[device.type] == 0:
                    state.guard.check(state.iteration)
                    meter = state.meter
                    loss, error = meter.loss_sum.item() / meter.images, 100.0 * meter.wrong.item() / meter.images
                    folder.log({"iteration": state.iteration, "loss": loss, "training_error": error})
                    meter.reset()
                tick(recipe.batch_size)

            train(state, recipe, batches, device=device, precision=precision, after_step=after_step)

    return loop


def ours(row: Row, setting: Setting) -> Loop:
    """Prepare `resnets train` of the row's network, by the paper's recipe for its kind of data."""
    device = setting.on()
    recipe = find_recipe("cifar" if row.source == "cifar" else "imagenet")
    if row.source != "cifar":  # the batch's share of the rate, lest made-up images make the loss overflow
        recipe = recipe.with_changes(lr=recipe.lr / recipe.batch_size * row.batch)
    recipe = recipe.with_changes(batch_size=row.batch)
    batches, classes = _our_batches(row, recipe, setting)
    network = create(row.network, num_classes=classes, bn_group=recipe.bn_group)
    return ours_training(network, recipe, batches, device, setting.scratch / f"{row.name}-run")


def _our_batches(row: Row, recipe: Recipe, setting: Setting) -> tuple[TrainingBatches, int]:
    if row.source == "memory":
        return _InMemory(row.batch, setting.on()), 1000
    splits = setting.images.cifar_splits() if row.source == "cifar" else setting.images.photo_splits()
    assert recipe.preprocessing is not None
    photos = splits.train.kind == "photos"
    convention = splits.train.subsample(100 if photos else None).fit_input(recipe.preprocessing, recipe.augmentation)
    augmentation = loaders.SCALES if photos else recipe.augmentation  # the peers have no colour augmentation
    batching = Batching(batch_size=row.batch, seed=0, workers=WORKERS, device=setting.on())
    batches = splits.train.training_batches(convention, augmentation, batching)
    return batches, 1000 if photos else len(splits.classes)


class _InMemory:
    """The same random batch at every iteration, on the device."""

    def __init__(self, batch: int, device: torch.device) -> None:
        self.source = loaders.in_memory(batch, 224, 1000, device)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        yield from itertools.islice(self.source, stop - start)


# ---------------------------------------------------------------- the peers


def usual(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare the usual CIFAR repository's training, or that of its expert: autocast, channels_last, compile."""
    splits = setting.images.cifar_splits()
    assert isinstance(splits.train, ImageArrays)
    loader = loaders.usual_cifar(splits.train, row.batch, workers=USUAL_WORKERS, expert=expert)
    network = UsualResNet(int(row.network.removeprefix("resnet")), len(splits.classes))
    model, flags = tune(network, setting.on(), expert=expert)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def loop(tick: Tick) -> None:
        with open(os.devnull, "w") as log:
            usual_loop(model, optimizer, loader, flags, log, tick)

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
    return loaders.usual_photos(splits.train, row.batch, workers=WORKERS, expert=expert)


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
