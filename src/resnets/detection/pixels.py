"""Images as a detector sees them: resized with their proportions kept, in training mirrored by half, with their boxes.

Paper: section 4.3; a shorter side of 600 pixels at most 1000 long, mirror images: [7], [32].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.decoding import decode, pixels
from resnets.data.loading import loading
from resnets.data.randomness import batch_samples, sample_bits
from resnets.detection.annotations import AnnotatedImage
from resnets.detection.mask_head import grids
from resnets.runtime.processes import WHOLE, Share
from resnets.specs import DetectionRecipe


class Sample(NamedTuple):
    """An image to train on; `masks` are `mask_head.grids` of its objects, or none at all.

    Shape: image (3, H, W) uint8, boxes (N, 4), labels (N,) from 1, crowds (M, 4), masks (N or 0, S, S) uint8
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    crowds: Tensor
    masks: Tensor

    def to(self, device: torch.device) -> Sample:
        """Return the same on a device."""
        return Sample(*(part.to(device, non_blocking=True) for part in self))


def resized(size: tuple[int, int], shorter: int, longest: int) -> tuple[int, int]:
    """Return the width and height at which an image is looked at: its shorter side `shorter`, none over `longest`."""
    width, height = size
    scale = min(shorter / min(width, height), longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize(image: Image.Image, shorter: int, longest: int) -> Image.Image:
    """Return an image with its shorter side `shorter` and no side over `longest`, its proportions kept (bilinear)."""
    size = resized(image.size, shorter, longest)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def as_tensor(image: Image.Image) -> Tensor:
    """Return an RGB image's pixels. Shape: (3, H, W) uint8"""
    return torch.from_numpy(np.array(pixels(image), order="C")).permute(2, 0, 1)


def make_sample(annotated: AnnotatedImage, image: Image.Image, recipe: DetectionRecipe, *, mirrored: bool) -> Sample:
    """Return an image as it is trained on, and its boxes in its new pixels; difficult objects are left out."""
    small = resize(image, recipe.shorter_side, recipe.longest_side)
    factors = np.array([small.width / image.width, small.height / image.height] * 2, np.float32)
    boxes = annotated.boxes * factors
    if mirrored:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes = np.stack((small.width - boxes[:, 2], boxes[:, 1], small.width - boxes[:, 0], boxes[:, 3]), 1)
    trainable = annotated.trainable
    masks = grids((), annotated.boxes[:0])
    if recipe.masks:
        assert annotated.masks is not None
        masks = grids([annotated.masks[index] for index in np.flatnonzero(trainable)], annotated.boxes[trainable])
    return Sample(
        as_tensor(small),
        torch.from_numpy(boxes[trainable]),
        torch.from_numpy(annotated.labels[trainable]) + 1,
        torch.from_numpy(boxes[annotated.crowd]),
        masks.flip(2) if mirrored else masks,
    )


class TrainingSamples(Dataset[Any]):
    """The images of iterations: what iteration i sees depends on i and the seed alone; of it a process has its share.

    Raises: UsageError, if a mini-batch cannot be shared evenly.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        recipe: DetectionRecipe,
        *,
        seed: int,
        workers: int,
        share: Share = WHOLE,
    ) -> None:
        self.images = images
        self.recipe = recipe
        self.seed = seed
        self.workers = workers
        self.share = share
        self.places = share.of_batch(recipe.batch_size)  # of this process's images in the mini-batch

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        annotated = self.images[index]
        bits = int(sample_bits(self.seed, np.array([epoch]), np.array([index]))[0])
        return make_sample(annotated, decode(annotated.path), self.recipe, mirrored=self.recipe.flip and bits & 1 == 1)

    def batches(self, start: int, stop: int) -> Iterator[list[Sample]]:
        """Yield the images of iterations start, start + 1, ..., stop - 1."""

        def keys() -> Iterator[list[tuple[int, int]]]:
            for iteration in range(start, stop):
                samples, epochs = batch_samples(
                    self.seed, iteration, self.recipe.batch_size, len(self.images), self.share
                )
                yield list(zip(epochs.tolist(), samples.tolist(), strict=True))

        yield from loading(self, self.workers, batch_sampler=keys(), collate_fn=list)


class SplitImages(Dataset[Any]):
    """The decoded images of a split, one after the other."""

    def __init__(self, images: Sequence[AnnotatedImage]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return np.array(pixels(decode(self.images[index].path)))  # a copy, since a worker's must be writable

    def read(self, workers: int) -> Iterator[tuple[AnnotatedImage, Image.Image]]:
        """Yield each image of the split with its pixels, read by worker processes."""
        decoded = loading(self, workers, batch_size=None)
        for annotated, array in zip(self.images, decoded, strict=True):
            yield annotated, Image.fromarray(np.asarray(array))
