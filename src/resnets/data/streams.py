"""Image streams: files that can only be read from the start of their shards.

An epoch visits the shards in an order of its own and shuffles what they hold within a buffer. Both are a function of
(seed, epoch), so that a run resumes in the middle of an epoch with no sample lost or repeated; it reads again what the
buffer held.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from resnets.data.image_files import Drawn, ImageFiles
from resnets.data.loading import Batching, PhotoKey, in_batches
from resnets.data.randomness import epoch_order
from resnets.data.shards import Members, Part
from resnets.data.stored_file import InMemoryFile
from resnets.errors import UsageError

BUFFER = 2_048  # images, some 225 MB of ImageNet's files

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class ImageStream(ImageFiles):
    """Image files that can only be read from the start of their shards, a `Split`.

    `paths` are the members of all shards, or a process's share of them, which can be tested on only.
    """

    paths: Members

    random_access = False

    def select(self, indices: NDArray[np.int64]) -> ImageFiles:
        raise UsageError("a stream of images does not support selection; copy the images first (hf:REPO)")

    def subsample(self, count: int | None) -> ImageFiles:
        """Return the first images, in memory; with None the stream itself."""
        if count is None:
            return self
        found = list(islice(self.numbered(), count))
        labels = self.labels[[sample for sample, _ in found]]
        return ImageFiles(tuple(file for _, file in found), labels, channels=self.channels)

    def numbered(self) -> Iterator[tuple[int, InMemoryFile]]:
        own = self.paths.own
        return ((own.index(number), file) for number, file in _read(self.paths.shards) if number in own)

    def _keys(self) -> Iterator[PhotoKey]:
        return ((sample, file, None) for sample, file in self.numbered())

    def drawn(self, batching: Batching, start: int, stop: int) -> Iterator[Drawn]:
        count = batching.batch_size
        stream = self.training_stream(batching.seed, start * count, stop * count)
        for batch in read_ahead(in_batches(stream, count), depth=4):
            epochs, samples, files = zip(*batch[batching.share.of_batch(count)], strict=True)
            yield np.asarray(epochs, np.int64), np.asarray(samples, np.int64), list(files)

    def training_stream(self, seed: int, start: int, stop: int) -> Iterator[tuple[int, int, InMemoryFile]]:
        """Yield (epoch, sample, file) of the positions start to stop - 1 in the endless stream of epochs."""
        shards, count = self.paths.shards, len(self)
        assert count == sum(map(len, shards))  # a share can only be tested on
        while start < stop:
            epoch, first = divmod(start, count)
            end = min(count, first + stop - start)
            visited = [shards[number] for number in epoch_order(seed, epoch, len(shards))]
            order = buffered_order(seed, epoch, count, BUFFER)
            gone = np.zeros(count, np.bool_)
            gone[order[:first]] = True
            arriving = _read(visited, gone)
            waiting: dict[int, tuple[int, InMemoryFile]] = {}
            ahead = iter(np.flatnonzero(~gone).tolist())
            for place in order[first:end].tolist():
                while place not in waiting:
                    waiting[next(ahead)] = next(arriving)
                yield epoch, *waiting.pop(place)
            start += end - first


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


def _read(shards: Sequence[Part], gone: NDArray[np.bool_] | None = None) -> Iterator[tuple[int, InMemoryFile]]:
    """Yield (sample, file) of the shards, one after the other, but for the places that are gone."""
    before = 0
    for shard in shards:
        requested: Sequence[int] = range(len(shard))
        if gone is not None:
            requested = np.flatnonzero(~gone[before : before + len(shard)]).tolist()
        before += len(shard)
        if requested:
            yield from zip(shard.samples[requested].tolist(), shard.read(requested), strict=True)


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
