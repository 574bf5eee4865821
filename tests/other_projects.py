"""Other projects' networks and names, written down again from their own sources, to compare ours with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOISE = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))
Blobs = dict[str, list[Tensor]]


def noise(shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Return Gaussian numbers that repeat, for large shapes, after a million: drawing each would take long."""
    count = math.prod(shape)
    return NOISE.repeat(math.ceil(count / len(NOISE)))[:count].view(shape)


def trained(network: nn.Module) -> dict[str, Tensor]:
    """Return a state_dict as training might leave it: no weight and no statistic of batch norm is trivial."""
    state = {}
    for number, (name, tensor) in enumerate(network.state_dict().items()):
        if tensor.dim() > 1:
            state[name] = noise(tensor.shape) * math.sqrt(2 / tensor[0].numel())
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(number)
        elif name.endswith(("running_var", "weight")):
            state[name] = 0.5 + noise(tensor.shape).abs() / 2
        else:
            state[name] = 0.1 * noise(tensor.shape)
    return state


def close(ours: Tensor, theirs: Tensor) -> None:
    """Assert that logits are the same but for rounding, and that they say anything."""
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class AkamasterBlock(nn.Module):
    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or in_planes != planes:
            self.shortcut = Lambda(
                lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4), "constant", 0)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class Akamaster(nn.Module):
    """akamaster/pytorch_resnet_cifar10's network of 6n + 2 layers."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        planes = 16
        for stage, width in enumerate((16, 32, 64), start=1):
            layer = nn.Sequential()
            for position in range(blocks):
                layer.append(AkamasterBlock(planes, width, 2 if stage > 1 and position == 0 else 1))
                planes = width
            self.add_module(f"layer{stage}", layer)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            out = getattr(self, f"layer{stage}")(out)
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


def caffe_letters(stage: int, count: int) -> list[str]:
    """Return the authors' names of a stage's blocks: 2a 2b 2c, and 3a 3b1 3b2 ... where a stage is long."""
    if stage in (3, 4) and count > 6:
        return [f"{stage}a", *(f"{stage}b{number}" for number in range(1, count))]
    return [f"{stage}{'abcdef'[number]}" for number in range(count)]


def caffe_blobs(counts: tuple[int, ...]) -> Blobs:
    """Return blobs of a network of bottlenecks with the authors' layer names; conv1 has a bias, as in ResNet-50."""
    blobs: Blobs = {}

    def conv(layer: str, suffix: str, in_channels: int, out: int, kernel: int, *, bias: bool = False) -> None:
        shape = (out, in_channels, kernel, kernel)
        start = len(blobs)  # no two layers the same
        weight = noise((*shape, 1))[..., 0].roll(start) * math.sqrt(2 / (in_channels * kernel**2))
        blobs[layer] = [weight, 0.3 * noise((out,)).roll(start)] if bias else [weight]
        factor = 999.98
        blobs[f"bn{suffix}"] = [
            0.1 * noise((out,)).roll(start + 1) * factor,
            (0.5 + noise((out,)).roll(start + 2).abs()) * factor,
            torch.tensor([factor]),
        ]
        blobs[f"scale{suffix}"] = [0.5 + noise((out,)).roll(start + 3).abs() / 2, 0.1 * noise((out,)).roll(start + 4)]

    conv("conv1", "_conv1", 3, 64, 7, bias=True)
    channels = 64
    for stage, count in enumerate(counts, start=2):
        width = 64 * 2 ** (stage - 2)
        for position, name in enumerate(caffe_letters(stage, count)):
            if position == 0:
                conv(f"res{name}_branch1", f"{name}_branch1", channels, 4 * width, 1)
            conv(f"res{name}_branch2a", f"{name}_branch2a", channels, width, 1)
            conv(f"res{name}_branch2b", f"{name}_branch2b", width, width, 3)
            conv(f"res{name}_branch2c", f"{name}_branch2c", width, 4 * width, 1)
            channels = 4 * width
    blobs["fc1000"] = [noise((1000, channels)) / math.sqrt(channels), 0.1 * noise((1000,))]
    return blobs


