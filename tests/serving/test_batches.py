"""Dynamic batching: which images are computed together, and that each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest
from numpy.typing import NDArray

from resnets.serving.batches import Batcher


class Compute:
    """Returns the first pixel of each image, when it is `released`; an image of 255 makes a batch fail."""

    def __init__(self) -> None:
        self.released, self.started = threading.Event(), threading.Event()

    def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.started.set()
        assert self.released.wait(30)
        if (views == 255).any():
            raise ValueError("an image of 255")
        return views.reshape(len(views), -1)[:, :1].astype(np.float32)


def image(value: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 1), value, np.uint8)


@pytest.fixture
def compute() -> Iterator[Compute]:
    """What a batcher computes with; it is released at the end, whatever a test did."""
    made = Compute()
    yield made
    made.released.set()


def test_what_waits_is_computed_together(compute: Compute) -> None:
    """At most a batch at once; each image gets its own answer, and a closed batcher has answered all of them."""
    sizes: list[int] = []
    batcher = Batcher(compute, batch_size=4, max_wait=0, observe=sizes.append)
    first = batcher.submit(image(0))
    compute.started.wait(30)
    others = [batcher.submit(image(value)) for value in range(1, 7)]
    assert batcher.waiting == 6
    compute.released.set()
    batcher.close()
    assert [float(one.result(0)[0]) for one in (first, *others)] == [0, 1, 2, 3, 4, 5, 6]
    assert sizes == [1, 4, 2] and not batcher.is_alive


def test_a_failure_is_of_its_image_alone(compute: Compute) -> None:
    """The other images of its batch are computed again, and the thread goes on."""
    compute.released.set()
    batcher = Batcher(compute, batch_size=3, max_wait=30)
    answers = [batcher.submit(image(value)) for value in (1, 255, 2)]
    assert [float(answers[number].result(30)[0]) for number in (0, 2)] == [1, 2]
    with pytest.raises(ValueError, match="255"):
        answers[1].result(30)
    last = batcher.submit(image(3))
    batcher.close()
    assert float(last.result(0)[0]) == 3


def test_a_cancelled_image_is_not_computed(compute: Compute) -> None:
    """Such as that of a request whose time is up."""
    sizes: list[int] = []
    batcher = Batcher(compute, batch_size=4, max_wait=0, observe=sizes.append)
    batcher.submit(image(0))
    compute.started.wait(30)
    late = batcher.submit(image(1))
    assert late.cancel()
    compute.released.set()
    batcher.close()
    assert sizes == [1]
    with pytest.raises(CancelledError):
        late.result(0)
