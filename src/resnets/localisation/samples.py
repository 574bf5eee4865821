"""Training samples of localisers: crops with anchors that are drawn in them, or regions out of proposals.

Everything random of a sample is a function of the seed, the epoch and the sample.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from torchvision.ops import box_iou, clip_boxes_to_image

from resnets.data.decoding import Box, EncodedImage, Size, quiet
from resnets.data.image_files import ColorShifts
from resnets.data.loading import Seeded, loading
from resnets.data.normalization import Normalizer
from resnets.data.photos import crop_at, random_scale_crop
from resnets.data.randomness import batch_samples
from resnets.localisation.boxed_images import BoxedImages
from resnets.localisation.networks import ANCHOR_CODER, REGION_CODER, PerClassRPN
from resnets.localisation.warp import warp
from resnets.specs import InputSpec, LocalisationRecipe, ScaleCropFlip

TRIALS = 10  # crops that are drawn until one shows enough of an object
SEEN = 0.5  # share of a box, or of the crop, from which an object is seen


class Sample(NamedTuple):
    """An image's crop, or its regions, and what is learnt of them.

    `targets` is 1 for an object, 0 for none, and -1 where there was nothing to draw; `drawn` are anchors, or proposals.

    Shape: images (S, S, 3) or (D, S, S, 3) uint8; label (); drawn, targets (D,); shifts (D, 4)
    """

    images: Tensor
    label: int
    drawn: Tensor
    targets: Tensor
    shifts: Tensor


class AnchorSamples(Dataset[Any]):
    """A random crop of an image, with some anchors of both kinds."""

    def __init__(self, images: BoxedImages, network: PerClassRPN) -> None:
        self.images, self.recipe, self.input_spec = images, network.recipe, network.input_spec
        assert isinstance(self.recipe.augmentation, ScaleCropFlip)
        self.crops = self.recipe.augmentation
        side = network.positions(self.crops.crop)
        self.anchors = network.anchors(side, side)
        self.clipped = clip_boxes_to_image(self.anchors, (self.crops.crop, self.crops.crop))
        self.matcher = Matcher(self.recipe.anchor_positive, self.recipe.anchor_negative, allow_low_quality_matches=True)

    def __getitem__(self, index: int) -> Sample:
        crops, label = self.crops, int(self.images.files.labels[index])
        with quiet:
            image = EncodedImage(self.images.files.paths[index], 3)
            place, boxes = self._place(image.size, self.images.boxes_of(index))
            view = crop_at(image, place, crops.crop, self.input_spec)
        if crops.flip and random.random() < 0.5:
            view = view[:, ::-1]
            boxes = np.stack((crops.crop - boxes[:, 2], boxes[:, 1], crops.crop - boxes[:, 0], boxes[:, 3]), 1)
        drawn, targets, shifts = self._draw(torch.from_numpy(boxes))
        return Sample(torch.from_numpy(np.array(view, order="C")), label, drawn, targets, shifts)

    def _place(self, size: Size, boxes: NDArray[np.float32]) -> tuple[Box, NDArray[np.float32]]:
        """Return a crop in which an object is seen, and the objects that are, in its pixels, clipped to it."""
        for _ in range(TRIALS):
            place = random_scale_crop(size, self.crops)
            seen = seen_in(place, boxes, self.crops.crop)
            if len(seen):
                return place, seen
        width, height = size
        side = min(size)
        left, top = (width - side) / 2, (height - side) / 2
        place = (left, top, left + side, top + side)
        return place, seen_in(place, boxes, self.crops.crop)

    def _draw(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return anchors, at most half of them positive, their labels, and the shifts to their boxes."""
        if len(boxes):
            matched = self.matcher(box_iou(boxes, self.clipped))
        else:
            matched = torch.full((len(self.anchors),), Matcher.BELOW_LOW_THRESHOLD)
        labels = torch.where(matched >= 0, 1, torch.where(matched == Matcher.BELOW_LOW_THRESHOLD, 0, -1))
        drawn, targets = draw(labels, self.recipe.anchors_per_image)
        return drawn, targets, _shifts(drawn, targets, boxes, matched, self.anchors, ANCHOR_CODER)


