"""Second stage of a detector: the regions it learns from, their targets, and its layers. Paper: appendix A, [7]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import box_iou, roi_align, roi_pool

from resnets.detection.backbones import STRIDE
from resnets.detection.mask_head import targets as mask_targets
from resnets.detection.proposals import Targets, crowded
from resnets.specs import DetectionRecipe, RoIPooling

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Shifts and log sizes are learnt divided by 0.1 and 0.2, about their standard deviations: [7] normalises them."""

MASK_CHANNELS = 256  # of the maps before the masks, which are twice as fine as conv5_x's


class Regions(RoIHeads):  # type: ignore[misc]  # torchvision has no types
    """Draws regions out of proposals, and has the two sibling layers: K + 1 scores, and a box for each class.

    With masks, there is Mask R-CNN's third branch, which answers with a mask for each class.

    Unlike torchvision's, background is only what meets an object with at least IoU 0.1, and the box loss is [7]'s.
    """

    def __init__(self, features: int, classes: int, recipe: DetectionRecipe, *, map_channels: int) -> None:
        predictor = FastRCNNPredictor(features, classes + 1)
        for layer, std in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        super().__init__(
            box_roi_pool=None,
            box_head=None,
            box_predictor=predictor,
            fg_iou_thresh=recipe.region_positive,
            bg_iou_thresh=recipe.region_negative[1],
            batch_size_per_image=recipe.regions_per_image,
            positive_fraction=recipe.region_share,
            bbox_reg_weights=BOX_WEIGHTS,
            score_thresh=recipe.score,
            nms_thresh=recipe.nms,
            detections_per_img=recipe.detections_per_image,
        )
        self.background_from = recipe.region_negative[0]
        if recipe.masks:
            self.mask_predictor = MaskRCNNPredictor(map_channels, MASK_CHANNELS, classes)

    def draw(self, proposals: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return regions drawn out of proposals and true boxes, their labels (0: background), box targets and objects.

        Proposals in a crowd are none of them: an image that is all crowd has no regions.

        Shape: (P, 4) -> (R, 4), (R,), (R, 4), (R,) numbers of the nearest true box
        """
        proposals = proposals.detach()
        proposals = proposals[~crowded(proposals, targets["crowds"])]
        boxes, nearest, labels, shifts = self.select_training_samples([proposals], [targets])
        return boxes[0], labels[0], shifts[0], nearest[0]

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the box that each proposal is nearest to, and its label; -1 is never drawn."""
        nearest, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for own, boxes, label in zip(proposals, gt_boxes, labels, strict=True):
            if len(boxes):  # an image without objects is background everywhere
                far = box_iou(own, boxes).amax(1) < self.background_from
                if (label[~far] == 0).any():  # else there would be no background at all to learn
                    label[far] = -1
        return nearest, labels

    def answer(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores before softmax and the box shifts. Shape: (R, D) -> (R, K + 1), (R, 4 * (K + 1))"""
        scores, shifts = self.box_predictor(vectors)
        return scores.float(), shifts.float()

    def losses(self, vectors: Tensor, labels: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the log loss, the box loss and the share of regions that are misclassified; 0 without regions."""
        count = max(1, len(labels))
        scores, all_shifts = self.answer(vectors)
        objects = (labels > 0).nonzero()[:, 0]
        own = all_shifts.unflatten(1, (-1, 4))[objects, labels[objects]]
        distance = F.smooth_l1_loss(own, shifts[objects], reduction="sum")
        wrong = (scores.detach().argmax(1) != labels).float().sum()
        return F.cross_entropy(scores, labels, reduction="sum") / count, distance / count, wrong / count

    def mask_loss(self, maps: Tensor, labels: Tensor, nearest: Tensor, regions: Tensor, targets: Targets) -> Tensor:
        """Return the mean log loss of the pixels of the regions that are objects, in the masks of their classes.

        Shape: (R, C, h, w), (R,), (R,), (R, 4) -> ()
        """
        objects = (labels > 0).nonzero()[:, 0]
        logits = self.mask_predictor(maps[objects]).float()
        own = logits[torch.arange(len(objects), device=logits.device), labels[objects] - 1]
        if not len(objects):
            return own.sum()
        expected = mask_targets(
            targets["masks"], targets["boxes"], nearest[objects], regions[objects], size=own.shape[-1]
        )
        return F.binary_cross_entropy_with_logits(own, expected)

    def masks(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Return the probability of each pixel of the masks of classes, which count from 0.

        Shape: (R, C, h, w), (R,) -> (R, 2 * h, 2 * w)
        """
        logits = self.mask_predictor(maps).float()
        return logits[torch.arange(len(labels), device=logits.device), labels].sigmoid()

    def boxes(self, shifts: Tensor, regions: Tensor) -> Tensor:
        """Return the boxes that shifts make of regions, one for each class but background.

        Shape: (R, 4 * (K + 1)), (R, 4) -> (R, K, 4)
        """
        if not len(regions):
            return shifts.reshape(0, shifts.shape[1] // 4, 4)[:, 1:]
        return self.box_coder.decode(shifts, [regions])[:, 1:]


def pool(maps: Tensor, regions: Tensor, size: int, how: RoIPooling, samples: int) -> Tensor:
    """Return the features of regions of one image.

    Shape: maps (1, C, h, w), regions (R, 4) in pixels of the resized image -> (R, C, size, size)
    """
    images = regions.new_zeros((len(regions), 1))  # the first, and only one
    pooling = roi_pool if how == "max" else roi_align
    options = {} if how == "max" else {"aligned": True, "sampling_ratio": samples}
    return pooling(maps, torch.cat((images, regions), 1), size, spatial_scale=1 / STRIDE, **options)
