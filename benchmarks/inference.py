"""Inference: a network in evaluation mode on batches in memory, the time of each batch taken."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import training
from benchmarks.peers import BaselineResNet
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.inference.optimize import optimize
from resnets.weights.create import create

Engine = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) float32 -> logits (N, classes)."""


def ours(row: Row, setting: Setting) -> Loop:
    """Prepare the product's inference.

    Raises: RuntimeError, if on a GPU the network could not be compiled or recorded.
    """
    engine = optimize(create(row.network), batch_size=row.batch, device=str(setting.on()))
    for choice in engine.choices:
        if setting.on().type == "cuda" and choice.engine == "compile" and choice.skipped:
            raise RuntimeError(choice.skipped)
    return _loop(engine, row, setting)


def peer(row: Row, setting: Setting, *, library: str, expert: bool = False) -> Loop:
    """Prepare a peer's inference: eager float32, or with autocast, channels_last and compile."""
    network: nn.Module
    if library == "CIFAR baseline":
        network = BaselineResNet(int(row.network.removeprefix("resnet")))
    elif library == "torchvision":
        from torchvision import models

        network = models.get_model(training.peer_name(row), weights=None)
    else:
        import timm

        network = timm.create_model(training.peer_name(row))
    model, flags = training.tune(network.eval(), setting.on(), expert=expert)

    @torch.inference_mode()
    def run(images: Tensor) -> Tensor:
        if flags.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with flags.autocast():
            return model(images)

    return _loop(run, row, setting)


def _loop(engine: Engine, row: Row, setting: Setting) -> Loop:
    size = 32 if row.cifar else 224
    images = torch.randn(row.batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(setting.on())

    def loop(tick: Tick) -> None:
        while True:
            engine(images)
            tick(row.batch)

    return loop
