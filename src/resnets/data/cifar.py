"""CIFAR-10 and CIFAR-100 in their official layouts, verified: counts, labels and, where known, the whole content."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.errors import DataError
from resnets.files import cache_folder, read_bytes, reading
from resnets.pickles import read_pickle
from resnets.runtime.locks import Lock
from resnets.specs import CIFAR10_IMAGES

PIXELS = 32 * 32 * 3
MOST_BYTES = 500_000_000  # of a file; the largest published one has 160 million


@dataclass(frozen=True)
class Layout:
    """Where one version of a data set keeps its files."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    binary: bool
    label: str | int  # the pickle's key, or the label's byte in a binary record
    label_bytes: int = 1  # of a binary record


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets. Paper: section 4.2 [20]."""

    name: str
    layouts: tuple[Layout, ...]
    classes: tuple[str, ...]
    digests: dict[str, str]  # split -> SHA-256 of its pixels (N, 32, 32, 3), then its labels; empty if unknown
    train_images: int = 50_000
    test_images: int = 10_000


CIFAR10 = Cifar(
    name="cifar10",
    layouts=(
        Layout(
            folder="cifar-10-batches-bin",
            train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            test=("test_batch.bin",),
            binary=True,
            label=0,
        ),
        Layout(
            folder="cifar-10-batches-py",
            train=tuple(f"data_batch_{i}" for i in range(1, 6)),
            test=("test_batch",),
            binary=False,
            label="labels",
        ),
    ),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    digests=dict(zip(("train", "test"), CIFAR10_IMAGES.digests, strict=True)),
)

CIFAR100_CLASSES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard "
    "lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear "
    "pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal "
    "shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank "
    "telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman "
    "worm"
)

CIFAR100 = Cifar(
    name="cifar100",
    layouts=(
        Layout(
            folder="cifar-100-binary",
            train=("train.bin",),
            test=("test.bin",),
            binary=True,
            label=1,  # byte 0 is the coarse label
            label_bytes=2,
        ),
        Layout(folder="cifar-100-python", train=("train",), test=("test",), binary=False, label="fine_labels"),
    ),
    classes=tuple(CIFAR100_CLASSES.split()),
    digests={},
)


def load_cifar10(path: Path | None = None) -> DataSplits:
    """Return CIFAR-10 from a folder, or from the cache folder, to which it is fetched where it is absent."""
    return _load_or_fetch(CIFAR10, path)


def load_cifar100(path: Path | None = None) -> DataSplits:
    """Return CIFAR-100 likewise."""
    return _load_or_fetch(CIFAR100, path)


def _load_or_fetch(data_set: Cifar, path: Path | None) -> DataSplits:
    if path is None:
        path = cache_folder()
        if not present(data_set, path):
            download(data_set, path)
    return load(data_set, path)


def load(data_set: Cifar, path: Path) -> DataSplits:
    """Read a data set from one of its official folders, at or under `path`.

    Raises: DataError, naming the file, if one is missing or damaged, or the content is not the published one.
    """
    folder, layout = _find(data_set, path)
    splits = {
        "train": _read(data_set, layout, [folder / name for name in layout.train], data_set.train_images),
        "test": _read(data_set, layout, [folder / name for name in layout.test], data_set.test_images),
    }
    digests = {split: images.digest() for split, images in splits.items()}
    for split, known in data_set.digests.items():
        if digests[split] != known:
            raise DataError(
                f"{folder}: the {split} images are not the published ones (SHA-256 {digests[split][:12]}..., "
                f"expected {known[:12]}...); delete this folder and fetch the archive again"
            )
    return DataSplits(
        name=data_set.name,
        train=splits["train"],
        test=splits["test"],
        classes=data_set.classes,
        digest=f"{digests['train']}:{digests['test']}",
        published=True,
    )


def download(data_set: Cifar, root: Path) -> None:
    """Fetch the published archive into `root` with torchvision, which shows progress and verifies its checksum.

    Raises: DataError, if it cannot be fetched.
    """
    from torchvision import datasets

    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[data_set.name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with Lock(root / f".{data_set.name}.lock", wait=True):  # two runs that start together fetch it once
            if not present(data_set, root):
                dataset(root=str(root), download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"{data_set.name}: not found in {root} and could not be fetched ({error}); "
            f"name a folder that holds {_names(data_set)} as {data_set.name}:PATH"
        ) from error


def present(data_set: Cifar, path: Path) -> bool:
    """Return whether one of the official folders, with all its files, is at or under `path`."""
    return any(_missing(folder, layout) is None for folder, layout in _folders(data_set, path))


def _names(data_set: Cifar) -> str:
    return " or ".join(layout.folder for layout in data_set.layouts)


def _folders(data_set: Cifar, path: Path) -> list[tuple[Path, Layout]]:
    """Return the official folders at `path` (by its name or its files), in it, and in its subfolders."""
    found = []
    for layout in data_set.layouts:
        if path.resolve().name == layout.folder or _missing(path, layout) is None:
            found.append((path, layout))
        found += [(folder, layout) for folder in (path / layout.folder, *sorted(path.glob(f"*/{layout.folder}")))]
    return [(folder, layout) for folder, layout in found if folder.is_dir()]


def _missing(folder: Path, layout: Layout) -> Path | None:
    """Return the first file that a folder lacks, or None."""
    return next((folder / name for name in layout.train + layout.test if not (folder / name).is_file()), None)


def _find(data_set: Cifar, path: Path) -> tuple[Path, Layout]:
    if not path.is_dir():
        raise DataError(f"{data_set.name}: no folder {path}")
    folders = _folders(data_set, path)
    for folder, layout in folders:
        if _missing(folder, layout) is None:
            return folder, layout
    for folder, layout in folders:
        raise DataError(f"{data_set.name}: {_missing(folder, layout)} is missing")
    raise DataError(f"{data_set.name}: no {_names(data_set)} at or under {path}")


def _read(data_set: Cifar, layout: Layout, files: list[Path], count: int) -> ImageArrays:
    images = np.empty((count, 32, 32, 3), np.uint8)
    labels = np.empty(count, np.int64)
    expected = count // len(files)
    for number, file in enumerate(files):
        part = _read_binary(layout, file) if layout.binary else _read_pickle(layout, file)
        worst = int(part[1].max(initial=0))
        if worst >= len(data_set.classes):
            raise DataError(
                f"{file}: image {int(part[1].argmax())} has label {worst}; "
                f"{data_set.name} has labels 0 to {len(data_set.classes) - 1}"
            )
        if len(part[1]) != expected:
            raise DataError(f"{file}: holds {len(part[1]):,} images instead of {expected:,}")
        here = slice(number * expected, (number + 1) * expected)
        images[here] = part[0].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels[here] = part[1]
    return ImageArrays(images, labels)


def _read_binary(layout: Layout, file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with reading(file, DataError):
        data = np.frombuffer(read_bytes(file, MOST_BYTES), np.uint8)
    record = layout.label_bytes + PIXELS
    if len(data) == 0 or len(data) % record:
        raise DataError(f"{file}: {len(data):,} bytes is not a whole number of records of {record:,} bytes")
    records = data.reshape(-1, record)
    assert isinstance(layout.label, int)
    return records[:, layout.label_bytes :], records[:, layout.label]


def _read_pickle(layout: Layout, file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        entry = read_pickle(BytesIO(read_bytes(file, MOST_BYTES)))
        pixels, labels = entry["data"], entry[layout.label]
        if isinstance(labels, list) and all(type(label) is int for label in labels):
            labels = np.asarray(labels)
        if not isinstance(pixels, np.ndarray) or not isinstance(labels, np.ndarray):
            raise ValueError("its data is no array, or its labels are no integers")
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS) or labels.dtype.kind not in "iu":
            raise ValueError(f"data is {pixels.dtype} {pixels.shape}, expected uint8 ({len(labels)}, {PIXELS})")
        if labels.min(initial=0) < 0:
            raise ValueError(f"image {int(labels.argmin())} has label {int(labels.min())}")
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(f"{file}: not a batch of the Python version ({error})") from error
    return pixels, labels
