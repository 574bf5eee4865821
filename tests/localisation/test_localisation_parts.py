"""The parts of a localiser: anchors, draws, crops, warps, and rows of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_localisers import BY_HEART, RCNN, SIDE

from resnets.errors import UsageError
from resnets.localisation.frames import Look, frames_of
from resnets.localisation.inference import best_of
from resnets.localisation.localiser import Localiser
from resnets.localisation.networks import PerClassRPN, anchors, balance
from resnets.localisation.samples import draw, seen_in
from resnets.localisation.warp import warp
from resnets.networks import registry
from resnets.specs import InputSpec

INPUT = InputSpec(size=SIDE, resize=SIDE, mean=(0.2, 0.4, 0.6))


def test_anchors_are_centred_on_positions() -> None:
    """Sizes are roots of areas, ratios height over width; positions come row by row, (i + 1/2) strides from 0."""
    recipe = BY_HEART.with_changes(anchor_sizes=(8,), anchor_ratios=(1.0, 4.0))
    found = anchors(1, 2, 4, recipe)
    assert found.tolist() == [[-2, -2, 6, 6], [0, -6, 4, 10], [2, -2, 10, 6], [4, -6, 8, 10]]


def test_rows_of_classes_are_the_whole_convolution() -> None:
    """What is computed of some classes alone is what 1x1 convolutions with all outputs have there."""
    torch.manual_seed(0)
    network = PerClassRPN(registry.create("resnet8"), 5, BY_HEART, INPUT).eval()
    torch.nn.init.normal_(network.scores.bias)
    image = torch.randn(1, 3, SIDE, SIDE + 8)
    with torch.no_grad():
        maps = network.network.features(image)
        whole = F.conv2d(maps, network.scores.weight[:, :, None, None], network.scores.bias).view(5, 9, -1)
        scores, boxes = network.propose(image, torch.tensor([3, 1]))
        logits = whole[[3, 1]].transpose(1, 2).flatten(1)
    torch.testing.assert_close(scores, logits.sigmoid())
    assert network.answers(torch.zeros(0, 64), torch.tensor([3, 1]))[1].shape == (2, 0, 4)  # no region at all
    assert boxes.shape == (2, 9 * 8 * 10, 4) and boxes.amin() >= 0 and boxes[..., 2].amax() <= SIDE + 8


def test_repr_of_a_localiser_is_a_few_lines() -> None:
    """It has the network of each stage, the classes, the device and the path."""
    rpn = PerClassRPN(registry.create("resnet8"), 5, BY_HEART, INPUT)
    shown = repr(Localiser(Path("runs/first"), rpn, None, tuple("abcde"), torch.device("cpu")))
    assert len(shown.splitlines()) < 10
    for part in ("rpn: resnet8", "rcnn: none", "5 (a, b, c, ...)", "cpu", "runs/first"):
        assert part in shown


def test_at_most_half_of_a_draw_is_positive() -> None:
    """Negatives fill up, what is neither is never drawn, and missing places are marked."""
    torch.manual_seed(0)
    labels = torch.tensor([1] * 10 + [-1] * 10 + [0] * 10)
    places, wanted = draw(labels, 8)
    assert sorted(wanted.tolist()) == [0] * 4 + [1] * 4
    assert (labels[places] == wanted).all() and len(set(places.tolist())) == 8
    assert sorted(draw(torch.tensor([1, 0, 0, -1]), 4)[1].tolist()) == [-1, 0, 0, 1]


def test_both_kinds_weigh_the_same() -> None:
    """One object among four others, and an image without any: each kind has half of the places' weight."""
    wanted = torch.tensor([[1, 0, 0, 0, 0, -1], [0, 0, 0, -1, -1, -1]])
    assert balance(wanted == 1).tolist() == [[3, 0, 0, 0, 0, 0], [0] * 6]
    assert balance(wanted == 0).sum(1).tolist() == pytest.approx([3, 3])


def test_objects_that_a_crop_shows() -> None:
    """A box counts if half of it is inside, or if it fills half of the crop; it is scaled and clipped."""
    boxes = np.asarray([[0, 0, 20, 10], [12, 0, 40, 10], [0, 0, 100, 100], [50, 50, 60, 60]], np.float32)
    found = seen_in((0.0, 0.0, 20.0, 20.0), boxes, 40)
    assert found.tolist() == [[0, 0, 40, 20], [0, 0, 40, 40]]


def test_warped_regions_have_context_and_mean() -> None:
    """A region fills the middle of the square; what lies outside the image, and a region without area, is mean."""
    image = Image.new("RGB", (40, 40), (200, 0, 0))
    image.paste((0, 200, 0), (10, 10, 30, 30))
    recipe = RCNN.with_changes(context=4)
    inside, corner, empty = warp(image, [[10, 10, 30, 30], [0, 0, 20, 20], [5, 5, 5, 9]], recipe, INPUT)
    assert (inside[6:26, 6:26] == (0, 200, 0)).all() and (inside[:2] == (200, 0, 0)).all()
    mean = [51, 102, 153]
    assert (corner[:3] == mean).all() and (corner[:, :3] == mean).all() and (corner[5:20, 5:8, 0] > 100).all()
    assert (empty == mean).all()


@pytest.mark.parametrize("size", [(100, 80), (80, 100), (64, 64), (2_000, 40)])
def test_boxes_of_views_are_boxes_of_the_image(size: tuple[int, int]) -> None:
    """The corners of a centre crop, and of a whole image, lie where they were taken; of a strip only the middle is."""
    crop, whole = (frames_of(size, Look((40,), side, INPUT))[0] for side in (SIDE, None))
    width, height = size
    full = whole.in_image(torch.tensor([0.0, 0.0, *whole.size])).tolist()
    seen = min(width, 16 * height)
    assert full == pytest.approx([(width - seen) / 2, 0, (width + seen) / 2, height], abs=1e-3)
    x1, y1, x2, y2 = crop.in_image(torch.tensor([0.0, 0.0, SIDE, SIDE])).tolist()
    assert (x2 - x1, y2 - y1) == pytest.approx((SIDE * min(size) / 40,) * 2, rel=0.02)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((width / 2, height / 2), abs=min(size) / 40)


def test_boxes_without_area_win_nothing() -> None:
    """A clipped box of no width is no proposal, however sure it is."""
    boxes = torch.tensor([[5.0, 5, 5, 9], [0, 0, 4, 4], [1, 1, 3, 3]])
    assert best_of(torch.tensor([0.9, 0.2, 0.5]), boxes, 2).tolist() == [[1, 1, 3, 3], [0, 0, 4, 4]]


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9},
        {"bn_group": 3},
        {"anchor_sizes": ()},
        {"anchor_negative": 0.8},
        {"context": 16},
        {"scales": (SIDE - 1,)},
        {"augmentation": None},
        {"stage": "rcnn", "batch_size": 6, "regions_per_image": 4},
    ],
)
def test_impossible_recipes(changes: dict[str, object]) -> None:
    """What does not fit together is refused where it is declared."""
    with pytest.raises(UsageError, match="by-heart"):
        BY_HEART.with_changes(**changes)
