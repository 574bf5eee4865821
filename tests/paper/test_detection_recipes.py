"""The detectors' recipes have the numbers of section 4.3, [32] and [7], or say where they differ."""

from __future__ import annotations

import pytest

from resnets.detection import recipes
from resnets.errors import UsageError
from resnets.paper.detection_recipes import COCO, VOC
from resnets.specs import Preprocessing


def test_voc() -> None:
    """Number by number: Faster R-CNN's (section 3 of [32]) and Fast R-CNN's (section 2.3 of [7])."""
    assert (VOC.iterations, VOC.milestones) == (60_000 + 20_000, (60_000,))
    assert (VOC.lr, VOC.decay_factor, VOC.momentum, VOC.weight_decay) == (0.001, 0.1, 0.9, 0.0005)
    assert (VOC.shorter_side, VOC.longest_side, VOC.flip) == (600, 1000, True)
    assert VOC.anchor_sizes == (128, 256, 512)
    assert sorted(VOC.anchor_ratios) == [1 / 2, 1, 2]
    assert (VOC.anchors_per_image, VOC.anchor_positive, VOC.anchor_negative) == (256, 0.7, 0.3)
    assert (VOC.anchor_box_weight, VOC.proposal_nms) == (10, 0.7)
    assert (VOC.ranked, VOC.proposals) == ((12_000, 6_000), (2_000, 300))
    assert (VOC.regions_per_image, VOC.region_share) == (128, 0.25)
    assert (VOC.region_positive, VOC.region_negative) == (0.5, (0.1, 0.5))
    assert (VOC.nms, VOC.roi_pooling, VOC.head_stride) == (0.3, "max", 2)


def test_coco() -> None:
    """Section 4.3 and appendix A: 240k iterations at 0.001, 80k at 0.0001, 8 images for proposals."""
    assert (COCO.iterations, COCO.milestones) == (240_000 + 80_000, (240_000,))
    assert (COCO.lr, COCO.decay_factor, COCO.batch_size) == (0.001, 0.1, 8)
    assert COCO.batch_size * COCO.regions_per_image == 16 * 64  # Fast R-CNN's 16 images


@pytest.mark.parametrize("name", recipes.DETECTION_RECIPES.names())
def test_departures_are_listed(name: str) -> None:
    """Each recipe says, with its reasons, how its stages, batch-norm statistics and mean differ from the paper's."""
    recipe = recipes.DETECTION_RECIPES.find(name)
    assert "together" in recipe.departures[0].what
    assert all(deviation.what and deviation.why for deviation in recipe.departures)
    said = " ".join(deviation.what for deviation in recipe.departures)
    assert "batch norm" in said
    assert "mean image" in said


def test_a_shorter_recipe_keeps_its_proportions_and_its_one_test() -> None:
    """Milestones move in proportion; the interval of tests stays."""
    short = VOC.scaled(8_000)
    assert (short.iterations, short.milestones) == (8_000, (6_000,))
    assert short.evaluate_every > short.iterations
    assert VOC.with_changes(evaluate_every=500).scaled(8_000).evaluate_every == 500


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shorter_side": 16}, "shorter side is 16"),
        ({"longest_side": 500}, "longest side is 500"),
        ({"anchor_sizes": ()}, "anchor sizes are"),
        ({"anchor_ratios": (0.0,)}, "anchor ratios are"),
        ({"frozen_stages": 5}, "frozen stages are 5"),
        ({"anchor_negative": 0.8}, "ascend"),
        ({"region_negative": (0.6, 0.5)}, "ascend"),
        ({"regions_per_image": 0}, "regions per image are 0"),
        ({"anchors_per_image": 1}, "anchors per image are 1"),
        ({"region_share": 1.0}, "share of objects is 1.0"),
        ({"proposals": (0, 300)}, "no proposals"),
        ({"roi_pooling": "mean"}, "roi_pooling is 'mean'"),
        ({"roi_size": 1}, "RoI size is 1"),
        ({"head_stride": 3}, "stride is 3"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"ema": 0.99}, "ema is 0.99; that applies to classifiers alone"),
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1"),
        ({"preprocessing": Preprocessing()}, "preprocessing is"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    """The error names the field and its value."""
    with pytest.raises(UsageError, match=said):
        VOC.with_changes(**change)  # type: ignore[arg-type]


def test_unknown_names() -> None:
    """A misspelt recipe is an error that suggests the nearest."""
    with pytest.raises(UsageError, match="did you mean voc"):
        recipes.DETECTION_RECIPES.find("voc7")
