"""Which regions a detector learns from, their losses, and RoI pooling, on cases worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from small_detectors import INPUT, RECIPE, detector, network, vgg

from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.regions import Regions, pool
from resnets.networks.comparison.vgg import VGG
from resnets.networks.resnet import ResNet

NOTHING = torch.zeros(0, 4)
BOX = [10.0, 10, 50, 50]


def make(**changes: object) -> Regions:
    return Regions(6, 2, RECIPE.with_changes(**changes), map_channels=6)  # type: ignore[arg-type]


def assigned(proposals: list[list[float]], boxes: list[list[float]], labels: list[int]) -> list[int]:
    """Return the label of each proposal."""
    truth = torch.tensor(boxes).reshape(-1, 4)
    return make().assign_targets_to_proposals([torch.tensor(proposals)], [truth], [torch.tensor(labels)])[1][0].tolist()


def test_assignment_by_overlap() -> None:
    """IoU 0.5 and more is the object's class, [0.1, 0.5) background, less is never drawn: section 2.3 of [7]."""
    proposals = [
        BOX,
        [10.0, 10, 50, 31],
        [10.0, 10, 50, 28],
        [10.0, 10, 50, 15],
        [10.0, 10, 50, 13],
        [60.0, 60, 90, 90],
    ]
    assert assigned(proposals, [BOX], [2]) == [2, 2, 0, 0, -1, -1]  # IoU 1, 0.525, 0.45, 0.125, 0.075, 0


def test_the_nearest_object_decides() -> None:
    """A region has the label of the object that it overlaps most."""
    assert assigned([[10.0, 10, 50, 45]], [BOX, [10.0, 10, 50, 44]], [1, 2]) == [2]


def test_where_no_background_overlaps_any_is_taken() -> None:
    """Else there would be nothing to distinguish objects from. An image without objects is background everywhere."""
    assert assigned([BOX, [60.0, 60, 90, 90]], [BOX], [1]) == [1, 0]
    assert assigned([BOX, [60.0, 60, 90, 90]], [], []) == [0, 0]


def test_a_quarter_of_the_regions_are_objects() -> None:
    """128 regions of which 25 % are objects, true boxes among the proposals; the rest is background."""
    generator = torch.Generator().manual_seed(0)
    shift = torch.rand(200, 4, generator=generator) * 4
    near, far = torch.tensor([BOX]) + shift, torch.tensor([[10.0, 10, 50, 24]]) + shift
    targets = {"boxes": torch.tensor([BOX]), "labels": torch.tensor([2]), "crowds": NOTHING}
    regions = make(regions_per_image=128)
    boxes, labels, shifts, _ = regions.draw(torch.cat((near, far)), targets)
    assert sorted(labels.tolist()) == [0] * 96 + [2] * 32
    assert boxes.shape == shifts.shape == (128, 4)
    few, labels, *_ = regions.draw(far, targets)  # the true box itself is an object
    assert labels.tolist().count(2) == 1
    assert [row.tolist() for row in few[labels == 2]] == [BOX]


def test_regions_in_a_crowd_are_not_drawn() -> None:
    """A region mostly in a crowd is neither an object nor background."""
    targets = {
        "boxes": torch.tensor([BOX]),
        "labels": torch.tensor([1]),
        "crowds": torch.tensor([[0.0, 20, 60, 100]]),
    }
    boxes, labels, *_ = make().draw(torch.tensor([[10.0, 10, 50, 28], [10.0, 18, 50, 28]]), targets)
    assert labels.tolist().count(0) == 1
    assert boxes[labels == 0].tolist() == [[10.0, 10, 50, 28]]


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("network", [network, vgg])
def test_an_image_that_is_all_crowd_teaches_no_region(network: Callable[[], ResNet | VGG]) -> None:
    """Nothing in a crowd is background: all losses are 0, and leave a gradient of 0, not none, for the momentum."""
    net = FasterRCNN(network(), 2, RECIPE.with_changes(roi_size=None), INPUT).train()
    image = torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)
    crowd = torch.tensor([[0.0, 0, 128, 96]])
    losses = net(image, NOTHING, torch.zeros(0, dtype=torch.int64), crowd)
    assert losses.tolist() == [0] * 5
    losses[:4].sum().backward()
    gradients = [one.grad for one in net.regions.parameters()]
    assert all(one is not None and not one.any() for one in gradients)


