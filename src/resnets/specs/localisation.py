"""How localisers are trained. Paper: appendix C."""

from __future__ import annotations

from typing import Literal

from resnets.errors import UsageError
from resnets.specs.inputs import ScaleCropFlip
from resnets.specs.recipes import Recipe
from resnets.specs.testing import SCALES

LocalisationStage = Literal["rpn", "rcnn"]
"""The per-class region proposal network, or the per-class R-CNN that scores and refines its proposals."""

NOT_OF_LOCALISERS = {
    "bn_group": None,
    "bn_images": None,
    "label_smoothing": 0.0,
    "warm_up": None,
    "plateau": None,
    "loss": "cross-entropy",
    "auxiliary_weight": 0.3,
    "auxiliary_iterations": None,
    "distillation": None,
    "ema": None,
}
"""Fields of a classifier's recipe that do not apply to a localiser, and the only value that they may have."""

OF_STAGES: dict[LocalisationStage, tuple[str, ...]] = {
    "rpn": ("anchor_sizes", "anchor_ratios", "anchors_per_image", "anchor_positive", "anchor_negative", "scales"),
    "rcnn": ("proposals", "regions_per_image", "region_positive", "context"),
}
"""Fields that one of the stages has, and the other does not look at."""


class LocalisationRecipe(Recipe, frozen=True, kw_only=True, tag="localisation"):
    """How to train a per-class RPN, or a per-class R-CNN on its proposals.

    `batch_size` is in images for the RPN, and in regions for the R-CNN. `augmentation` is section 3.4's: its crop is
    the side of what the network sees, to which all other lengths are in proportion.

    Units: pixels of the crop for anchors, context and scales; IoU in [0, 1]
    Paper: appendix C.
    """

    stage: LocalisationStage = "rpn"
    box_weight: float = 1.0  # of the box loss in the sum of both
    # per-class region proposal network
    anchor_sizes: tuple[int, ...] = (64, 128, 224)  # square roots of areas
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height over width
    anchors_per_image: int = 8  # in the loss, at most half of them positive
    anchor_positive: float = 0.7  # IoU from which an anchor is positive; so is the best of each box
    anchor_negative: float = 0.3  # IoU below which it is negative
    # per-class R-CNN
    proposals: int = 200  # of an image and a class, the best of the RPN
    regions_per_image: int = 4  # in the loss, at most half of them positive
    region_positive: float = 0.5  # IoU from which a region is positive, and else negative
    context: int = 16  # pixels around a region in what the network sees
    # testing
    scales: tuple[int, ...] = SCALES  # shorter sides of whole images, in dense testing

    def __post_init__(self) -> None:
        super().__post_init__()

        def need(condition: bool, what: str, right: str) -> None:
            if not condition:
                raise UsageError(f"recipe {self.name!r}: {what}; {right}")

        for name, default in NOT_OF_LOCALISERS.items():
            value = getattr(self, name)
            need(value == default, f"{name} is {value}", "that does not apply to a localiser")
        need(isinstance(self.augmentation, ScaleCropFlip), "its crops have no scale", "it must have ScaleCropFlip")
        need(self.box_weight > 0, f"the box loss's weight is {self.box_weight}", "it must be positive")
        need(
            bool(self.anchor_sizes) and min(self.anchor_sizes) > 0,
            f"anchor sizes are {self.anchor_sizes}",
            "they must be positive",
        )
        need(
            bool(self.anchor_ratios) and min(self.anchor_ratios) > 0,
            f"anchor ratios are {self.anchor_ratios}",
            "they must be positive",
        )
        need(
            0 <= self.anchor_negative <= self.anchor_positive <= 1,
            f"anchors are negative below {self.anchor_negative} and positive from {self.anchor_positive}",
            "these must ascend in [0, 1]",
        )
        need(0 < self.region_positive <= 1, f"regions are positive from {self.region_positive}", "it must be in (0, 1]")
        need(self.anchors_per_image >= 2, f"anchors per image are {self.anchors_per_image}", "they must be 2 or more")
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

    def scaled(self, iterations: int) -> LocalisationRecipe:
        """Return the recipe with another length, its milestones moved in proportion; the distance of tests stays."""
        scaled = super().scaled(iterations)
        assert isinstance(scaled, LocalisationRecipe)
        return scaled.with_changes(evaluate_every=self.evaluate_every)

    def with_crops(self, size: int) -> LocalisationRecipe:
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
