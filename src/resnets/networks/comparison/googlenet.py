"""GoogLeNet [44]: nine inception modules, with auxiliary classifiers in training. Paper: Tables 3, 4 and 5."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.comparison.inception import Branches, ConvUnit, Norm, stem_rows
from resnets.networks.dense import AveragedMaps
from resnets.networks.initialization import draw_xavier
from resnets.networks.stages import Row
from resnets.specs import GoogLeNetSpec

MODULES = {  # 1x1; 3x3 after 1x1; 5x5 after 1x1; 1x1 after pooling
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
BIAS = 0.2  # at the start, in Caffe's file; 0 in the classifiers


@torch.fx.wrap  # to be traced as one call, whatever the size
def pooled(x: Tensor) -> Tensor:
    """Return maps of 4x4: those of 14x14 are averaged over windows of 5x5, three apart."""
    if min(x.shape[2:]) >= 5:
        x = F.avg_pool2d(x, 5, 3)
    return F.adaptive_avg_pool2d(x, 4)  # of another size than 4x4


class Auxiliary(nn.Module):
    """A classifier of inner maps, which are pooled to 4x4: (N, C, H, W) -> (N, num_classes)."""

    def __init__(self, channels: int, num_classes: int, norm: Norm | None) -> None:
        super().__init__()
        self.conv = ConvUnit(channels, 128, norm=norm, bias=norm is None)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.dropout(F.relu(self.fc1(torch.flatten(self.conv(pooled(x)), 1)))))


class GoogLeNet(AveragedMaps):
    """A stem, nine inception modules, global average pooling and the classifier; names are torchvision's.

    In training it returns the scores and those of the auxiliary classifiers after 4a and 4d, in evaluation mode the
    scores.

    Shape: (N, in_channels, H, W) -> (N, num_classes), in training (N, num_classes) three times; H and W at least 32
    """

    def __init__(self, spec: GoogLeNetSpec) -> None:
        super().__init__()
        self.spec = spec
        norm = partial(BatchNorm2d, group=spec.bn_group, eps=1e-3) if spec.batch_norm else None
        unit = partial(ConvUnit, norm=norm, bias=norm is None)
        self.lrn1, self.lrn2 = (nn.LocalResponseNorm(5) if spec.lrn else nn.Identity() for _ in range(2))
        self.conv1 = unit(spec.in_channels, 64, 7, 2, separable=spec.separable_stem)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.conv3 = unit(64, 64), unit(64, 192, 3)
        self.maxpool2, self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(spec.pool4_kernel, 2, ceil_mode=True)
        channels, inner = 192, {}
        for name, (one, (three_in, three), (five_in, five), projection) in MODULES.items():
            inner[name] = channels
            module = Branches(
                branch1=unit(channels, one),
                branch2=nn.Sequential(unit(channels, three_in), unit(three_in, three, 3)),
                branch3=nn.Sequential(unit(channels, five_in), unit(five_in, five, spec.branch3_kernel)),
                branch4=nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(channels, projection)),
            )
            self.add_module(f"inception{name}", module)
            channels = one + three + five + projection
        self.aux1 = Auxiliary(inner["4b"], spec.num_classes, norm) if spec.auxiliary else None
        self.aux2 = Auxiliary(inner["4e"], spec.num_classes, norm) if spec.auxiliary else None
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(channels, spec.num_classes)
        self.score_layers = ("fc", "aux1.fc2", "aux2.fc2") if spec.auxiliary else ("fc",)
        draw_xavier(self, BIAS)
        for name in self.score_layers:
            nn.init.zeros_(self.get_parameter(f"{name}.bias"))

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of conv1, conv3, 3b and 4e, each before its pooling, and of 5b.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^(i + 1), W / 2^(i + 1)) with C_i = 64, 192, 480, 832, 1024
        """
        x = self.conv1(x)
        yield x
        x = self.conv3(self.conv2(self.lrn1(self.maxpool1(x))))
        yield x
        x = self._through("3a 3b", self.maxpool2(self.lrn2(x)))
        yield x
        *_, x = self.fourth(x)
        yield x
        yield self.fifth(x)

    def fourth(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps of 4a and 4d, which the auxiliary classifiers see, and of 4e, from those of 3b.

        Shape: (N, 480, H, W) -> (N, 512, H / 2, W / 2), (N, 528, H / 2, W / 2) and (N, 832, H / 2, W / 2)
        """
        first = self._through("4a", self.maxpool3(x))
        second = self._through("4b 4c 4d", first)
        return first, second, self._through("4e", second)

    def fifth(self, x: Tensor) -> Tensor:
        """Return the maps of 5b from those of 4e. Shape: (N, 832, H, W) -> (N, 1024, H / 2, W / 2)"""
        return self._through("5a 5b", self.maxpool4(x))

    def _through(self, names: str, x: Tensor) -> Tensor:
        for name in names.split():
            x = self.get_submodule(f"inception{name}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if not self.training or self.aux1 is None or self.aux2 is None:
            return self._scores(self.features(x))
        (x,) = self.features(x, out_indices=(2,))
        first, second, x = self.fourth(x)
        return self._scores(self.fifth(x)), self.aux1(first), self.aux2(second)

    def _scores(self, last: Tensor) -> Tensor:
        return self.fc(self.dropout(last.mean((2, 3))))

    def dense_window(self, size: int) -> int:
        side = -(-size // 2)  # conv1 rounds up
        for kernel in (3, 3, 3, self.spec.pool4_kernel):  # the windows of poolings that cover the maps
            side = -(-(side - kernel) // 2) + 1
        return side

    def rows(self) -> list[Row]:
        """Return a row for each layer of the stem, each module and the classifier; training's classifiers have none."""
        rows = stem_rows(self.conv1, self.conv2, self.conv3)
        pools = {"3a": 2, "4a": 3, "5a": 4}
        for name in MODULES:
            module = self.get_submodule(f"inception{name}")
            assert isinstance(module, Branches)
            pool = self.get_submodule(f"maxpool{pools[name]}") if name in pools else None
            words = "" if pool is None else f"{pool.kernel_size}x{pool.kernel_size} max pool, stride 2; "
            modules = [f"inception{name}"] + ([] if pool is None else [f"maxpool{pools[name]}"])
            rows.append(Row(name, modules, words + module.in_words()))
        return [*rows, Row("fc", ["fc"], f"average pool; {self.fc.out_features}-d fc")]