def seen_in(place: Box, boxes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the boxes of which half, or which in half of it, are seen in a crop, in its pixels and clipped to it."""
    left, top, right, bottom = place
    factors = np.asarray([side / (right - left), side / (bottom - top)] * 2)
    moved = (boxes - np.asarray([left, top] * 2)) * factors
    clipped = moved.clip(0, side)
    areas, inside = ((one[:, 2:] - one[:, :2]).prod(1) for one in (moved, clipped))
    found: NDArray[np.float32] = clipped[(inside >= SEEN * areas) | (inside >= SEEN * side**2)].astype(np.float32)
    return found


def draw(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return `count` places, of which at most half are positive, and their labels; where there are too few, -1.

    Shape: (A,) of 1, 0 and -1 -> (count,) int64, (count,) float32
    """
    (positive,), (negative,) = BalancedPositiveNegativeSampler(count, 0.5)([labels])
    places = torch.cat((positive.nonzero()[:, 0], negative.nonzero()[:, 0]))
    drawn = torch.zeros(count, dtype=torch.int64)
    targets = torch.full((count,), -1.0)
    drawn[: len(places)], targets[: len(places)] = places, labels[places].float()
    return drawn, targets


def _shifts(drawn: Tensor, targets: Tensor, boxes: Tensor, matched: Tensor, places: Tensor, coder: BoxCoder) -> Tensor:
    """Return the shifts from the places that were drawn to the boxes that they match; 0 of what is no object."""
    shifts = torch.zeros(len(drawn), 4)
    objects = targets == 1
    own = drawn[objects]
    if len(own):
        shifts[objects] = coder.encode_single(boxes[matched[own]], places[own])
    return shifts


class RegionSamples(Dataset[Any]):
    """Some of an image's proposals, warped. Shape: proposals (N, P, 4) float16, as shares of the image's sides"""

    def __init__(
        self,
        images: BoxedImages,
        proposals: NDArray[np.float16],
        recipe: LocalisationRecipe,
        input_spec: InputSpec,
    ) -> None:
        self.images, self.proposals, self.recipe, self.input_spec = images, proposals, recipe, input_spec
        assert isinstance(recipe.augmentation, ScaleCropFlip)
        self.flip = recipe.augmentation.flip

    def __getitem__(self, index: int) -> Sample:
        recipe, label = self.recipe, int(self.images.files.labels[index])
        with quiet:
            image = EncodedImage(self.images.files.paths[index], 3).decode()
        sides = torch.tensor([image.width, image.height] * 2, dtype=torch.float32)
        regions = torch.from_numpy(self.proposals[index].astype(np.float32)) * sides
        boxes = torch.from_numpy(self.images.boxes_of(index).copy())
        best, matched = box_iou(boxes, regions).max(0)
        whole = (regions[:, 2:] > regions[:, :2]).all(1)
        labels = torch.where(whole, (best >= recipe.region_positive).long(), -1)
        drawn, targets = draw(labels, recipe.regions_per_image)
        shifts = _shifts(drawn, targets, boxes, matched, regions, REGION_CODER)
        views = warp(image, regions[drawn].tolist(), recipe, self.input_spec)
        if self.flip and random.random() < 0.5:
            views = views[:, :, ::-1]
            shifts[:, 0] = -shifts[:, 0]
        return Sample(torch.from_numpy(views.copy()), label, drawn, targets, shifts)


def batches(
    dataset: AnchorSamples | RegionSamples, *, seed: int, workers: int, device: torch.device, start: int, stop: int
) -> Iterator[tuple[Tensor, ...]]:
    """Yield the mini-batches of iterations start, ..., stop - 1, normalised and coloured: `Sample`s of B images.

    Shape: images (B, 3, S, S), or (B * D, 3, S, S) of regions; labels (B,); drawn, targets (B, D); shifts (B, D, 4)
    """
    recipe, waiting = dataset.recipe, deque[tuple[NDArray[np.int64], NDArray[np.int64]]]()
    normalized = Normalizer(dataset.input_spec, device)
    assert isinstance(recipe.augmentation, ScaleCropFlip)
    colors = recipe.augmentation.colors
    colored = None if colors is None else ColorShifts(colors, dataset.input_spec, seed, device)

    def keys() -> Iterator[list[tuple[int, int]]]:
        for iteration in range(start, stop):
            samples, epochs = batch_samples(seed, iteration, recipe.images, len(dataset.images))
            waiting.append((epochs, samples))
            yield list(zip(epochs.tolist(), samples.tolist(), strict=True))

    for batch in loading(Seeded(dataset, seed), workers, batch_sampler=keys()):
        views, *rest = batch
        epochs, samples = waiting.popleft()
        each = 1 if views.ndim == 4 else views.shape[1]  # regions of an image have its colours
        images = normalized(views.flatten(0, -4))
        if colored is not None:
            images = colored(images, epochs.repeat(each), samples.repeat(each))
        yield images, *(part.to(device, non_blocking=True) for part in rest)
