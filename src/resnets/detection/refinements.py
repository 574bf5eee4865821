"""Appendix B's refinements of testing, as functions of boxes and scores: box voting, and scales of a pyramid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

PYRAMID = (200, 400, 600, 800, 1000)
"""Shorter sides of multi-scale testing, in pixels."""

CANONICAL = 224.0  # side of what the classifiers were trained on, which a region's scaled size shall be near
VOTING_IOU = 0.5  # [6]: boxes that overlap one at least so much have a vote in where it is


@dataclass(frozen=True, kw_only=True)
class Refinements:
    """Refinements of a detector in testing, each a switch. Paper: appendix B, Table 9.

    `box_refinement` classifies and regresses each region once more from where its first answer puts it, and lets
    all boxes of a detection vote. `pyramid` takes the features of each region from two of these scales.
    """

    box_refinement: bool = False
    pyramid: tuple[int, ...] = ()  # shorter sides; (): only the recipe's

    @classmethod
    def of(cls, *, box_refinement: bool, multi_scale: bool) -> Self:
        """Return the refinements that are switched on, with the paper's scales."""
        return cls(box_refinement=box_refinement, pyramid=PYRAMID if multi_scale else ())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the active refinements."""
        switches = {"box-refinement": self.box_refinement, "multi-scale": bool(self.pyramid)}
        return tuple(name for name, on in switches.items() if on)


def vote(boxes: Tensor, voters: Tensor, weights: Tensor) -> Tensor:
    """Return each box moved to the mean of all voters that overlap it, weighted by their scores.

    A box that no voter overlaps stays where it is.

    Shape: (N, 4), (V, 4), (V,) -> (N, 4)
    Paper: appendix B; box voting of [6].
    """
    if not len(boxes) or not len(voters):
        return boxes
    shares = (box_iou(boxes, voters) >= VOTING_IOU) * weights.clamp(min=0)  # (N, V)
    total = shares.sum(1, keepdim=True)
    return torch.where(total > 0, shares @ voters / total.clamp(min=torch.finfo(total.dtype).tiny), boxes)


def adjacent_scales(boxes: Tensor, factors: Tensor) -> Tensor:
    """Return for each box the lower of the two adjacent scales at which its size is nearest to `CANONICAL`.

    `factors` ascend: by what each scale enlarges the boxes' pixels. A size is the root of an area, and nearness that
    of logarithms, so that half and double are as far.

    Shape: (R, 4), (S,) -> (R,) int64 in [0, S - 1)
    Paper: appendix B, multi-scale testing; [33].
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
    sizes = sides.prod(1, keepdim=True).sqrt() * factors  # (R, S)
    distances = (sizes / CANONICAL).log().abs()
    return (distances[:, :-1] + distances[:, 1:]).argmin(1)


def select(
    boxes: Tensor, scores: Tensor, *, threshold: float, iou: float, limit: int, voting: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the detections of an image: the boxes of each class that suppress their neighbours, the best first.

    With `voting`, each is then moved by all boxes of its class that overlap it. Classes count from 0.

    Shape: (R, K, 4), (R, K) -> (N, 4), (N,), (N,) int64
    """
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for label in range(scores.shape[1]):
        likely = scores[:, label] > threshold
        own, score = boxes[likely, label], scores[likely, label]
        kept = nms(own, score, iou)[:limit]
        places = vote(own[kept], boxes[:, label], scores[:, label]) if voting else own[kept]
        found.append((places, score[kept], torch.full_like(kept, label)))
    if not found:
        empty = scores.new_zeros(0)
        return boxes.new_zeros((0, 4)), empty, empty.long()
    places, score, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    best = score.sort(descending=True, stable=True).indices[:limit]
    return places[best], score[best], labels[best]
