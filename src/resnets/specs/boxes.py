"""Common parts of recipes of detectors and localisers: anchors, and a refusal of what applies to classifiers alone."""

from __future__ import annotations

from typing import Self

from resnets.specs.recipes import Recipe

OF_CLASSIFIERS = {
    "bn_group": None,
    "bn_images": None,
    "label_smoothing": 0.0,
    "warm_up": None,
    "loss": "cross-entropy",
    "auxiliary_weight": 0.3,
    "auxiliary_iterations": None,
    "distillation": None,
    "ema": None,
}
"""Fields of a recipe that apply to classifiers alone, and the only value that they may have here."""


class BoxRecipe(Recipe, frozen=True, kw_only=True):
    """How to train what answers with boxes: a recipe with anchors, which refuses what applies to classifiers alone.

    Units: pixels of what the network sees; IoU in [0, 1]
    """

    evaluate_every: int = 1_000_000  # tests take long: by default there is one, at the end
    anchor_sizes: tuple[int, ...] = (128, 256, 512)  # square roots of areas
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height over width
    anchors_per_image: int = 256  # in the loss, at most half of them positive
    anchor_positive: float = 0.7  # IoU from which an anchor is positive; so is the best of each box
    anchor_negative: float = 0.3  # IoU below which it is negative

    def __post_init__(self) -> None:
        super().__post_init__()
        need = self._need
        for name, only in OF_CLASSIFIERS.items():
            value = getattr(self, name)
            need(value == only, f"{name} is {value}", "that applies to classifiers alone")
        for what, values in (("sizes", self.anchor_sizes), ("ratios", self.anchor_ratios)):
            need(bool(values) and min(values) > 0, f"anchor {what} are {values}", "they must be positive")
        need(
            0 <= self.anchor_negative <= self.anchor_positive <= 1,
            f"anchors are negative below {self.anchor_negative} and positive from {self.anchor_positive}",
            "these must ascend in [0, 1]",
        )
        need(self.anchors_per_image >= 2, f"anchors per image are {self.anchors_per_image}", "they must be 2 or more")

    def scaled(self, iterations: int) -> Self:
        """Return the recipe with another length, its milestones moved in proportion; the distance of tests stays."""
        return super().scaled(iterations).with_changes(evaluate_every=self.evaluate_every)
