"""Reimplemented peers: the baseline CIFAR repository, and the training loops of torchvision's and timm's scripts.

Each is written as its authors do it: eager, float32, NCHW, a DataLoader of PIL images, meters fed by `.item()` at each
step. `Flags` are what their experts turn on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TextIO

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.worker import Tick
from resnets.data.arrays import ImageArrays

Batches = Iterable[tuple[Tensor, Tensor]]


# ---------------------------------------------------------------- the baseline CIFAR repository


class _Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class BaselineBlock(nn.Module):
    """Two 3x3 convolutions and option A, as such repositories write it (the zeros come after, as in ours)."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or in_planes != planes:
            zeros = (0, 0, 0, 0, 0, planes - in_planes)
            self.shortcut = _Lambda(lambda x: F.pad(x[:, :, ::2, ::2], zeros, "constant", 0))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class BaselineResNet(nn.Module):
    """The CIFAR ResNet of the baseline repository.

    Shape: (N, 3, 32, 32) -> (N, num_classes)
    """

    def __init__(self, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        self.in_planes = 16
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks = (depth - 2) // 6
        self.layer1 = self._make_layer(16, blocks, 1)
        self.layer2 = self._make_layer(32, blocks, 2)
        self.layer3 = self._make_layer(64, blocks, 2)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def _make_layer(self, planes: int, blocks: int, stride: int) -> nn.Sequential:
        layers = []
        for step in [stride] + [1] * (blocks - 1):
            layers.append(BaselineBlock(self.in_planes, planes, step))
            self.in_planes = planes
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        return self.linear(out)


class PilImages(Dataset[Any]):
    """What torchvision's CIFAR10 does with each sample: a PIL image of the array, then the transform."""

    def __init__(self, images: ImageArrays, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.images.images[index]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return self.transform(image), int(self.images.labels[index])


# ---------------------------------------------------------------- training loops


@dataclass(frozen=True)
class Flags:
    """What the user of a script has turned on."""

    device: torch.device
    bf16: bool = False  # autocast
    channels_last: bool = False

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def put(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        images, target = images.to(self.device, non_blocking=True), target.to(self.device, non_blocking=True)
        return (images.contiguous(memory_format=torch.channels_last) if self.channels_last else images), target


class AverageMeter:
    """The latest value and the mean."""

    def __init__(self) -> None:
        self.val = self.sum = self.count = self.avg = 0.0

    def update(self, val: float, n: int = 1) -> None:
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count


def accuracy(output: Tensor, target: Tensor, topk: tuple[int, ...]) -> list[Tensor]:
    """Return the percentage of right answers among the best k, for each k."""
    with torch.no_grad():
        _, predicted = output.topk(max(topk), 1, True, True)
        correct = predicted.t().eq(target[None])
        return [correct[:k].flatten().sum(dtype=torch.float32) * (100.0 / len(target)) for k in topk]


def baseline_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: Batches, flags: Flags, log: TextIO, tick: Tick
) -> None:
    """Train for ever as the baseline CIFAR repository does: top-1 and loss fetched at each step, a line every 50."""
    criterion = nn.CrossEntropyLoss().to(flags.device)
    batch_time, data_time, losses, top1 = (AverageMeter() for _ in range(4))
    model.train()
    epoch = 0
    while True:
        end = time.time()
        for i, (images, target) in enumerate(loader):
            data_time.update(time.time() - end)
            images, target = flags.put(images, target)
            with flags.autocast():
                output = model(images)
                loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            output, loss = output.float(), loss.float()
            prec1 = accuracy(output.data, target, (1,))[0]
            losses.update(loss.item(), images.size(0))
            top1.update(prec1.item(), images.size(0))
            batch_time.update(time.time() - end)
            end = time.time()
            if i % 50 == 0:
                print(
                    f"Epoch: [{epoch}][{i}]\tTime {batch_time.val:.3f} ({batch_time.avg:.3f})\t"
                    f"Data {data_time.val:.3f} ({data_time.avg:.3f})\tLoss {losses.val:.4f} ({losses.avg:.4f})\t"
                    f"Prec@1 {top1.val:.3f} ({top1.avg:.3f})",
                    file=log,
                )
            tick(len(target))
        epoch += 1


def torchvision_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: Batches, flags: Flags, log: TextIO, tick: Tick
) -> None:
    """Train for ever as references/classification does: loss, top-1 and top-5 fetched at each step, a line every 10."""
    criterion = nn.CrossEntropyLoss()
    meters = {name: AverageMeter() for name in ("loss", "lr", "acc1", "acc5", "img/s", "time")}
    model.train()
    while True:
        for i, (images, target) in enumerate(loader):
            start_time = time.time()
            images, target = flags.put(images, target)
            with flags.autocast():
                output = model(images)
                loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            acc1, acc5 = accuracy(output, target, (1, 5))
            batch_size = images.shape[0]
            meters["loss"].update(loss.item())
            meters["lr"].update(optimizer.param_groups[0]["lr"])
            meters["acc1"].update(acc1.item(), n=batch_size)
            meters["acc5"].update(acc5.item(), n=batch_size)
            meters["img/s"].update(batch_size / (time.time() - start_time))
            if i % 10 == 0:
                print(
                    "  ".join(f"{name}: {meter.val:.4f} ({meter.avg:.4f})" for name, meter in meters.items()), file=log
                )
            tick(batch_size)


def timm_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: Batches, flags: Flags, log: TextIO, tick: Tick
) -> None:
    """Train for ever as timm's train.py does: the loss fetched at each step, a line every 50."""
    loss_fn = nn.CrossEntropyLoss().to(flags.device)
    update_time, data_time, losses = AverageMeter(), AverageMeter(), AverageMeter()
    model.train()
    optimizer.zero_grad()
    while True:
        start = time.time()
        for i, (images, target) in enumerate(loader):
            images, target = flags.put(images, target)
            data_time.update(time.time() - start)
            with flags.autocast():
                output = model(images)
                loss = loss_fn(output, target)
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), images.size(0))
            optimizer.zero_grad()
            update_time.update(time.time() - start)
            if i % 50 == 0:
                rate = images.size(0) / update_time.val
                print(f"Train: [{i}]  Loss: {losses.val:#.3g} ({losses.avg:#.3g})  {rate:.2f}/s", file=log)
            tick(images.size(0))
            start = time.time()
