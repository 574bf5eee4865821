"""Recipes of detectors. Paper: section 4.3, appendices A and B."""

from __future__ import annotations

from typing import Literal

from resnets.specs.boxes import BoxRecipe
from resnets.specs.inputs import Preprocessing

RoIPooling = Literal["max", "align"]
"""How a region's features are taken from the shared maps: RoI max pooling as in 2015, or RoI align (bilinear)."""


class DetectionRecipe(BoxRecipe, frozen=True, kw_only=True, tag="detection"):
    """How to train and test a Faster R-CNN on a network: what a recipe has, and what [32] and [7] set.

    The regions that are learnt from are drawn again at each iteration.

    Units: pixels of the resized image for sides, anchors and `roi_size` (of the shared maps); IoU in [0, 1]
    Paper: section 4.3, appendix A.
    """

    preprocessing: Preprocessing | None = None
    shorter_side: int = 600
    longest_side: int = 1_000  # where the shorter side would make it longer than this, the image is made smaller
    flip: bool = True  # by half
    frozen_stages: int = 2  # conv1, conv2_x, ... that are not fine-tuned
    # region proposal network
    rounded_anchors: bool = True  # their corners to whole pixels, as torchvision's; detectron2's are not
    anchor_box_weight: float = 10.0  # lambda of the loss, which is divided by the number of places
    proposal_nms: float = 0.7
    ranked: tuple[int, int] = (12_000, 6_000)  # proposals before that, in training and in testing
    proposals: tuple[int, int] = (2_000, 300)  # and after it
    # regions
    roi_pooling: RoIPooling = "max"
    roi_size: int | None = None  # of residual networks; None: 14, which conv5_1 halves. VGG's fc6 takes 7
    head_stride: Literal[1, 2] = 2  # of conv5_1
    roi_samples: int = 2  # along each side of a cell of RoI align; 0: as many as it has places of the maps
    masks: bool = False  # Mask R-CNN's branch, which answers with a mask for each class
    global_context: bool = False  # appendix B: each region's features next to those of the whole image
    regions_per_image: int = 128
    region_share: float = 0.25  # of those, that may be objects
    region_positive: float = 0.5  # IoU from which a region is an object
    region_negative: tuple[float, float] = (0.1, 0.5)  # IoU from, and below, which it is background
    # testing
    nms: float = 0.3
    score: float = 0.05  # below which a detection is dropped
    detections_per_image: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        need = self._need
        need(self.shorter_side >= 32, f"shorter side is {self.shorter_side}", "it must be 32 pixels or more")
        need(
            self.longest_side >= self.shorter_side,
            f"longest side is {self.longest_side}",
            f"it must be at least the shorter side, {self.shorter_side}",
        )
        for name in ("preprocessing", "augmentation"):
            value = getattr(self, name)
            need(value is None, f"{name} is {value}", "a detector has its own")
        need(0 <= self.frozen_stages <= 4, f"frozen stages are {self.frozen_stages}", "there are 0 to 4 shared ones")
        low, high = self.region_negative
        need(
            0 <= low <= high <= self.region_positive <= 1,
            f"regions are background in [{low}, {high}) and objects from {self.region_positive}",
            "these must ascend in [0, 1]",
        )
        need(self.regions_per_image >= 4, f"regions per image are {self.regions_per_image}", "they must be 4 or more")
        need(0 < self.region_share < 1, f"the share of objects is {self.region_share}", "it must be in (0, 1)")
        need(min(*self.ranked, *self.proposals) >= 1, "there are to be no proposals", "they must be 1 or more")
        need(self.roi_size is None or self.roi_size >= 2, f"RoI size is {self.roi_size}", "it must be 2 or more")
        need(self.roi_samples >= 0, f"RoI samples are {self.roi_samples}", "they must be 0 or more")
        need(self.head_stride in (1, 2), f"the head's stride is {self.head_stride}", "it must be 1 or 2")