def test_targets_are_normalised_shifts() -> None:
    """The shift over the region's size divided by 0.1, the log size by 0.2: about unit variance, as [7] has it."""
    targets = {"boxes": torch.tensor([[14.0, 10, 54, 50]]), "labels": torch.tensor([1]), "crowds": NOTHING}
    boxes, labels, shifts, _ = make().draw(torch.tensor([BOX]), targets)
    here = (boxes == torch.tensor(BOX)).all(1)
    assert labels[here].tolist() == [1]
    torch.testing.assert_close(shifts[here], torch.tensor([[4 / 40 / 0.1, 0, 0, 0]]))


def test_the_loss_of_hand_made_answers() -> None:
    """Mean log loss over the regions, plus smooth L1 of the true class's box over all regions: Eq. (1) of [7]."""
    regions = make()
    with torch.no_grad():
        regions.box_predictor.cls_score.weight.zero_()
        regions.box_predictor.bbox_pred.weight.zero_()
        regions.box_predictor.bbox_pred.bias.copy_(torch.tensor([[9.0] * 4, [1.0, 0, 0, 0], [0.0, 0, 0, 3]]).flatten())
    labels, wanted = torch.tensor([0, 1, 2, 0]), torch.zeros(4, 4)
    class_loss, box_loss, wrong = regions.losses(torch.ones(4, 6), labels, wanted)
    assert class_loss.item() == pytest.approx(math.log(3))  # even odds of background and two classes
    assert box_loss.item() == pytest.approx((0.5 + 2.5) / 4)  # background's box of 9s does not count
    assert wrong.item() == 0.5  # all are taken for background


def test_boxes_of_each_class() -> None:
    """Each class moves and scales a region by its own shifts."""
    regions = make()
    shifts = torch.zeros(1, 12)
    shifts[0, 8:] = torch.tensor([1.0, 0, math.log(2) / 0.2, 0])  # of the second class: 0.1 to the right, twice as wide
    boxes = regions.boxes(shifts, torch.tensor([BOX]))
    assert boxes.shape == (1, 2, 4)
    torch.testing.assert_close(boxes[0], torch.tensor([BOX, [-6.0, 10, 74, 50]]))
    assert regions.boxes(torch.zeros(0, 12), NOTHING).shape == (0, 2, 4)


def test_max_pooling_takes_the_greatest_of_each_part() -> None:
    """A region of 4x4 places pooled to 2x2; RoI align takes means of samples instead."""
    maps = torch.arange(64.0).reshape(1, 1, 8, 8)
    region = torch.tensor([[32.0, 16, 80, 64]])  # columns 2 to 5, rows 1 to 4
    assert pool(maps, region, 2, "max", 2).flatten().tolist() == [19, 21, 35, 37]
    aligned = pool(maps, region, 2, "align", 2).flatten()
    assert aligned.tolist() == pytest.approx([12.25, 13.75, 24.25, 25.75])


def test_global_context_joins_the_whole_image() -> None:
    """Each vector is followed by that of the whole image, which is the same for all. Appendix B."""
    net = detector(RECIPE.with_changes(global_context=True)).eval()
    maps = torch.rand(1, 256, 6, 8)
    regions = torch.tensor([[10.0, 10, 60, 60], [0.0, 0, 128, 96]])
    vectors = net.describe(maps, regions, (96, 128))
    plain = detector().eval().describe(maps, regions, (96, 128))
    assert vectors.shape == (2, 2 * plain.shape[1])
    torch.testing.assert_close(vectors[:, :512], plain)
    torch.testing.assert_close(vectors[:, 512:], plain[1].expand(2, -1))
    scores, _ = net.regions.answer(vectors)
    assert scores.shape == (2, 3)
