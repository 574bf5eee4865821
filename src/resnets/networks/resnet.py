"""Residual networks and their plain counterparts: for ImageNet (section 3.3, Table 1) and CIFAR-10 (section 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from resnets.networks.batch_norm import BatchNorm2d, norm_add_relu
from resnets.networks.blocks import Block, Norm, basic, bottleneck
from resnets.networks.dense import AveragedMaps
from resnets.networks.initialization import initialize
from resnets.networks.stages import Row, conv_in_words
from resnets.specs import ResNetSpec


class ResNet(AveragedMaps):
    """A stem, three or four stages of blocks (`layer1` is conv2_x), global average pooling and a classifier.

    The names of its parameters are torchvision's. `spec` is the declaration that it was built from.

    Shape: (N, in_channels, H, W) -> (N, num_classes); any H and W, the paper's are 224 and 32
    """

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.spec = spec
        norm: Norm = partial(BatchNorm2d, group=spec.bn_group)
        if spec.type == "imagenet":
            self.conv1 = nn.Conv2d(spec.in_channels, 64, 7, 2, 3, bias=False)  # 224 -> 112
        else:
            self.conv1 = nn.Conv2d(spec.in_channels, 16, 3, 1, 1, bias=False)  # 32 -> 32
        channels = self.conv1.out_channels
        self.bn1 = norm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = _pool(spec)
        self.stages = [f"layer{number}" for number in range(1, len(spec.blocks) + 1)]
        for number, (name, width, count) in enumerate(zip(self.stages, spec.widths, spec.blocks, strict=True)):
            stage = nn.Sequential()
            for position in range(count):
                stride = 2 if number > 0 and position == 0 else 1
                stage.append(self._block(channels, width, stride, norm))
                channels = width * spec.expansion
            self.add_module(name, stage)
        self.fc = nn.Linear(channels, spec.num_classes)
        initialize(self, spec.initialization)

    def _block(self, in_channels: int, width: int, stride: int, norm: Norm) -> Block:
        spec = self.spec
        if spec.block == "basic":
            return basic(
                in_channels,
                width,
                stride,
                norm,
                layers=spec.residual_layers,
                residual=spec.residual,
                shortcut=spec.shortcut,
                zeros=spec.zeros,
            )
        assert spec.stride is not None
        return bottleneck(
            in_channels,
            width,
            stride,
            norm,
            placement=spec.stride,
            residual=spec.residual,
            shortcut=spec.shortcut,
            zeros=spec.zeros,
        )

    def blocks(self) -> list[Block]:
        """Return the blocks of all stages, in the order in which an image passes them."""
        return [block for name in self.stages for block in self.get_submodule(name).children()]  # type: ignore[misc]

    def stem(self, x: Tensor) -> Tensor:
        """Return what the first block is given: conv1, and on ImageNet the max pooling of conv2_x.

        Shape: (N, in_channels, H, W) -> (N, 64, H / 4, W / 4), or (N, 16, H, W) for the CIFAR type
        """
        return self.maxpool(norm_add_relu(self.bn1, self.relu, self.conv1(x)))

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of conv1 after its ReLU (before max pooling, which Table 1 counts to conv2_x), conv2_x, ...

        Index i in `features` is `layer{i}`, as in timm's `features_only`: 1 is conv2_x, 2 is conv3_x, and so on.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^(i + 1), W / 2^(i + 1)) with C_i = 64 for conv1, then 64, 128,
            256, 512 (x 4 with bottlenecks); for the CIFAR type (N, 16, H, W) twice, (N, 32, H / 2, W / 2) and
            (N, 64, H / 4, W / 4).
        """
        x = norm_add_relu(self.bn1, self.relu, self.conv1(x))
        yield x
        x = self.maxpool(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
            yield x

    def head(self, x: Tensor) -> Tensor:
        """Return the logits of the last stage's maps, by global average pooling and the classifier.

        Shape: (N, C, H, W) -> (N, num_classes)
        """
        return self.fc(torch.mean(x, dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def dense_window(self, size: int) -> int:
        return -(-size >> (5 if self._imagenet else 2))  # each halving rounds up; the whole is as if it were one

    def rows(self) -> list[Row]:
        """Return the rows of Table 1, or of section 4.2's table for the CIFAR type."""
        rows = [Row("conv1", ["conv1", "bn1"], conv_in_words(self.conv1) + (", stride 2" if self._imagenet else ""))]
        for number, name in enumerate(self.stages, start=2):
            blocks: list[Block] = list(self.get_submodule(name).children())  # type: ignore[arg-type]
            chain = [conv_in_words(blocks[0].get_submodule(f"conv{i}")) for i in range(1, blocks[0].depth + 1)]
            rows.append(Row(f"conv{number}_x", [name], f"[{'; '.join(chain)}] x {len(blocks)}"))
        if self._imagenet:
            rows[1].modules.append("maxpool")
            rows[1].layers = f"3x3 max pool, stride 2; {rows[1].layers}"
        return [*rows, Row("fc", ["fc"], f"average pool; {self.fc.out_features}-d fc")]

    @property
    def _imagenet(self) -> bool:
        return len(self.stages) == 4


def _pool(spec: ResNetSpec) -> nn.Module:
    """Return what ends the stem: on ImageNet 112 -> 56 pixels either way, the windows of `ceil` one pixel further."""
    if spec.type == "cifar":
        return nn.Identity()
    return nn.MaxPool2d(3, 2, 1) if spec.pool == "padded" else nn.MaxPool2d(3, 2, ceil_mode=True)
