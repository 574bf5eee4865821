"""Memory of a training, predicted from the complexity of the network and calibrated on the peaks of real runs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from resnets.networks.complexity import Complexity
from resnets.specs import Precision

MIB = 2**20
MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
CGROUPS = (
    (_CGROUP / "memory.max", _CGROUP / "memory.current"),
    (_CGROUP / "memory/memory.limit_in_bytes", _CGROUP / "memory/memory.usage_in_bytes"),
)
BASE = {"cpu": 740 * MIB, "cuda": 900 * MIB}  # torch, its libraries and what they set up; a GPU's context
WEIGHTS = {"fp32": 3.0, "bf16": 3.5}  # times 4 bytes: weights, gradients, momentum, and the copies in bf16
KEPT = {"fp32": 1.05, "bf16": 0.62}  # of the float32 bytes kept from forward to backward
TEST_BATCH = {"cpu": 64, "cuda": 256}  # images at once, in float32 in the final test
TEST_MAPS, TEST_MAPS_OF_BLOCKS = 3.2, 4.2  # maps like the largest one that are alive at once, the shortcut's too


@dataclass(frozen=True)
class Memory:
    """What a training takes on a device: `fixed`, and `image` for each image of a mini-batch. Units: bytes."""

    fixed: int
    image: int

    def of(self, batch_size: int) -> int:
        """Return the peak of a run with mini-batches of this size."""
        return self.fixed + self.image * batch_size

    def largest_batch(self, available: int) -> int:
        """Return how many images a mini-batch may have within the available bytes; 0: not even one."""
        return max(0, (available - self.fixed) // self.image)


def training_memory(
    cost: Complexity, precision: Precision, device_type: str, *, images_bytes: int, test_images: int
) -> Memory:
    """Return what a training takes; `images_bytes` are kept in memory, which on a GPU is not the device's.

    On a CPU it is the process's peak, without those that read image files. Tests add to
    training's share, since freed memory is kept.
    """
    return Memory(
        fixed=BASE[device_type]
        + round(4 * cost.parameters * WEIGHTS[precision])
        + (images_bytes if device_type == "cpu" else 0)
        + _testing(cost) * min(TEST_BATCH[device_type], test_images),
        image=round(cost.activation_bytes * KEPT[precision]),
    )


def _testing(cost: Complexity) -> int:
    """Return the bytes of an image that are alive at once in a test."""
    maps = [(layer.name, 4 * math.prod(layer.output_shape)) for layer in cost.layers]
    blocks = [size for name, size in maps if name.startswith("layer")]
    return round(max(TEST_MAPS * max(size for _, size in maps), TEST_MAPS_OF_BLOCKS * max(blocks, default=0)))


def available_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device now: a GPU's own, or the system's, within a container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([free, *_left_in_containers()])


def _left_in_containers() -> Iterator[int]:
    """Yield the bytes that a container (Docker, Kubernetes, Slurm) has left of its limit, by either version of cgroups.

    Pages of files that the kernel keeps count as used there, so that it is rather too little.
    """
    for limit, used in CGROUPS:
        try:
            yield max(0, int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
