"""The mask of each region: Mask R-CNN's targets, loss and answers, in the continuous coordinates of `AnnotatedImage`.

The paper claims the first place in COCO's segmentation and describes no method; this is the head of He et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from resnets.detection.masks import Mask

CELLS = 112
"""Sides of the grid that holds a mask within its box, in training: eight of its cells for one of a target's."""

THRESHOLD = 0.5  # of the probability from which a pixel is the object's


def grids(masks: Sequence[Mask], boxes: NDArray[np.float32]) -> Tensor:
    """Return how far each mask covers the cells of a grid in its box, as 0 to 255. Shape: (N, 4) -> (N, S, S) uint8"""
    made = torch.zeros((len(masks), CELLS, CELLS), dtype=torch.uint8)
    for number, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        (left, top), (right, bottom) = np.floor(box[:2]).astype(int) - 1, np.ceil(box[2:]).astype(int) + 1
        left, top = max(0, left), max(0, top)
        pixels = torch.from_numpy(mask.decode()[top:bottom, left:right]).float()[None, None]
        place = torch.from_numpy(box - np.array([left, top, left, top], np.float32))
        made[number] = (255 * roi_align(pixels, [place[None]], CELLS, aligned=True)[0, 0]).round().byte()
    return made


def targets(masks: Tensor, boxes: Tensor, matched: Tensor, regions: Tensor, size: int) -> Tensor:
    """Return what the masks of regions are to be: of each the mask of its matched object, cut to the region.

    `masks` are `grids` of the objects within their boxes; beyond its box an object has no pixels.

    Shape: (N, S, S) uint8, (N, 4), (R,), (R, 4) -> (R, size, size) float32 in [0, 1]
    """
    own = boxes[matched]
    sides = (own[:, 2:] - own[:, :2]).repeat(1, 2)
    places = 1 + (regions - own[:, :2].repeat(1, 2)) / sides * masks.shape[-1]  # in the grid with a border of 0
    bordered = F.pad(masks.float() / 255, (1, 1, 1, 1))[:, None]
    return roi_align(bordered, torch.cat((matched[:, None].to(places), places), 1), size, aligned=True)[:, 0]


def paste(probabilities: Tensor, box: Sequence[float], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the pixels of an image of `size` (height, width) that a mask in a box covers: 0 or 1.

    Each pixel has the bilinear value at its centre, so a box need not be on whole pixels.

    Shape: (M, M) -> (height, width)
    """
    pixels = np.zeros(size, np.uint8)
    spans, axes = [], []
    for low, high, side in ((box[1], box[3], size[0]), (box[0], box[2], size[1])):
        first, last = max(0, math.ceil(low - 0.5)), min(side, math.ceil(high - 0.5))
        spans.append(slice(first, max(first, last)))
        axes.append((torch.arange(first, max(first, last)) + 0.5 - low) / max(high - low, 1e-6) * 2 - 1)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], 2)  # x, y
    if grid.numel():
        values = F.grid_sample(
            probabilities[None, None], grid[None].to(probabilities), padding_mode="border", align_corners=False
        )
        pixels[tuple(spans)] = (values[0, 0] >= THRESHOLD).numpy()
    return pixels