def caffe_forward(blobs: Blobs, x: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Run the authors' prototxt: BatchNorm then Scale, the stride on the first 1x1, pool1 without padding."""

    def conv(layer: str, x: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
        weight, *bias = blobs[layer]
        return F.conv2d(x, weight, bias[0] if bias else None, stride, pad)

    def norm(suffix: str, x: Tensor) -> Tensor:
        mean, variance, factor = blobs[f"bn{suffix}"]
        gamma, beta = blobs[f"scale{suffix}"]
        x = (x - (mean / factor).view(1, -1, 1, 1)) / (variance / factor + 1e-5).sqrt().view(1, -1, 1, 1)
        return gamma.view(1, -1, 1, 1) * x + beta.view(1, -1, 1, 1)

    x = F.relu(norm("_conv1", conv("conv1", x, 2, 3)))
    x = F.max_pool2d(x, 3, 2, 0, ceil_mode=True)
    for stage, count in enumerate(counts, start=2):
        for position, name in enumerate(caffe_letters(stage, count)):
            stride = 2 if position == 0 and stage > 2 else 1
            out = F.relu(norm(f"{name}_branch2a", conv(f"res{name}_branch2a", x, stride)))
            out = F.relu(norm(f"{name}_branch2b", conv(f"res{name}_branch2b", out, 1, 1)))
            out = norm(f"{name}_branch2c", conv(f"res{name}_branch2c", out))
            if position == 0:
                x = norm(f"{name}_branch1", conv(f"res{name}_branch1", x, stride))
            x = F.relu(out + x)
    weight, bias = blobs["fc1000"]
    return F.linear(x.mean((2, 3)), weight, bias)


def caffe2_blobs(blobs: Blobs) -> dict[str, Tensor]:
    """Return the same network as Detectron's pickles have it: batch norm as a factor and an offset, zero biases."""
    found = {}
    for layer, parts in blobs.items():
        if layer == "fc1000":
            found["fc1000_w"], found["fc1000_b"] = parts
        elif layer.startswith(("res", "conv1")):
            name = _caffe2_name(layer)
            found[f"{name}_w"] = parts[0]
            found[f"{name}_b"] = parts[1] if len(parts) > 1 else torch.zeros(len(parts[0]))
        elif layer.startswith("bn"):
            mean, variance, factor = parts
            gamma, beta = blobs[f"scale{layer.removeprefix('bn')}"]
            scale = gamma / (variance / factor + 1e-5).sqrt()
            own = "res_conv1" if layer == "bn_conv1" else _caffe2_name(f"res{layer.removeprefix('bn')}")
            found[f"{own}_bn_s"], found[f"{own}_bn_b"] = scale, beta - mean / factor * scale
    return found


def _caffe2_name(layer: str) -> str:
    """res4b11_branch2c -> res4_11_branch2c, res2a_branch1 -> res2_0_branch1, as Detectron's own script."""
    if not layer.startswith("res"):
        return layer
    chunk, rest = layer.removeprefix("res").split("_", 1)
    number = int(chunk[2:]) if len(chunk) > 2 else ord(chunk[1]) - ord("a")
    return f"res{chunk[0]}_{number}_{rest}"


def detectron2_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return torchvision's state under detectron2's names, as its tools/convert-torchvision-to-d2.py does."""
    renamed = {}
    for key, tensor in state.items():
        name = key if "layer" in key else f"stem.{key}"
        for stage in (1, 2, 3, 4):
            name = name.replace(f"layer{stage}", f"res{stage + 1}")
        for number in (1, 2, 3):
            name = name.replace(f"bn{number}", f"conv{number}.norm")
        renamed[name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = tensor
    return renamed
