"""The classes' probabilities by several views of an image: ten crops, whole images at scales, mirror images.

Paper: sections 3.4 and 4.2. What is averaged is the softmax, with equal weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnets.data.convention import Normalizer
from resnets.data.datasets import ImageFiles, Images
from resnets.data.pipeline import single_pass
from resnets.data.views import View, photo_views
from resnets.inference.engine import BATCH_ON_CPU
from resnets.specs import HowTested, InputConvention

HELD = 256 << 20  # bytes of views that may wait for others of their shape

Run = Callable[[Tensor], Tensor]
"""A network's logits for normalised images of its device. Shape: (n, C, H, W) -> (n, classes)."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Some images of a split: their numbers, their classes, and the probabilities of all classes.

    Shape: numbers (n,) int64, labels (n,) int64, probabilities (n, classes) float32, on the CPU
    """

    numbers: Tensor
    labels: Tensor
    probabilities: Tensor


def score(
    run: Run,
    split: Images,
    convention: InputConvention | None,
    how: HowTested,
    *,
    device: torch.device,
    batch_size: int = 256,
    workers: int = 0,
) -> Iterator[Scored]:
    """Yield each image of a split once, with the mean of the probabilities that its views give; in any order.

    `batch_size` is in images of the network's size; of larger ones fewer are run at a time.

    Raises: DataError, for the first file that cannot be decoded.
    """
    at_once = min(batch_size, BATCH_ON_CPU) if device.type == "cpu" else batch_size
    if isinstance(split, ImageFiles):
        assert convention is not None
        yield from _score_photos(run, split, convention, how, device, at_once, workers)
        return
    start = 0
    for images, labels in single_pass(split, convention, batch_size=at_once, workers=workers):
        probabilities = _probabilities(run, images.to(device), mirrored=3 if how.flips else None)
        yield Scored(torch.arange(start, start + len(labels)), labels, probabilities.cpu())
        start += len(labels)


def _score_photos(
    run: Run,
    files: ImageFiles,
    convention: InputConvention,
    how: HowTested,
    device: torch.device,
    at_once: int,
    workers: int,
) -> Iterator[Scored]:
    normalized = Normalizer(convention, device)

    def normalized_run(images: Tensor) -> Tensor:
        return run(normalized(images))

    waiting = _Waiting(at_once * convention.size**2)
    unfinished: dict[int, tuple[int, list[Tensor]]] = {}  # of each image: how many views, and what they gave

    def run_together(numbers: list[int], views: list[View]) -> Iterator[Scored]:
        images = torch.from_numpy(np.stack(views))  # (n, H, W, C)
        probabilities = _probabilities(normalized_run, images, mirrored=2 if how.flips else None).cpu()
        done = []
        for number, row in zip(numbers, probabilities, strict=True):
            count, rows = unfinished[number]
            rows.append(row)
            if len(rows) == count:
                done.append(number)
        if done:
            means = torch.stack([torch.stack(unfinished.pop(number)[1]).mean(0) for number in done])
            yield Scored(torch.tensor(done), torch.from_numpy(files.labels[done]), means)

    for number, views in photo_views(files, convention, how, workers=workers):
        unfinished[number] = len(views), []
        for view in views:
            for group in waiting.add(number, view):
                yield from run_together(*group)
    for group in waiting.rest():
        yield from run_together(*group)


def _probabilities(run: Run, images: Tensor, *, mirrored: int | None) -> Tensor:
    """Return the softmax, or the mean of it and that of the images mirrored along a dimension."""
    probabilities = run(images).float().softmax(1)
    if mirrored is None:
        return probabilities
    return (probabilities + run(images.flip(mirrored)).float().softmax(1)) / 2


Group = tuple[list[int], list[View]]
"""Views of one shape, and the images that they are of."""


class _Waiting:
    """Views that wait until there are enough of their shape, or too many in all."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels  # of a group
        self.groups: dict[tuple[int, ...], Group] = {}
        self.bytes = 0

    def add(self, number: int, view: View) -> Iterator[Group]:
        """Add a view and yield the groups that are due."""
        numbers, views = self.groups.setdefault(view.shape, ([], []))
        numbers.append(number)
        views.append(view)
        self.bytes += view.nbytes
        height, width, _ = view.shape
        if (len(views) + 1) * height * width > self.pixels:
            yield self._take(view.shape)
        while self.bytes > HELD:
            yield self._take(max(self.groups, key=lambda shape: sum(each.nbytes for each in self.groups[shape][1])))

    def rest(self) -> Iterator[Group]:
        """Yield all that still wait."""
        while self.groups:
            yield self._take(next(iter(self.groups)))

    def _take(self, shape: tuple[int, ...]) -> Group:
        group = self.groups.pop(shape)
        self.bytes -= sum(view.nbytes for view in group[1])
        return group
