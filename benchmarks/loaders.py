"""The peers' data: DataLoaders of PIL images with torchvision's transforms, and what their experts use instead."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from benchmarks.peers import Batches, PilImages
from resnets.data.arrays import ImageArrays
from resnets.data.image_files import ImageFiles
from resnets.data.map_datasets import MapSplit
from resnets.data.splits import Split
from resnets.data.stored_file import ImageFile
from resnets.errors import UsageError
from resnets.specs import AreaCropFlip, Augmentation, PadCropFlip, ScaleCropFlip

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPOCH = 50_000  # images of a pass at least: small data is repeated, lest its loader starts again all the time
SCALES = ScaleCropFlip()  # section 3.4, the same on both sides
PARTS = AreaCropFlip()  # what torchvision and timm crop by default, likewise


class _ResizeAtRandom:
    """Section 3.4's scale augmentation as a transform: the shorter side is drawn from a range."""

    def __init__(self, scales: ScaleCropFlip) -> None:
        from torchvision import transforms

        sides = range(scales.shortest, scales.longest + 1)
        self.resize = [transforms.Resize(side, antialias=True) for side in sides]

    def __call__(self, image: Any) -> Any:
        return random.choice(self.resize)(image)


def baseline_cifar(images: ImageArrays, batch: int, *, workers: int, expert: bool = False) -> DataLoader[Any]:
    """Return the baseline repository's training loader: pad, crop, flip, to a tensor, normalise."""
    return baseline(images, PadCropFlip(), batch, workers=workers, expert=expert)


def baseline_photos(files: ImageFiles, batch: int, *, workers: int, expert: bool = False) -> DataLoader[Any]:
    """Return the reference scripts' loader of PIL images, with section 3.4's augmentation."""
    return baseline(files, SCALES, batch, workers=workers, expert=expert)


def baseline(
    images: Split, augmentation: Augmentation | None, batch: int, *, workers: int, expert: bool = False
) -> DataLoader[Any]:
    """Return the loader that most scripts have for such images: PIL images and torchvision's transforms.

    Raises: UsageError, for images that are read as a stream.
    """
    if isinstance(images, ImageArrays):
        transform = _transform(augmentation, images.side, CIFAR_MEAN, CIFAR_STD)
        if images.channels == 1:
            transform = _transform(augmentation, images.side, (0.5,), (0.5,))
        return _loader(PilImages(images, transform), batch, workers, expert)
    if isinstance(images, ImageFiles):
        transform = _transform(augmentation, SCALES.crop, IMAGENET_MEAN, IMAGENET_STD)
        return _loader(_Files(images, _read_pil, transform), batch, workers, expert)
    if isinstance(images, MapSplit):
        return _loader(images.dataset, batch, workers, expert)
    raise UsageError("the benchmark reads images in any order; it cannot measure data that is read as a stream")


def _transform(
    augmentation: Augmentation | None, side: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[Image.Image], Tensor]:
    """Return torchvision's transforms for an augmentation, of images of `side` pixels or photos of any size."""
    from torchvision import transforms

    steps: list[Any] = []
    if isinstance(augmentation, PadCropFlip):
        steps += [transforms.RandomCrop(side, padding=augmentation.pad)]
    elif isinstance(augmentation, ScaleCropFlip):
        steps += [_ResizeAtRandom(augmentation), transforms.RandomCrop(augmentation.crop)]
    elif augmentation is not None:
        steps += [transforms.RandomResizedCrop(augmentation.crop, augmentation.scale, augmentation.ratio)]
    if augmentation is not None and augmentation.flip:
        steps += [transforms.RandomHorizontalFlip()]
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, std)])


def expert_photos(files: ImageFiles, batch: int, *, workers: int) -> DataLoader[Any]:
    """Return the loader that an expert of torchvision builds: its own JPEG decoder and transforms v2 on tensors."""
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            _ResizeAtRandom(SCALES),
            v2.RandomCrop(SCALES.crop),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return _loader(_Files(files, _read_tensor, transform), batch, workers, True)


def expert_large(files: ImageFiles, batch: int, *, workers: int) -> DataLoader[Any]:
    """Return the loader that an expert of torchvision builds for large photos: its own JPEG decoder, and v2."""
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.RandomResizedCrop(PARTS.crop, PARTS.scale, PARTS.ratio, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return _loader(_Files(files, _read_tensor, transform), batch, workers, True)


def timm_photos(files: ImageFiles, batch: int, *, workers: int) -> DataLoader[Any]:
    """Return the loader of PIL images with the transforms of timm's train.py, its options left as they are."""
    from timm.data import create_transform

    transform = create_transform(PARTS.crop, is_training=True, interpolation="random")
    return _loader(_Files(files, _read_pil, transform), batch, workers, False)


class _Files(Dataset[Any]):
    """What torchvision's ImageFolder does with each sample."""

    def __init__(self, files: ImageFiles, read: Any, transform: Any) -> None:
        self.samples = list(zip(files.paths, files.labels.tolist(), strict=True))
        self.read, self.transform = read, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, target = self.samples[index]
        return self.transform(self.read(path)), target


def _read_pil(path: ImageFile) -> Image.Image:
    with open(path, "rb") if isinstance(path, Path) else BytesIO(path.read()) as file:
        return Image.open(file).convert("RGB")


def _read_tensor(path: Path) -> Tensor:
    from torchvision import io

    return io.decode_image(str(path), mode=io.ImageReadMode.RGB)


def _loader(dataset: Dataset[Any], batch: int, workers: int, expert: bool) -> DataLoader[Any]:
    pinned = torch.cuda.is_available()
    count = len(dataset)  # type: ignore[arg-type]  # torch's class declares no length
    if count < EPOCH:
        dataset = ConcatDataset([dataset] * -(-EPOCH // count))
    if expert and workers:
        workers = max(workers, min(8, os.cpu_count() or 1))
    return DataLoader(
        dataset,
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=expert and workers > 0,
    )


def vectorised_cifar(images: ImageArrays, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches as experts make them: all images in memory as normalised floats, padded, cropped by indexing."""
    pixels = torch.from_numpy(images.images).permute(0, 3, 1, 2).float() / 255
    pixels = (pixels - torch.tensor(CIFAR_MEAN).view(1, 3, 1, 1)) / torch.tensor(CIFAR_STD).view(1, 3, 1, 1)
    padded = torch.nn.functional.pad(pixels, (4, 4, 4, 4))  # (N, 3, 40, 40)
    labels = torch.from_numpy(images.labels)
    side = torch.arange(32)
    channels = torch.arange(3)[None, :, None, None]
    while True:
        for chosen in torch.randperm(len(labels)).split(batch):
            if len(chosen) < batch:
                continue
            top, left = torch.randint(0, 9, (2, batch, 1))
            columns = torch.where(torch.rand(batch, 1) < 0.5, side.flip(0), side) + left
            rows = side + top
            view = padded[chosen[:, None, None, None], channels, rows[:, None, :, None], columns[:, None, None, :]]
            yield view, labels[chosen]


def in_memory(batch: int, size: int, classes: int, device: torch.device) -> Batches:
    """Return the same random batch for ever, on the device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, size, size, generator=generator).to(device)
    return itertools.repeat((images, torch.randint(0, classes, (batch,), generator=generator).to(device)))
