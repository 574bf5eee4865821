"""Recipes of localisers. Paper: appendix C."""

from __future__ import annotations

from typing import Literal, Self

from resnets.errors import UsageError
from resnets.specs.boxes import BoxRecipe
from resnets.specs.inputs import ScaleCropFlip
from resnets.specs.testing import SCALES

LocalisationStage = Literal["rpn", "rcnn"]
"""The per-class region proposal network, or the per-class R-CNN that scores and refines its proposals."""

OF_STAGES: dict[LocalisationStage, tuple[str, ...]] = {
    "rpn": ("anchor_sizes", "anchor_ratios", "anchors_per_image", "anchor_positive", "anchor_negative", "scales"),
    "rcnn": ("proposals", "regions_per_image", "region_positive", "context"),
}
"""Fields that one of the stages has, and the other does not look at."""


class LocalisationRecipe(BoxRecipe, frozen=True, kw_only=True, tag="localisation"):
    """How to train a per-class RPN, or a per-class R-CNN on its proposals.

    `batch_size` is in images for the RPN, and in regions for the R-CNN. `augmentation` is section 3.4's: its crop is
    the side of what the network sees, to which all other lengths are in proportion.

    Units: pixels of the crop for anchors, context and scales; IoU in [0, 1]
    Paper: appendix C.
    """

    stage: LocalisationStage = "rpn"
    box_weight: float = 1.0  # of the box loss in the sum of both
    # per-class region proposal network
    anchor_sizes: tuple[int, ...] = (64, 128, 224)
    anchors_per_image: int = 8
    # per-class R-CNN
    proposals: int = 200  # of an image and a class, the best of the RPN
    regions_per_image: int = 4  # in the loss, at most half of them positive
    region_positive: float = 0.5  # IoU from which a region is positive, and else negative
    context: int = 16  # pixels around a region in what the network sees
    # testing
    scales: tuple[int, ...] = SCALES  # shorter sides of whole images, in dense testing

    def __post_init__(self) -> None:
        super().__post_init__()
        need = self._need
        need(isinstance(self.augmentation, ScaleCropFlip), "its crops have no scale", "it must have ScaleCropFlip")
        need(self.box_weight > 0, f"the box loss's weight is {self.box_weight}", "it must be positive")
        need(0 < self.region_positive <= 1, f"regions are positive from {self.region_positive}", "it must be in (0, 1]")
        need(self.regions_per_image >= 2, f"regions per image are {self.regions_per_image}", "they must be 2 or more")
        need(self.proposals >= 1, f"proposals are {self.proposals}", "they must be 1 or more")
        need(
            self.stage == "rpn" or self.batch_size % self.regions_per_image == 0,
            f"{self.batch_size} regions are not a whole number of images with {self.regions_per_image} each",
            "change either",
        )
        need(
            0 <= 2 * self.context < self.crop, f"the context is {self.context} pixels", "it must be under half the crop"
        )
        need(
            bool(self.scales) and min(self.scales) >= self.crop,
            f"the scales of tests are {self.scales}",
            f"none may be under the crop of {self.crop}",
        )

    @property
    def crop(self) -> int:
        """Side of what the network sees in training."""
        assert isinstance(self.augmentation, ScaleCropFlip)
        return self.augmentation.crop

    @property
    def images(self) -> int:
        """Images of a mini-batch."""
        return self.batch_size if self.stage == "rpn" else self.batch_size // self.regions_per_image

    def with_crops(self, size: int) -> Self:
        """Return the recipe for crops of another size, all other lengths in proportion."""
        if size < 32:
            raise UsageError(f"size is {size}; crops must be of 32 pixels or more")
        if size == self.crop:
            return self
        assert isinstance(self.augmentation, ScaleCropFlip)

        def scaled(length: int) -> int:
            return max(1, round(length * size / self.crop))

        return self.with_changes(
            augmentation=self.augmentation.at(size),
            anchor_sizes=tuple(map(scaled, self.anchor_sizes)),
            context=round(self.context * size / self.crop),
            scales=tuple(map(scaled, self.scales)),
        )
