"""Backbones: classifiers split into layers that run once an image and layers that run for each region. Appendix A.

conv1 to conv4_x of a residual network (91 convolutions in ResNet-101) are to a detector what VGG-16's 13 convolutions
are: all of stride 16 or less. conv5_x and the average pooling take the place of VGG-16's fc6 and fc7.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from resnets.detection.frozen_batch_norm import freeze_norms
from resnets.errors import UsageError
from resnets.networks.batch_norm import norm_add_relu
from resnets.networks.blocks import Block
from resnets.networks.comparison.vgg import VGG
from resnets.networks.resnet import ResNet
from resnets.networks.shortcuts import ZeroPad
from resnets.specs import FunctionSpec

STRIDE = 16  # of the shared maps, in pixels


class Backbone(nn.Module):
    """The two parts of a classifier, whose parameters keep their names under `network`; without its last layer.

    Batch norm is frozen, and so are the first `frozen_stages` stages.

    Raises: UsageError, if the network's maps have no stride of 16.
    """

    roi_size: int  # side of a region's features, before `region_maps`
    has_fixed_roi_size = False
    has_region_maps = True  # layers whose maps have the places of a region's features, as masks need them
    shared_channels: int
    region_features: int

    def __init__(self, network: ResNet | VGG, *, frozen_stages: int) -> None:
        super().__init__()
        freeze_norms(network)
        self.network = network
        self.shared_stages = self._stages()
        for stage in self.shared_stages[:frozen_stages]:
            for module in stage:
                module.requires_grad_(False)

    def _stages(self) -> list[list[nn.Module]]:
        """Return the modules of conv1, conv2_x, ... that are shared."""
        raise NotImplementedError

    def shared(self, images: Tensor) -> Tensor:
        """Return the maps of whole images. Shape: (N, 3, H, W) -> (N, C, H / 16, W / 16)"""
        raise NotImplementedError

    def region_maps(self, features: Tensor) -> Tensor:
        """Return the last maps of regions. Shape: (R, C, roi_size, roi_size) -> (R, C', h, w)"""
        raise NotImplementedError

    def pooled(self, maps: Tensor) -> Tensor:
        """Return the vectors that are classified, from the last maps. Shape: (R, C', h, w) -> (R, D)"""
        raise NotImplementedError


class ResNetBackbone(Backbone):
    """conv1 to conv4_x for the image, conv5_x and average pooling for a region."""

    roi_size = 14

    def __init__(self, network: ResNet, *, frozen_stages: int, head_stride: int = 2) -> None:
        if network.spec.type != "imagenet":
            raise UsageError(
                f"{network.spec.name} is of the CIFAR type; a detector needs stages of stride 4 to 32, as those of "
                f"resnet18, resnet34, resnet50, resnet101 and resnet152"
            )
        super().__init__(network, frozen_stages=frozen_stages)
        self.region_features = network.fc.in_features
        first = cast(Block, next(network.get_submodule(network.stages[-1]).children()))
        shared = cast(Block, list(network.get_submodule(network.stages[-2]).children())[-1])
        self.shared_channels = shared.get_submodule(f"conv{shared.depth}").out_channels  # type: ignore[assignment]
        network.fc = nn.Identity()  # type: ignore[assignment]
        for module in first.modules():
            if isinstance(module, nn.Conv2d) and max(module.stride) > 1:
                module.stride = (head_stride, head_stride)
            elif isinstance(module, ZeroPad):
                module.stride = head_stride

    def _stages(self) -> list[list[nn.Module]]:
        network = cast(ResNet, self.network)
        first: list[nn.Module] = [network.conv1, network.bn1]
        return [first, *([network.get_submodule(name)] for name in network.stages[:-1])]

    def shared(self, images: Tensor) -> Tensor:
        network = cast(ResNet, self.network)
        x = network.maxpool(norm_add_relu(network.bn1, network.relu, network.conv1(images)))
        for name in network.stages[:-1]:
            x = network.get_submodule(name)(x)
        return x

    def region_maps(self, features: Tensor) -> Tensor:
        network = cast(ResNet, self.network)
        return network.get_submodule(network.stages[-1])(features)

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))


class VGGBackbone(Backbone):
    """13 (or 16) convolutions for the image, fc6 and fc7 for a region."""

    roi_size = 7
    has_fixed_roi_size = True  # by fc6
    has_region_maps = False

    def __init__(self, network: VGG, *, frozen_stages: int) -> None:
        super().__init__(network, frozen_stages=frozen_stages)
        self.shared_channels = network.spec.widths[-1]
        self.region_features = cast(nn.Linear, network.classifier[-1]).in_features
        network.classifier[-1] = nn.Identity()

    def _stages(self) -> list[list[nn.Module]]:
        network = cast(VGG, self.network)
        stages: list[list[nn.Module]] = [[]]
        for layer in network.features:
            stages[-1].append(layer)
            if isinstance(layer, nn.MaxPool2d):
                stages.append([])
        return stages[:-1]

    def shared(self, images: Tensor) -> Tensor:
        return cast(VGG, self.network).features[:-1](images)  # without the last pooling: stride 16

    def region_maps(self, features: Tensor) -> Tensor:
        return features

    def pooled(self, maps: Tensor) -> Tensor:
        return cast(VGG, self.network).classifier(torch.flatten(maps, 1))


def make_backbone(network: nn.Module, *, frozen_stages: int, head_stride: int) -> Backbone:
    """Return a classifier's two parts, which are its own modules.

    `head_stride` is conv5_1's: 2, as it was pre-trained, or 1, which keeps a region's features twice as fine.

    Raises: UsageError, if the network does not fit.
    """
    if not isinstance(network, ResNet | VGG) or isinstance(network.spec, FunctionSpec):
        raise UsageError(f"a detector needs a residual, a plain or a VGG network, not a {type(network).__name__}")
    if network.spec.in_channels != 3:
        raise UsageError(f"{network.spec.name} takes {network.spec.in_channels} channels; a detector needs RGB images")
    if isinstance(network, VGG):
        return VGGBackbone(network, frozen_stages=frozen_stages)
    return ResNetBackbone(network, frozen_stages=frozen_stages, head_stride=head_stride)
