"""Mini-batches that trainings share: each is made once, and is what a training alone would get."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from resnets.data.arrays import ImageArrays
from resnets.data.loading import Batch, Batching
from resnets.data.shared_batches import BatchPool, SharedBatches
from resnets.specs import InputSpec, PadCropFlip

CPU = torch.device("cpu")


class Counted:
    """Mini-batches whose images hold their iteration, and the iterations that were made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for iteration in range(start, stop):
            self.made.append(iteration)
            yield torch.full((2, 1, 3, 3), float(iteration)), torch.tensor([iteration, iteration])


def taken(batches: Iterator[Batch], count: int) -> list[int]:
    return [int(next(batches)[0].mean()) for _ in range(count)]


def test_each_is_made_once() -> None:
    """Two trainings in step get the same mini-batches, and each is made once."""
    source = Counted()
    shared = SharedBatches(source, CPU)
    first, second = shared.batches(0, 4), shared.batches(0, 4)
    for iteration in range(4):
        assert taken(first, 1) == taken(second, 1) == [iteration]
    assert source.made == [0, 1, 2, 3]


def test_one_that_is_behind() -> None:
    """A training that resumed from an earlier iteration gets its own mini-batches, and shares once it has caught up."""
    source = Counted()
    shared = SharedBatches(source, CPU)
    ahead, behind = shared.batches(5, 9), shared.batches(3, 9)
    assert taken(ahead, 1) == [5]
    assert taken(behind, 3) == [3, 4, 5]
    assert taken(ahead, 1) + taken(behind, 1) == [6, 6]
    assert source.made == [5, 3, 4, 5, 6]


def test_beyond_the_end() -> None:
    """Recalibration asks for mini-batches after the last one, each training for the same."""
    shared = SharedBatches(Counted(), CPU)
    assert taken(shared.batches(0, 2), 2) == [0, 1]
    assert taken(shared.batches(2, 4), 2) == taken(shared.batches(2, 4), 2) == [2, 3]


def test_a_network_that_writes_into_its_input() -> None:
    """What one network writes into its images does not reach the next one."""
    shared = SharedBatches(Counted(), CPU)
    images, _ = next(shared.batches(7, 9))
    images.add_(100)
    assert taken(shared.batches(7, 9), 1) == [7]


@pytest.mark.parametrize(
    ("change", "shares"), [({}, True), ({"seed": 1}, False), ({"batch_size": 2}, False), ({"iterations": 9}, False)]
)
def test_who_shares(change: dict[str, int], shares: bool) -> None:
    """Trainings share where images, input, augmentation, seed and batch size are the same; values are as without."""
    generator = np.random.default_rng(0)
    split = ImageArrays(generator.integers(0, 256, (12, 4, 4, 3), np.uint8), generator.integers(0, 2, 12))
    batching = {"batch_size": 4, "seed": 0, "iterations": 5}
    how = InputSpec(size=4, resize=4), PadCropFlip(pad=1)
    pool = BatchPool()
    one = pool.batches_of(split, *how, Batching(**batching))
    other = pool.batches_of(split, *how, Batching(**(batching | change)))
    assert (one is other) == shares
    alone = split.training_batches(*how, Batching(**(batching | change)))
    for (images, labels), (expected, theirs) in zip(other.batches(0, 3), alone.batches(0, 3), strict=True):
        assert torch.equal(images, expected) and torch.equal(labels, theirs)
    pool.close()
