"""Images per second of the CIFAR training pipeline on one core, beside the usual DataLoader of PIL images.

    python benchmarks/cifar_pipeline.py [--data cifar10:PATH] [--json FILE]

Both read the same images and do the same: pad 4, random 32x32 crop, random flip, mean subtracted, divided by the
standard deviation. Each round measures both, one after the other, so that whatever else the machine does meets both.
Images/s are by the wall clock and per second of the core that the process really had: on an idle machine they agree,
on a busy one the second is what one core does.
Without --data the images are random ones of CIFAR-10's number and size, which are as much work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from resnets.data import sources
from resnets.data.convention import fit
from resnets.data.datasets import ImageArrays
from resnets.data.pipeline import training_batches
from resnets.specs import PadCropFlip, Preprocessing

BATCH = 128
TARGET = 80_000  # images/s that ours is to reach on one core


class PilImages(Dataset[Any]):
    """What torchvision's CIFAR10 does with each sample: a PIL image of the array, then the transform."""

    def __init__(self, images: ImageArrays, transform: transforms.Compose) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images.images[index])), int(self.images.labels[index])


def load(source: str | None) -> tuple[ImageArrays, str]:
    """Return the training images of a source, or random ones, and what they are."""
    if source is not None:
        train = sources.load(source).train
        if not isinstance(train, ImageArrays):
            raise SystemExit(f"{source}: the benchmark needs images in memory, such as cifar10:PATH")
        return train, f"{source.partition(':')[0]}, {len(train):,} training images"
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (50_000, 32, 32, 3), np.uint8)
    train = ImageArrays(images, generator.integers(0, 10, 50_000))
    return train, f"{len(train):,} RANDOM images of CIFAR-10's size (name real ones with --data)"


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield batches for ever."""
    while True:
        yield from loader


def speed(batches: Iterator[Any], count: int) -> tuple[float, float]:
    """Return the images of the next `count` batches per second of the wall clock, and per second of a core."""
    wall, core = time.perf_counter(), time.process_time()
    for _ in range(count):
        images, labels = next(batches)
        assert images.shape == (BATCH, 3, 32, 32)
        assert labels.shape == (BATCH,)
    images = count * BATCH
    return images / (time.perf_counter() - wall), images / (time.process_time() - core)


def measure(train: ImageArrays, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the speeds of both pipelines in each round."""
    torch.set_num_threads(1)
    convention = fit(train, Preprocessing(mean="channel", std=True))
    ours = training_batches(train, convention, batch_size=BATCH, seed=0, augmentation=PadCropFlip(), workers=0)
    usual = DataLoader(
        PilImages(
            train,
            transforms.Compose(
                [
                    transforms.RandomCrop(32, padding=4),
                    transforms.RandomHorizontalFlip(),
                    transforms.ToTensor(),
                    transforms.Normalize(convention.mean, convention.std),
                ]
            ),
        ),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
    )
    contenders = {"ours": (ours.batches(0, 10**9), 1_000), "usual": (endless(usual), 40)}
    for batches, count in contenders.values():
        speed(batches, count // 10)  # warm up
    result: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (batches, count) in contenders.items():
            result[name].append(speed(batches, count))
    return result


def machine() -> dict[str, Any]:
    """Return the processor and the versions."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    versions = {module.__name__: str(module.__version__) for module in (torch, torchvision, np, PIL)}
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version(), **versions},
    }


def main() -> None:
    """Measure, print the table and, if asked, write the numbers."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="SOURCE", help="cifar10:PATH or cifar100:PATH; random images without it")
    parser.add_argument("--rounds", type=int, default=7, help="of both, one after the other (default 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    arguments = parser.parse_args()

    before = machine()
    train, what = load(arguments.data)
    rounds = measure(train, arguments.rounds)
    wall, core = ({name: [pair[i] for pair in pairs] for name, pairs in rounds.items()} for i in (0, 1))
    ratios = [ours / usual for ours, usual in zip(core["ours"], core["usual"], strict=True)]
    reached = statistics.median(core["ours"]) >= TARGET

    print(f"CIFAR training pipeline, images/s: one thread, batches of {BATCH}, {arguments.rounds} interleaved rounds")
    print(f"data: {what}\n")
    print(f"{'':38}{'median':>12}{'lowest':>10}{'highest':>10}{'median by':>13}")
    print(f"{'':38}{'per core':>12}{'':20}{'wall clock':>13}")
    for name, label in (
        ("ours", "resnets: in memory, a batch at once"),
        ("usual", "DataLoader of PIL images, no worker"),
    ):
        spread = f"{min(core[name]):10,.0f}{max(core[name]):10,.0f}"
        print(f"{label:38}{statistics.median(core[name]):12,.0f}{spread}{statistics.median(wall[name]):13,.0f}")
    print(f"{'ratio':38}{statistics.median(ratios):12.1f}{min(ratios):10.1f}{max(ratios):10.1f}")
    print(f"{'target for ours':38}{TARGET:12,} {'reached' if reached else 'NOT REACHED'}\n")
    print(f"{before['processor']}, {before['cores']} cores, load before {before['load']}")
    print(", ".join(f"{name} {version}" for name, version in before["versions"].items()))
    if arguments.json is not None:
        numbers = {
            "data": what,
            "batch": BATCH,
            "per_core": core,
            "wall_clock": wall,
            "ratios": ratios,
            "target": TARGET,
        }
        arguments.json.write_text(json.dumps({**numbers, "machine": before}, indent=2) + "\n")


if __name__ == "__main__":
    main()
