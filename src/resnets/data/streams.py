"""What can only be read from the beginning: the order in which a stream is trained on, and how it is resumed.

An epoch visits the shards in an order of its own and shuffles what they hold within a buffer. Both are a function of
(seed, epoch), so that a run goes on in the middle of an epoch with no sample lost or repeated; it reads again what the
buffer held.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from resnets.data.datasets import ImageFiles, Images, select
from resnets.data.randomness import epoch_order
from resnets.data.shards import Members, MembersSlice, Part
from resnets.data.stored import Held

BUFFER = 2_048  # images, some 225 MB of ImageNet's files

Item = TypeVar("Item")


def is_streamed(files: ImageFiles) -> bool:
    """Tell whether the files can only be read from the beginning of their shards."""
    return isinstance(files.paths, Members | MembersSlice) and files.paths.remote


@overload
def some_of(split: ImageFiles, count: int | None) -> ImageFiles: ...


@overload
def some_of(split: Images, count: int | None) -> Images: ...


def some_of(split: Images, count: int | None) -> Images:
    """Return at most so many images of a split, evenly spaced, so that of one sorted by class each has its share.

    Of a stream they are the first ones, in memory. None is all of them.
    """
    if count is None:
        return split
    if isinstance(split, ImageFiles) and is_streamed(split):
        found = list(islice(in_order(split), count))
        return ImageFiles(tuple(held for _, held in found), split.labels[[sample for sample, _ in found]])
    total = len(split)  # type: ignore[arg-type]
    return split if count >= total else select(split, np.linspace(0, total - 1, count).round().astype(np.int64))


def in_order(files: ImageFiles) -> Iterator[tuple[int, Held]]:
    """Yield each sample of a stream with its file, in the order of the shards."""
    part = files.paths
    if not isinstance(part, MembersSlice):
        return _read(_shards(files))
    return ((part.own.index(number), held) for number, held in _read(part.whole.shards) if number in part.own)


def training_stream(files: ImageFiles, seed: int, start: int, stop: int) -> Iterator[tuple[int, int, Held]]:
    """Yield (epoch, sample, file) of the positions start to stop - 1 in the endless stream of epochs."""
    shards = _shards(files)
    while start < stop:
        epoch, begin = divmod(start, len(files))
        end = min(len(files), begin + stop - start)
        visited = [shards[number] for number in epoch_order(seed, epoch, len(shards))]
        order = buffered_order(seed, epoch, len(files), BUFFER)
        gone = np.zeros(len(files), np.bool_)
        gone[order[:begin]] = True
        arriving = _read(visited, gone)
        waiting: dict[int, tuple[int, Held]] = {}
        ahead = iter(np.flatnonzero(~gone).tolist())
        for place in order[begin:end].tolist():
            while place not in waiting:
                waiting[next(ahead)] = next(arriving)
            yield epoch, *waiting.pop(place)
        start += end - begin


@lru_cache(maxsize=2)
def buffered_order(seed: int, epoch: int, count: int, buffer: int) -> NDArray[np.int64]:
    """Return the order in which places of a stream leave a buffer that they enter one after the other.

    Shape: (count,)
    """
    generator = np.random.Generator(np.random.Philox(key=[seed & ((1 << 64) - 1), epoch]))
    size = min(buffer, count)
    drawn = generator.integers(0, size, count).tolist()
    held = list(range(size))
    order = np.empty(count, np.int64)
    for step in range(count - size):
        slot = drawn[step]
        order[step] = held[slot]
        held[slot] = step + size
    order[count - size :] = generator.permutation(np.asarray(held, np.int64))
    order.flags.writeable = False
    return order


def _shards(files: ImageFiles) -> tuple[Part, ...]:
    assert isinstance(files.paths, Members)
    return files.paths.shards


def _read(shards: Sequence[Part], gone: NDArray[np.bool_] | None = None) -> Iterator[tuple[int, Held]]:
    """Yield (sample, file) of the shards, one after the other, but for the places that are gone."""
    before = 0
    for shard in shards:
        wanted: Sequence[int] = range(len(shard))
        if gone is not None:
            wanted = np.flatnonzero(~gone[before : before + len(shard)]).tolist()
        before += len(shard)
        if wanted:
            yield from zip(shard.samples[wanted].tolist(), shard.read(wanted), strict=True)


def read_ahead(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Yield the same items, up to `depth` of them fetched by a thread meanwhile."""
    ready: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(kind: str, item: Item | BaseException | None = None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, item), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end")
        except BaseException as error:  # handed over, and raised where the items are used
            put("error", error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "end":
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join(timeout=5)  # a network that hangs must not keep a run from ending
