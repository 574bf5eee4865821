"""BN-Inception [16]: inception modules with batch norm and two 3x3 layers for one 5x5. Paper: Tables 4 and 5."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.comparison.inception import Branches, ConvUnit, stem_rows
from resnets.networks.dense import AveragedMaps
from resnets.networks.initialization import initialize
from resnets.networks.stages import Row
from resnets.specs import BNInceptionSpec

MODULES = {  # 1x1; 3x3 after 1x1; two 3x3 after 1x1; kind of pooling and 1x1 after it; None in modules of stride 2
    "3a": (64, (64, 64), (64, 96), ("avg", 32)),
    "3b": (64, (64, 96), (64, 96), ("avg", 64)),
    "3c": (None, (128, 160), (64, 96), None),
    "4a": (224, (64, 96), (96, 128), ("avg", 128)),
    "4b": (192, (96, 128), (96, 128), ("avg", 128)),
    "4c": (160, (128, 160), (128, 160), ("avg", 96)),  # 128 in the variant of Caffe
    "4d": (96, (128, 192), (160, 192), ("avg", 96)),
    "4e": (None, (128, 192), (192, 256), None),
    "5a": (352, (192, 320), (160, 224), ("avg", 128)),
    "5b": (352, (192, 320), (192, 224), ("max", 128)),
}


class BNInception(AveragedMaps):
    """A stem, ten inception modules, of which 3c and 4e halve the maps, global average pooling and the classifier.

    Shape: (N, in_channels, H, W) -> (N, num_classes); H and W at least 32
    """

    def __init__(self, spec: BNInceptionSpec) -> None:
        super().__init__()
        self.spec = spec
        google = spec.variant == "google"
        norm = partial(BatchNorm2d, group=spec.bn_group, eps=1e-3 if google else 1e-5)
        unit = partial(ConvUnit, norm=norm, bias=not google)
        self.conv1 = unit(spec.in_channels, 64, 7, 2, separable=google)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.conv3 = unit(64, 64), unit(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = 192
        for name, (one, (three_in, three), (double_in, double), pooled) in MODULES.items():
            stride = 1 if one else 2
            branches: dict[str, nn.Module] = {} if one is None else {"branch1": unit(channels, one)}
            branches["branch2"] = nn.Sequential(unit(channels, three_in), unit(three_in, three, 3, stride))
            branches["branch3"] = nn.Sequential(
                unit(channels, double_in), unit(double_in, double, 3), unit(double, double, 3, stride)
            )
            if pooled is None:  # no padding on the left and above, and enough on the other sides for every map's size
                branches["branch4"] = nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), nn.MaxPool2d(3, 2))
                width = channels
            else:
                kind, width = pooled
                width = 128 if name in ("4c", "4d") and not google else width
                pool = nn.MaxPool2d(3, 1, 1) if kind == "max" else nn.AvgPool2d(3, 1, 1, count_include_pad=not google)
                branches["branch4"] = nn.Sequential(pool, unit(channels, width))
            self.add_module(f"inception{name}", Branches(**branches))
            channels = (one or 0) + three + double + width
        self.fc = nn.Linear(channels, spec.num_classes)
        initialize(self, "he_fan_in")

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps of conv1, conv3, 3b and 4d, each before the layer that halves them, and of 5b.

        Shape: (N, in_channels, H, W) -> (N, C_i, H / 2^(i + 1), W / 2^(i + 1)) with C_i = 64, 192, 320, 576 (608 in
            Caffe's variant), 1024
        """
        x = self.conv1(x)
        yield x
        x = self.conv3(self.conv2(self.maxpool1(x)))
        yield x
        x = self.maxpool2(x)  # (N, 192, H / 8, W / 8)
        for name, (one, *_) in MODULES.items():
            if one is None:
                yield x
            x = self.get_submodule(f"inception{name}")(x)
        yield x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))

    def dense_window(self, size: int) -> int:
        side = -(-size // 2)  # conv1 rounds up
        for _ in range(2):
            side //= 2  # poolings that cover the maps
        return -(-side // 4)

    def rows(self) -> list[Row]:
        """Return a row for each layer of the stem, each module and the classifier."""
        rows = stem_rows(self.conv1, self.conv2, self.conv3)
        for name, (one, *_) in MODULES.items():
            module = self.get_submodule(f"inception{name}")
            assert isinstance(module, Branches)
            words = ("3x3 max pool, stride 2; " if name == "3a" else "") + module.in_words()
            modules = [f"inception{name}"] + (["maxpool2"] if name == "3a" else [])
            rows.append(Row(name, modules, words if one else f"{words}; stride 2"))
        return [*rows, Row("fc", ["fc"], f"average pool; {self.fc.out_features}-d fc")]
