"""Rows of the benchmark, one for each kind of work, with their targets; declarations only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnets.errors import UsageError, nearest
from resnets.records.benchmarks import Kind, Quantity
from resnets.specs import NetworkSpec

Source = Literal["cifar", "photos", "large photos", "boxes", "memory", "data"]
"""Images of a row: CIFAR's, photos, the same enlarged to 12 megapixels or with boxes, a random batch on the device, or
`--data`'s."""


@dataclass(frozen=True)
class Target:
    """What a row is to reach: a speed or a peak memory over the reference peer's, or a figure of its own.

    Of memory `at_least` and `aim` are upper bounds. `matrix share` is of the matrix rate in the precision used.
    """

    quantity: Quantity
    at_least: float
    aim: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of work. `batch` is in images; `quick` says that `--quick` takes it.

    A row of a network by name has its declaration as `spec`, for images of `side` x `side` pixels. Ours trains in
    `processes`, each with its share of the cores; the reference is then one process of ours.
    """

    name: str
    what: str
    kind: Kind
    network: str = ""
    batch: int = 1
    source: Source = "memory"
    targets: tuple[Target, ...] = ()
    quick: bool = False
    processes: int = 1
    spec: NetworkSpec | None = None
    side: int | None = None

    @property
    def cifar(self) -> bool:
        """Whether the network is of the CIFAR type, whose peer is the baseline CIFAR repository."""
        return self.source == "cifar" or self.network == "resnet20"


def _training(network: str, depth: int, batch: int, source: Source, *targets: Target, quick: bool = False) -> Row:
    suffix = "cifar" if source == "cifar" else "imagenet"
    data = {"cifar": "CIFAR-10 end to end", "photos": "224 x 224, photos end to end", "memory": "224 x 224, in memory"}
    return Row(
        name=f"resnet{depth}-{suffix}",
        what=f"ResNet-{depth} training, {data[source]}, batch {batch}",
        kind="training",
        network=network,
        batch=batch,
        source=source,
        targets=targets,
        quick=quick,
    )


def _inference(network: str, depth: int, batch: int, *targets: Target, quick: bool = False) -> Row:
    return Row(
        name=f"resnet{depth}-batch{batch}",
        what=f"ResNet-{depth} inference, batch {batch}",
        kind="inference",
        network=network,
        batch=batch,
        targets=targets,
        quick=quick,
    )


_DETECTOR = "Faster R-CNN on ResNet-50's conv1 to conv5_x (C4), one image at 600 x 800"
_DETECTION = (
    Row(
        name="resnet50-detector",
        what=f"{_DETECTOR}, training, 128 regions, photos end to end",
        kind="training",
        network="resnet50_v1_5",
        source="boxes",
        targets=(Target("speed", 1.0),),
    ),
    Row(
        name="resnet50-detector-test",
        what=f"{_DETECTOR}, test, 300 regions",
        kind="inference",
        network="resnet50_v1_5",
        source="boxes",
        targets=(Target("speed", 1.0),),
    ),
)

_PIPELINES = (
    Row(
        name="cifar-pipeline",
        what="CIFAR-10 training pipeline, one core",
        kind="pipeline",
        batch=128,
        source="cifar",
        targets=(Target("speed", 15, 27), Target("images/s", 80_000)),
        quick=True,
    ),
    Row(
        name="photo-pipeline",
        what="ImageNet photo pipeline, per core",
        kind="pipeline",
        batch=32,
        source="photos",
        targets=(Target("speed", 1.4, 2),),
    ),
    Row(
        name="large-photo-pipeline",
        what="training pipeline of photos of 12 megapixels, per core",
        kind="pipeline",
        batch=8,
        source="large photos",
        targets=(Target("speed", 3.5),),
    ),
    Row(
        name="predict-folder",
        what="ResNet-50, prediction of a folder of photos, per core",
        kind="pipeline",
        network="resnet50_v1_5",
        batch=32,
        source="photos",
        targets=(Target("speed", 1.5),),
    ),
    Row(name="start-up", what="the command `resnets --help`", kind="start-up"),
)

CPU = (
    _training("resnet20", 20, 128, "cifar", Target("speed", 2.2, 2.6), quick=True),
    _training("resnet110", 110, 128, "cifar", Target("speed", 2.0, 2.4)),
    _training("resnet18", 18, 32, "photos", Target("speed", 2.3, 2.6)),
    _training(
        "resnet50_v1_5", 50, 16, "photos", Target("speed", 2.8, 3.2), Target("peak memory", 0.6, 0.5), quick=True
    ),
    _inference("resnet50_v1_5", 50, 1, Target("speed", 2.4, 2.7)),
    _inference("resnet50_v1_5", 50, 32, Target("speed", 2.4, 2.8)),
    _inference("resnet20", 20, 1, Target("speed", 10, 17)),
    _inference("resnet20", 20, 256, Target("speed", 5, 6)),
    *_DETECTION,
    Row(
        name="resnet20-processes",
        what="ResNet-20 training, CIFAR-10 end to end, batch 128, by two processes and by one with all threads",
        kind="training",
        network="resnet20",
        batch=128,
        source="cifar",
        processes=2,
        targets=(Target("speed", 1.0),),
    ),
    *_PIPELINES,
)

CUDA = (
    # 64,000 iterations of 128 images in under 4 minutes
    _training("resnet20", 20, 128, "cifar", Target("speed", 4), Target("images/s", 64_000 * 128 / 240), quick=True),
    _training("resnet56", 56, 128, "cifar", Target("speed", 4)),
    _training("resnet110", 110, 128, "cifar", Target("speed", 4)),
    _training("resnet18", 18, 256, "memory"),
    _training("resnet50_v1_5", 50, 256, "memory", Target("images/s", 3_000), Target("matrix share", 0.45), quick=True),
    _training("resnet152_v1_5", 152, 256, "memory"),
    _inference("resnet50_v1_5", 50, 1, quick=True),
    _inference("resnet50_v1_5", 50, 32),
    _inference("resnet20", 20, 1),
    _inference("resnet20", 20, 256),
    *_PIPELINES,
)


def choose(only: tuple[str, ...], *, gpu: bool, quick: bool) -> tuple[Row, ...]:
    """Return the rows of these names, or those that `quick` takes, or all, for a GPU or a CPU.

    Raises: UsageError, if there is no such row.
    """
    rows = {row.name: row for row in (CUDA if gpu else CPU)}
    for name in only:
        if name not in rows:
            if not gpu and any(row.name == name for row in CUDA):
                raise UsageError(f"row {name!r} is measured on a GPU only; this run is on a CPU")
            raise UsageError(f"unknown row {name!r}{nearest(name, rows)}; known: {', '.join(rows)}")
    return tuple(row for row in rows.values() if (row.name in only if only else row.quick or not quick))
