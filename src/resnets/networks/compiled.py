"""Networks compiled for training on a GPU: each kind of block once, at any depth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from resnets.networks.batch_norm import is_heard
from resnets.networks.blocks import Block
from resnets.networks.comparison.vgg import VGG
from resnets.networks.resnet import ResNet

Forward = Callable[[Tensor], Tensor]

RECOMPILATIONS = 64  # of one function: shapes, widths, strides and shortcuts of all networks of a process


def is_known(network: nn.Module) -> bool:
    """Return whether a network runs the same kernels at each call, as a CUDA graph does: one of this package's.

    A subclass, or a module that anybody has hooked into, may decide in Python what it does.
    """
    if type(network) not in (ResNet, VGG):
        return False
    return not any(is_heard(module) for module in network.modules())


def compiled(network: nn.Module) -> Forward:
    """Return a network's forward pass with compiled kernels; the first call compiles them.

    Blocks of one shape share their code, whatever network they are in: a network of 1,202 layers takes no longer to
    compile than one of 20. Compiled code is for the shapes that it has seen; others are compiled again.
    """
    from torch._dynamo import config  # it takes a second to import

    run = by_blocks(network) if isinstance(network, ResNet) else torch.compile(network, dynamic=False)

    def within_limit(images: Tensor) -> Tensor:
        with config.patch(recompile_limit=RECOMPILATIONS):
            return run(images)

    return within_limit


@contextmanager
def without_advice() -> Iterator[None]:
    """Keep torch's advice to turn on TF32 for matrix products off the terminal: only the classifier is one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
        yield


def by_blocks(network: ResNet) -> Forward:
    parts: tuple[Callable[..., Tensor], ...] = (ResNet.stem, _run, ResNet.head)
    stem, block, head = (torch.compile(part, fullgraph=True, dynamic=False) for part in parts)

    def run(images: Tensor) -> Tensor:
        x = stem(network, images)
        for each in network.blocks():
            x = block(each, x)
        return head(network, x)

    return run


def _run(block: Block, x: Tensor) -> Tensor:
    return block(x)
