"""Mean class probabilities over several views of an image, and over several networks.

Paper: sections 3.4 and 4.2; section 4.1, Table 5. What is averaged is the softmax, with equal weights.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnets.data.decoding import RESAMPLING, DecodedImage, centre_crop
from resnets.data.loading import View
from resnets.data.normalization import Normalizer
from resnets.data.splits import Split
from resnets.errors import DataError
from resnets.evaluation.metrics import Counts
from resnets.evaluation.protocols import PROTOCOLS
from resnets.inference.engine import BATCH_ON_CPU
from resnets.specs import InputSpec, TestConfig

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
    split: Split,
    input_spec: InputSpec | None,
    how: TestConfig,
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
    if PROTOCOLS[how.protocol].views is not None:
        assert input_spec is not None
        yield from _score_photos(run, split, input_spec, how, device, at_once, workers)
        return
    start = 0
    for images, labels in split.test_batches(input_spec, batch_size=at_once, workers=workers):
        probabilities = _probabilities(run, images.to(device), mirrored=3 if how.flips else None)
        yield Scored(torch.arange(start, start + len(labels)), labels, probabilities.cpu())
        start += len(labels)


def _score_photos(
    run: Run,
    split: Split,
    input_spec: InputSpec,
    how: TestConfig,
    device: torch.device,
    at_once: int,
    workers: int,
) -> Iterator[Scored]:
    normalized, labels = Normalizer(input_spec, device), split.labels
    assert labels is not None

    def normalized_run(images: Tensor) -> Tensor:
        return run(normalized(images))

    waiting = _Waiting(at_once * input_spec.size**2)
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
            yield Scored(torch.tensor(done), torch.from_numpy(labels[done]), means)

    for number, views in photo_views(split, input_spec, how, workers=workers):
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


def photo_views(
    split: Split, input_spec: InputSpec, how: TestConfig, *, workers: int
) -> Iterator[tuple[int, list[View]]]:
    """Yield each photo's number and its views, in order; horizontal flips are left to the caller.

    Raises: DataError, for the first file that cannot be decoded.
    """
    cut = pkgutil.resolve_name(PROTOCOLS[how.protocol].views or "")
    shorter = max((input_spec.resize, *how.scales)) if input_spec.decode == "reduced" else None
    cut = partial(cut, input_spec=input_spec, scales=how.scales)
    return split.views(cut, input_spec.channels, workers, shorter)


def centre_view(image: DecodedImage, input_spec: InputSpec, scales: tuple[int, ...]) -> list[Image.Image]:
    """Return the central crop that a network is tested on."""
    return [centre_crop(image.shorter_side(input_spec.resize, input_spec.interpolation), input_spec.size)]


def five_views(image: DecodedImage, input_spec: InputSpec, scales: tuple[int, ...]) -> list[Image.Image]:
    """Return five crops of the network's size."""
    return five_crops(image.shorter_side(input_spec.resize, input_spec.interpolation), input_spec.size)


def whole_views(image: DecodedImage, input_spec: InputSpec, scales: tuple[int, ...]) -> list[Image.Image]:
    """Return the whole image with its shorter side at each of the scales."""
    return [image.shorter_side(scale, input_spec.interpolation) for scale in scales]


def square_views(image: DecodedImage, input_spec: InputSpec, scales: tuple[int, ...]) -> list[Image.Image]:
    """Return six views of each of three squares at each of the scales. Paper: [44], section 7.

    The squares are at the left, in the middle and at the right, or at the top, in the middle and at the bottom; of each
    there are five crops of the network's size, and the whole of it resized to that.
    """
    views, size = [], (input_spec.size, input_spec.size)
    for scale in scales:
        whole = image.shorter_side(scale, input_spec.interpolation)
        right, bottom = whole.width - scale, whole.height - scale
        ends = (whole.crop((0, 0, scale, scale)), whole.crop((right, bottom, whole.width, whole.height)))
        for square in (ends[0], centre_crop(whole, scale), ends[1]):
            views += [*five_crops(square, input_spec.size), square.resize(size, RESAMPLING[input_spec.interpolation])]
    return views


def five_crops(image: Image.Image, size: int) -> list[Image.Image]:
    """Return the four corners and the centre of an image, each `size` x `size` pixels. Paper: [21], section 4.1."""
    right, bottom = image.width - size, image.height - size
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
    return [*(image.crop((left, top, left + size, top + size)) for left, top in corners), centre_crop(image, size)]


@torch.inference_mode()
def ensemble(members: Iterable[Iterator[Scored]], samples: int, classes: int) -> tuple[Counts, list[Counts], Scored]:
    """Return the counts of the mean of the members' probabilities, each member's own, and the means in order.

    One member is run after the other.

    Raises: DataError, if the members did not see the same images.
    """
    total, labels = torch.zeros(samples, classes), torch.full((samples,), -1)
    alone: list[Counts] = []
    for member in members:
        own, seen = Counts(classes), torch.zeros(samples, dtype=torch.bool)
        for some in member:
            own.add_probabilities(some.probabilities, some.labels)
            if alone and not torch.equal(labels[some.numbers], some.labels):
                raise DataError("the data set gives its images another order or other labels at each pass")
            labels[some.numbers] = some.labels
            total[some.numbers] += some.probabilities
            seen[some.numbers] = True
        if not seen.all():
            raise DataError(f"{int((~seen).sum()):,} of {samples:,} images were not given by the data set")
        alone.append(own)
    together = Counts(classes)
    total /= len(alone)
    together.add_probabilities(total, labels)
    return together, alone, Scored(torch.arange(samples), labels, total)
