"""The paper's constructed solution (section 1): a deeper network that computes exactly what a shallower one does."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from resnets.errors import UsageError, public
from resnets.networks.blocks import Block
from resnets.networks.registry import spec_of
from resnets.networks.resnet import ResNet
from resnets.networks.shortcuts import is_projection
from resnets.specs import ResNetSpec
from resnets.specs.networks import IMAGENET_STAGES


@public
def deepen(network: nn.Module, depth: int) -> ResNet:
    """Return a deeper network of the same kind that computes the same function; `network` stays as it is.

    The added blocks are at the end of each stage, and each is an identity:

    - In a residual network the last batch norm of an added block has weight and bias 0, so F(x) = 0; the rest of F
      is initialised as ever and can learn. With options A and B the logits are the same, bit for bit, in evaluation
      and in training mode. With option C the added projections are identities too: a unit matrix, and a batch norm
      of mean 0 and variance 1.
    - In a plain network an added 3x3 kernel is 1 in its centre and the batch norm is as just said; ReLU changes
      nothing, for no negative number reaches it.

    With option C and in plain networks this holds to float rounding, and in evaluation mode only: in training mode
    batch norm divides by the deviation of the batch, which no constant can undo.

    Paper: section 1, the solution by construction.
    Raises: UsageError, if there is no such deeper network; it says which there are.
    """
    spec = spec_of(network)
    if not (isinstance(network, ResNet) and isinstance(spec, ResNetSpec)):
        raise UsageError(
            f"a {type(network).__name__} cannot be deepened: only residual networks and their plain counterparts can be"
        )
    target = _deeper(spec, depth)
    deeper, fresh = copy.deepcopy(network), ResNet(target)
    deeper.spec = target
    like = network.conv1.weight
    for name in network.stages:
        stage = deeper.get_submodule(name)
        assert isinstance(stage, nn.Sequential)
        for block in list(fresh.get_submodule(name).children())[len(stage) :]:
            assert isinstance(block, Block)
            _make_identity(block)
            stage.append(block.to(like.device, like.dtype).train(network.training))
    return deeper


def _deeper(old: ResNetSpec, depth: int) -> ResNetSpec:
    if not old.residual and old.block == "bottleneck":
        raise UsageError(
            f"{old.name} cannot be deepened: a plain bottleneck narrows its maps to a quarter of their channels, so it "
            f"cannot be an identity; resnet{old.depth} can be deepened, and so can plain networks of 3x3 layers"
        )
    if old.type == "imagenet":
        depths = [deeper for deeper, (block, _) in IMAGENET_STAGES.items() if block == old.block and deeper > old.depth]
        possible = depth in depths
        right = (
            f"it can grow to {' or '.join(map(str, depths))}" if depths else f"it is the deepest of {old.block} blocks"
        )
    else:
        step = 3 * math.lcm(2, old.residual_layers)  # 6n + 2 layers, in whole blocks in each of the three stages
        possible = depth > old.depth and (depth - old.depth) % step == 0
        right = f"it can grow to {old.depth + step}, {old.depth + 2 * step} and so on, in steps of {step}"
    if not possible:
        raise UsageError(f"{old.name} of {old.depth} layers cannot be deepened to {depth}: {right}")
    suffix = "_v1_5" if old.name.endswith("_v1_5") else ""
    if old.type == "cifar" and depth in IMAGENET_STAGES:
        suffix = "_cifar"
    return ResNetSpec.named(
        f"{'resnet' if old.residual else 'plain'}{depth}{suffix}",
        shortcut=old.shortcut,
        stride=old.stride,
        num_classes=old.num_classes,
        in_channels=old.in_channels,
        residual_layers=old.residual_layers if old.block == "basic" else None,
        bn_group=old.bn_group,
        initialization=old.initialization,
    ).with_changes(zeros=old.zeros, pool=old.pool)


@torch.no_grad()
def _make_identity(block: Block) -> None:
    """Make a block the identity on what ReLU has passed; it must keep the size and the number of its maps."""
    if not block.residual:
        for number in range(1, block.depth + 1):
            _make_layer_identity(block.get_submodule(f"conv{number}"), block.get_submodule(f"bn{number}"))
        return
    norm = block.last_norm()
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    if is_projection(block.downsample):
        assert isinstance(block.downsample, nn.Sequential)
        _make_layer_identity(block.downsample[0], block.downsample[1])


def _make_layer_identity(conv: nn.Module, norm: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    nn.init.dirac_(conv.weight)  # 1 in the centre, from each map to itself
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.fill_(0)
    norm.running_var.fill_(1 - norm.eps)  # batch norm adds eps before it divides
