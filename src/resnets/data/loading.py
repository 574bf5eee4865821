"""Read samples by worker processes: each draws from its own seed, errors arrive as one line, signals pass by."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import random
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnets.data.randomness import batch_samples, sample_bits
from resnets.data.stored_file import ImageFile
from resnets.errors import DataError
from resnets.runtime.processes import WHOLE, Share

CPU = torch.device("cpu")

Batch = tuple[Tensor, Tensor]
"""Images (B, C, H, W) float32 and labels (B,) int64."""

View = NDArray[np.uint8]
"""A part of an image, or the whole, at some size. Shape: (H, W, C)."""

PhotoKey = tuple[int, ImageFile | None, int | None]
"""A sample, its file where a stream has read it already, and the side of its crop where that is not the largest."""


SplitKind = Literal["arrays", "photos", "tensors"]
"""What the images of a split are, as `Split` describes it."""


class ImageStats(NamedTuple):
    """The typical size of an image in pixels, and of its file in bytes, if it has one."""

    height: int
    width: int
    channels: int
    file_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How training batches are drawn and read.

    `batch_size` is of all processes together, of which one makes its `share` of each mini-batch alone. `iterations` is
    the length of the training, which only crops that grow depend on. Images in memory are augmented on the `device`
    where it has room for them.

    Raises: UsageError, if a mini-batch cannot be shared evenly.
    """

    batch_size: int
    seed: int
    workers: int = 0
    device: torch.device = CPU
    iterations: int | None = None
    share: Share = WHOLE

    def __post_init__(self) -> None:
        self.share.of_batch(self.batch_size)

    def samples(self, iteration: int, total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the samples, of `total`, of an iteration's share, and their epochs. Shape: two arrays (B,)"""
        return batch_samples(self.seed, iteration, self.batch_size, total, self.share)


def evenly_spaced(total: int, count: int | None) -> NDArray[np.int64] | None:
    """Return `count` evenly spaced places among all items; None for all of them."""
    if count is None or count >= total:
        return None
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def int64_labels(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return integer labels as int64. Raises: DataError, if they are no integers, or not `count` of them."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise DataError(
            f"labels are {labels.dtype} {labels.shape}; they must be {count:,} integers, one for each image"
        )
    return np.ascontiguousarray(labels, np.int64)


class Seeded(Dataset[Any]):
    """A map-style dataset that draws each sample's augmentation from (seed, epoch, sample)."""

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, key: tuple[int, int | PhotoKey]) -> Any:
        epoch, inner = key
        sample = inner[0] if isinstance(inner, tuple) else inner
        bits = int(sample_bits(self.seed, np.array([epoch]), np.array([sample]))[0])
        states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        try:
            random.seed(bits)
            np.random.seed(bits & 0xFFFFFFFF)
            torch.default_generator.manual_seed(bits)  # torch.manual_seed would seed the GPUs as well, for good
            return self.dataset[inner]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.random.set_rng_state(states[2])


def in_batches(items: Iterator[Any], count: int) -> Iterator[list[Any]]:
    """Yield lists of `count` items; the last may be shorter."""
    while batch := list(itertools.islice(items, count)):
        yield batch


def loader(
    dataset: Dataset[Any], workers: int, normalized: Callable[[Tensor], Tensor] | None, **options: Any
) -> Iterator[Batch]:
    """Yield a DataLoader's batches. Raises: DataError, of a sample, in one line."""
    for images, labels in loading(dataset, workers, **options):
        yield normalized(images) if normalized else images, torch.as_tensor(labels, dtype=torch.int64)


def loading(dataset: Dataset[Any], workers: int, **options: Any) -> Iterator[Any]:
    """Yield what a `DataLoader` with these options gives, read by worker processes.

    Raises: DataError, in one line, of a sample that cannot be read, or a worker process that was killed, ran out of
        memory, or gave nothing for `timeout` seconds (by default PATIENCE).
    """
    options["generator"] = torch.Generator()  # else each pass would draw from the global one
    options |= {"num_workers": workers, "pin_memory": torch.cuda.is_available(), "worker_init_fn": _ignore_signals}
    patience = options.pop("timeout", PATIENCE)
    options["timeout"] = min(CHECK, patience) if workers else 0
    handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    batches: Any = None
    try:
        with warnings.catch_warnings():  # of more workers than cores, which wait for disks as well
            warnings.filterwarnings("ignore", "This DataLoader will create")
            batches = iter(DataLoader(dataset, **options))
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)  # torch's would report a killed worker anywhere, such as in a save
        yield from _patient(batches, options["timeout"], patience)
    except (RuntimeError, MemoryError) as error:
        if sizes := re.search(r"equal size, but got (\[.*?\]) at entry \d+ and (\[.*?\]) at", str(error)):
            own, other = sizes.groups()
            raise DataError(f"images of a mini-batch are {own} and {other}; all must be of one size") from error
        why = next((why for text, why in _FAILED.items() if text in f"{type(error).__name__}: {error}"), None)
        if why is None:
            raise
        raise DataError(f"{why}; {_REMEDY}") from error
    except (EOFError, ConnectionError) as error:
        if not workers or "in DataLoader worker process" in str(error):  # a sample's own
            raise
        raise DataError(f"{_KILLED}; {_REMEDY}") from error  # while it passed a mini-batch on
    except DataError as error:  # a worker's error arrives with its whole traceback as its message
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None
    finally:
        if workers and batches is not None:
            # Else an error's traceback keeps the iterator for the garbage collector, which takes it apart in any
            # order: no worker is asked to end then, and ten seconds are waited for each, since they ignore SIGTERM.
            batches._shutdown_workers()


def _patient(batches: Iterator[Any], interval: float, patience: float) -> Iterator[Any]:
    """Yield batches, each of which is waited for in intervals: torch looks at their end whether its workers live."""
    waited = 0.0
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            waited += interval
            if "DataLoader timed out" not in str(error) or waited >= patience:
                raise
        else:
            waited = 0.0
            yield batch


CHECK = 5
"""Seconds after which a process that was killed without a word is missed."""

PATIENCE = 600
"""Seconds that a mini-batch is waited for: a process that cannot pass one on does not end, and says nothing."""

_KILLED = "a data-loading process was killed, most likely because memory (or /dev/shm) ran out"

_REMEDY = "fewer workers or a smaller mini-batch need less"

_FAILED = {
    "DataLoader worker (pid": _KILLED,
    "DataLoader timed out": "no mini-batch came from the data-loading processes: they hang, or lack address space",
    **dict.fromkeys(("MemoryError", "allocate memory"), "a data-loading process is out of memory"),
}
"""What is wrong with a worker process, by the text of torch's error."""


@atexit.register
def _end_workers() -> None:
    """End workers that an uncaught error keeps alive: at exit they are sent SIGTERM, ignore it, and are waited for."""
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    if workers:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would take their end for a failure
    for worker in workers:
        worker.kill()


def _ignore_signals(worker: int) -> None:
    """Leave signals that reach a whole process group, as Ctrl-C and a closed terminal's, to the process that trains."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
