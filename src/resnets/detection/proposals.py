"""The region proposal network: torchvision's, with the assignment and the loss of [32]. Paper: section 4.3."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou, clip_boxes_to_image, nms, remove_small_boxes

from resnets.detection.backbones import STRIDE
from resnets.specs import DetectionRecipe

Targets = dict[str, Tensor]
"""Of one image: `boxes` (N, 4) as x1, y1, x2, y2; `labels` (N,), 1 for the first class; `size` (2,): height, width;
`crowds` (M, 4), in which nothing is an object or background; `masks` (N, S, S), in a training of masks alone."""

CROWDED = 0.7  # share of a box in a crowd from which it is no background, as in the authors' code for COCO


def crowded(boxes: Tensor, crowds: Tensor) -> Tensor:
    """Return which boxes are mostly in a crowd. Shape: (N, 4), (M, 4) -> (N,) bool"""
    if not len(crowds):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    low = torch.maximum(boxes[:, None, :2], crowds[:, :2])
    high = torch.minimum(boxes[:, None, 2:], crowds[:, 2:])
    shared = (high - low).clamp(min=0).prod(2).amax(1)
    return shared > CROWDED * (boxes[:, 2:] - boxes[:, :2]).prod(1)


def first_of_nms(boxes: Tensor, scores: Tensor, iou: float, count: int) -> Tensor:
    """Return the first `count` indices of non-maximum suppression; scores descend.

    The same as `nms(...)[:count]`, but the boxes that come after those are never looked at. Early in a training, when
    hardly any of 12,000 boxes suppress each other, that would be a third of a step on a CPU.

    Shape: (N, 4), (N,) -> (at most count,)
    """
    seen = 2 * count
    while len(kept := nms(boxes[:seen], scores[:seen], iou)) < count and seen < len(boxes):
        seen *= 2
    return kept[:count]


class _Head(RPNHead):  # type: ignore[misc]  # torchvision has no types
    """A 3x3 convolution and two 1x1 ones, whose answers are float32 in any precision."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, boxes = super().forward(x)
        return [part.float() for part in logits], [part.float() for part in boxes]


class _ExactAnchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors that are not rounded to whole pixels."""

    def generate_anchors(self, scales: Any, aspect_ratios: Any, *args: Any, **kwargs: Any) -> Tensor:
        ratios = torch.tensor(aspect_ratios)[:, None]
        heights = (torch.tensor(scales) * ratios.sqrt()).flatten()
        widths = (torch.tensor(scales) / ratios.sqrt()).flatten()
        return torch.stack((-widths, -heights, widths, heights), 1) / 2


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """Proposes boxes that may hold an object, from anchors at each place of the shared maps.

    Unlike torchvision's, anchors that cross the image's border are left out of the training, and the loss is
    L = mean log loss + lambda / N_reg * sum of smooth L1, with N_reg the number of places: Eq. (1) of [32].
    """

    def __init__(self, channels: int, recipe: DetectionRecipe) -> None:
        generator = AnchorGenerator if recipe.rounded_anchors else _ExactAnchors
        anchors = generator((recipe.anchor_sizes,), (recipe.anchor_ratios,))
        self.places_of_anchors = anchors.num_anchors_per_location()[0]
        super().__init__(
            anchors,
            _Head(channels, self.places_of_anchors),
            fg_iou_thresh=recipe.anchor_positive,
            bg_iou_thresh=recipe.anchor_negative,
            batch_size_per_image=recipe.anchors_per_image,
            positive_fraction=0.5,
            pre_nms_top_n=dict(zip(("training", "testing"), recipe.ranked, strict=True)),
            post_nms_top_n=dict(zip(("training", "testing"), recipe.proposals, strict=True)),
            nms_thresh=recipe.proposal_nms,
        )
        self.box_weight = recipe.anchor_box_weight

    def propose(
        self, maps: Tensor, size: tuple[int, int], targets: Targets | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return an image's proposals, the best first, and in training the two losses.

        Shape: maps (1, C, h, w), of an image of `size` (height, width) -> (P, 4)
        """
        height, width = maps.shape[-2:]
        padded = maps.new_zeros(()).expand(1, 1, height * STRIDE, width * STRIDE)  # of the stride; not read
        per_image = None if targets is None else [targets]
        boxes, losses = self(ImageList(padded, [size]), {"shared": maps}, per_image)
        return boxes[0], losses

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the best boxes of each image that do not overlap, and their scores before the logistic function."""
        kept_boxes, kept_scores = [], []
        ranked, count = self.pre_nms_top_n(), self.post_nms_top_n()
        for boxes, scores, size in zip(
            proposals, objectness.detach().view(len(proposals), -1), image_shapes, strict=True
        ):
            best = scores.topk(min(ranked, len(scores)))
            clipped = clip_boxes_to_image(boxes[best.indices], size)
            large = remove_small_boxes(clipped, self.min_size)
            clipped, own = clipped[large], best.values[large]
            kept = first_of_nms(clipped, own, self.nms_thresh, count)
            kept_boxes.append(clipped[kept])
            kept_scores.append(own[kept])
        return kept_boxes, kept_scores

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[Targets]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return each anchor's label (1: object, 0: background, -1: not looked at) and the box that it is to find."""
        labels, boxes = [], []
        for own, target in zip(anchors, targets, strict=True):
            height, width = target["size"]
            inside = (own[:, :2] >= 0).all(1) & (own[:, 2] <= width) & (own[:, 3] <= height)
            if not inside.any():  # an image that is smaller than any anchor
                inside = torch.ones_like(inside)
            # a box at the border may meet none of them: each would then be its best one, with an overlap of nothing
            met = target["boxes"][box_iou(own[inside], target["boxes"]).amax(0) > 0]
            some_labels, some_boxes = super().assign_targets_to_anchors([own[inside]], [target | {"boxes": met}])
            label, box = own.new_full((len(own),), -1), own.clone()
            label[inside], box[inside] = some_labels[0], some_boxes[0]
            label[(label == 0) & crowded(own, target["crowds"])] = -1
            labels.append(label)
            boxes.append(box)
        return labels, boxes

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the log loss and the weighted box loss of the anchors that are drawn."""
        drawn_positive, drawn_negative = (torch.cat(drawn) > 0 for drawn in self.fg_bg_sampler(labels))
        drawn, label = drawn_positive | drawn_negative, torch.cat(labels)
        log_loss = F.binary_cross_entropy_with_logits(objectness.flatten()[drawn], label[drawn], reduction="sum")
        log_loss = log_loss / drawn.sum().clamp(min=1)  # a crowd may leave none to draw
        distance = F.smooth_l1_loss(
            pred_bbox_deltas[drawn_positive], torch.cat(regression_targets)[drawn_positive], reduction="sum"
        )
        places = len(label) / self.places_of_anchors
        return log_loss, self.box_weight * distance / places
