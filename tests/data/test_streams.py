"""Shards that are read from their beginning only: each sample once an epoch, mixed, and resumed anywhere."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.data import folder, shard_writer, sources, streams
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.normalization import fit_photos
from resnets.data.splits import DataSplits
from resnets.data.stored_file import InMemoryFile
from resnets.data.streams import ImageStream, buffered_order, read_ahead
from resnets.errors import DataError, UsageError
from resnets.runtime.processes import Share
from resnets.specs import Preprocessing, ScaleCropFlip

COUNT = 24  # images to train on


@pytest.fixture
def shards(make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    shard_writer.write(folder.load(make_photos(train=8, val=3)), tmp_path / "shards", size=20_000)
    return tmp_path / "shards"


@pytest.fixture
def remote(shards: Path, monkeypatch: pytest.MonkeyPatch) -> DataSplits:
    """Shards behind a command that can only give them from their beginning, with a buffer of five images."""
    pytest.importorskip("webdataset")
    monkeypatch.setattr(streams, "BUFFER", 5)
    return sources.load(f"webdataset:pipe:cat {shards}/manifest.json")


def seen(splits: DataSplits, start: int, stop: int, seed: int = 1) -> list[tuple[int, int]]:
    assert isinstance(splits.train, ImageFiles)
    return [(epoch, sample) for epoch, sample, _ in splits.train.training_stream(seed, start, stop)]


def batches_of(splits: DataSplits, start: int, stop: int, workers: int = 0) -> list[Any]:
    assert isinstance(splits.train, ImageFiles)
    input_spec = fit_photos(splits.train.subsample(99).paths, Preprocessing(mean="channel"), size=24, resize=32)
    how = ScaleCropFlip(shortest=28, longest=40, crop=24)
    batches = splits.train.training_batches(input_spec, how, Batching(batch_size=7, seed=1, workers=workers))
    return [(images.numpy().tobytes(), labels.tolist()) for images, labels in batches.batches(start, stop)]


def test_each_epoch_sees_each_sample_once_in_an_order_of_its_own(remote: DataSplits) -> None:
    """Epochs are permutations that differ from epoch to epoch and seed to seed."""
    order = seen(remote, 0, 3 * COUNT)
    for epoch in range(3):
        assert sorted(order[epoch * COUNT : epoch * COUNT + COUNT]) == [(epoch, sample) for sample in range(COUNT)]
    orders = {tuple(sample for _, sample in order[i * COUNT : i * COUNT + COUNT]) for i in range(3)}
    assert len(orders) == 3
    assert seen(remote, 0, COUNT, seed=2) != order[:COUNT]


def test_it_is_resumed_anywhere_with_no_sample_lost_or_repeated(remote: DataSplits) -> None:
    """From any sample on, the stream is that of an uninterrupted run."""
    whole = seen(remote, 0, 2 * COUNT)
    for start in range(0, 2 * COUNT, 5):
        assert seen(remote, start, 2 * COUNT) == whole[start:]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_mini_batches_too(remote: DataSplits, workers: int) -> None:
    """And each sample is cropped as it is when read from a file: by (seed, epoch, sample)."""
    whole = batches_of(remote, 0, 8)
    assert batches_of(remote, 0, 8, workers) == whole
    assert batches_of(remote, 5, 8, workers) == whole[5:]


def test_a_buffer_lets_nobody_leave_before_he_enters() -> None:
    """The buffer gives each sample once, mixed, and none before it was read."""
    order = buffered_order(0, 0, 1000, 50)
    assert sorted(order) == list(range(1000))
    assert (order < np.arange(1000) + 50).all()
    assert abs(np.corrcoef(order[:50], np.arange(50))[0, 1]) < 0.9
    assert buffered_order(0, 1, 1000, 50).tolist() != order.tolist()
    assert sorted(buffered_order(0, 0, 3, 50)) == [0, 1, 2]


def test_testing_passes_each_sample_once(remote: DataSplits, shards: Path) -> None:
    """Test batches are those of the local files."""
    local = sources.load(f"webdataset:{shards}")
    input_spec = fit_photos(local.train.paths, Preprocessing(), size=24, resize=32)  # type: ignore[arg-type]
    for workers in (0, 2):
        here = list(local.test.test_batches(input_spec, batch_size=4))
        there = list(remote.test.test_batches(input_spec, batch_size=4, workers=workers))
        assert [labels.tolist() for _, labels in here] == [labels.tolist() for _, labels in there]
        assert all((a == b).all() for (a, _), (b, _) in zip(here, there, strict=True))


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_test_each_sample_once(remote: DataSplits, size: int) -> None:
    """Each process reads the stream and keeps every n-th image of it."""
    test, found = remote.test, dict[int, str]()
    assert isinstance(test, ImageFiles)
    for rank in range(size):
        part = test.take(Share(rank, size))
        assert isinstance(part, ImageStream)
        for number, held in part.numbered():
            assert part.labels[number] == test.labels[number * size + rank]
            found[number * size + rank] = held.where
    assert found == {number: held.where for number, held in test.numbered()}


def test_remote_shards_without_a_manifest_are_indexed_by_reading_them_once(shards: Path, remote: DataSplits) -> None:
    """Without a manifest the same samples and labels are found."""
    last = len(list(shards.glob("train-*.tar"))) - 1
    train = f"pipe:cat {shards}/train-{{000000..{last:06}}}.tar"
    splits = sources.load(f"webdataset:{train},pipe:cat {shards}/val-000000.tar")
    assert sorted(seen(splits, 0, COUNT)) == [(0, sample) for sample in range(COUNT)]
    assert isinstance(splits.train, ImageFiles) and isinstance(remote.train, ImageFiles)
    assert sorted(splits.train.labels.tolist()) == sorted(remote.train.labels.tolist())


def test_a_stream_that_ends_too_early_or_is_changed_is_refused(remote: DataSplits, shards: Path) -> None:
    """The error has the shard and the byte."""
    path = shards / "train-000000.tar"
    content = path.read_bytes()
    path.write_bytes(content[:3000])
    with pytest.raises(DataError, match="train-000000.tar"):
        seen(remote, 0, COUNT)
    path.write_bytes(content[:700] + b"?" + content[701:])
    with pytest.raises(DataError, match="train-000000.tar, byte 512"):
        seen(remote, 0, COUNT)


def test_a_manifest_runs_no_commands(shards: Path, tmp_path: Path) -> None:
    """A name in a manifest that is not a file next to it is an error."""
    pytest.importorskip("webdataset")
    text = (shards / "manifest.json").read_text()
    (shards / "manifest.json").write_text(text.replace("train-000000.tar", f"x; touch {tmp_path.name}"))
    with pytest.raises(DataError, match=f"x; touch {tmp_path.name}"):
        sources.load(f"webdataset:pipe:cat {shards}/manifest.json")


def test_reading_ahead_keeps_the_order_hands_over_errors_and_ends() -> None:
    """The reading thread loses no item and no error, and stops when it is left."""

    def failing() -> Iterator[int]:
        yield 1
        raise DataError("broken")

    assert list(read_ahead(iter(range(100)), depth=3)) == list(range(100))
    items = read_ahead(failing(), depth=2)
    assert next(items) == 1
    with pytest.raises(DataError, match="broken"):
        next(items)
    before = threading.active_count()
    endless = read_ahead(itertools.count(), depth=2)
    assert next(endless) == 0
    endless.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_some_of_a_stream_are_its_first_images_in_memory(remote: DataSplits) -> None:
    """A part of a stream is read once and kept."""
    assert isinstance(remote.train, ImageFiles)
    few = remote.train.subsample(5)
    order = [sample for sample, _ in itertools.islice(remote.train.numbered(), 5)]
    assert few.labels.tolist() == remote.train.labels[order].tolist()
    assert all(len(file.read()) > 0 for file in few.paths if isinstance(file, InMemoryFile))
    assert len(remote.train.subsample(1_000).select(np.arange(COUNT)).paths) == COUNT  # any of them can be read again


def test_a_small_network_takes_a_stream_into_memory_in_the_order_of_files(remote: DataSplits, shards: Path) -> None:
    """Decoded in memory, the images are in the order of files."""
    there, here = remote.in_memory(8), sources.load(f"webdataset:{shards}").in_memory(8)
    assert there.digest == here.digest


def test_a_stream_is_not_divided(remote: DataSplits) -> None:
    """Holding out a part of a stream is an error."""
    with pytest.raises(UsageError):
        remote.divided("10%", seed=0)
