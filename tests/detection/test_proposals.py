"""Anchors, which of them are objects, the loss of [32], and proposals, on cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from small_detectors import RECIPE, detector
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import nms

from resnets.detection.proposals import ProposalNetwork, crowded, first_of_nms
from resnets.paper import detection_recipes

NOTHING = torch.zeros(0, 4)


def make(**changes: object) -> ProposalNetwork:
    return ProposalNetwork(8, RECIPE.with_changes(**changes))  # type: ignore[arg-type]


def anchors_of(network: ProposalNetwork, height: int, width: int) -> torch.Tensor:
    """Return the anchors of maps of a size."""
    stride = [torch.tensor(16), torch.tensor(16)]
    return network.anchor_generator.grid_anchors([[height, width]], [stride])[0]


def test_anchors_are_three_areas_by_three_shapes() -> None:
    """128, 256 and 512 squared, each 2:1, 1:1 and 1:2, at every 16th pixel. Section 3.1.1 of [32]."""
    network = ProposalNetwork(8, detection_recipes.VOC)
    anchors = anchors_of(network, 2, 3)
    assert anchors.shape == (2 * 3 * 9, 4)
    width, height = (anchors[:9, 2:] - anchors[:9, :2]).T
    areas = (width * height).sqrt()
    torch.testing.assert_close(areas, torch.tensor([128.0, 256, 512] * 3), rtol=0.01, atol=0)
    torch.testing.assert_close(height / width, torch.tensor([0.5, 1, 2]).repeat_interleave(3), rtol=0.02, atol=0)
    centres = (anchors[:, 2:] + anchors[:, :2]) / 2
    expected = torch.tensor([[x, y] for y in (0.0, 16) for x in (0.0, 16, 32)]).repeat_interleave(9, 0)
    torch.testing.assert_close(centres, expected, rtol=0, atol=0.5)


def assigned(anchors: list[list[float]], boxes: list[list[float]], crowds: torch.Tensor = NOTHING) -> list[int]:
    """Return the labels of anchors in an image of 100x100."""
    targets = {"boxes": torch.tensor(boxes).reshape(-1, 4), "size": torch.tensor([100, 100]), "crowds": crowds}
    labels, _ = make().assign_targets_to_anchors([torch.tensor(anchors)], [targets])
    return labels[0].int().tolist()


def test_assignment_by_overlap() -> None:
    """IoU 0.7 and more is an object, below 0.3 background, in between nothing."""
    box = [10.0, 10, 50, 50]
    anchors = [box, [10.0, 10, 50, 42], [10.0, 10, 50, 30], [60.0, 60, 90, 90]]  # IoU 1, 0.8, 0.5, 0
    assert assigned(anchors, [box]) == [1, 1, -1, 0]


def test_the_best_anchor_of_each_box_is_an_object() -> None:
    """However little it overlaps: else a box of an odd shape would never be learnt."""
    anchors = [[10.0, 10, 50, 50], [60.0, 60, 90, 90]]
    assert assigned(anchors, [[10.0, 10, 50, 26]]) == [1, 0]  # IoU 0.4


def test_anchors_across_the_border_are_left_out() -> None:
    """Also where they would be the best: the next one is then. An image smaller than any anchor keeps them all."""
    box = [0.0, 0, 40, 40]
    assert assigned([[-1.0, 0, 40, 40], [0.0, 0, 40, 20], [0.0, 0, 101, 40]], [box]) == [-1, 1, -1]
    assert assigned([[-1.0, 0, 40, 40], [-50.0, -50, -20, -20]], [box]) == [1, 0]


def test_an_image_without_objects_is_background() -> None:
    """Without a box each anchor in the image is background."""
    assert assigned([[10.0, 10, 50, 50], [-1.0, 0, 5, 5]], []) == [0, -1]


def test_crowds_are_no_background() -> None:
    """An anchor that lies in a crowd by more than 70 % is not looked at."""
    crowd = torch.tensor([[60.0, 60, 100, 100]])
    anchors = [[10.0, 10, 50, 50], [60.0, 60, 90, 90], [45.0, 60, 85, 80], [50.0, 70, 80, 80]]
    assert assigned(anchors, [[10.0, 10, 50, 50]], crowd) == [1, -1, 0, 0]  # in it: -, all, 62 %, 67 %
    assert crowded(torch.tensor(anchors), NOTHING).tolist() == [False] * 4


def test_an_anchor_that_meets_no_box_is_no_object() -> None:
    """A sliver at the border may meet no anchor that lies inside; none is an object then, alone or with others."""
    sliver = [98.0, 0, 100, 50]
    assert assigned([[10.0, 10, 50, 50], [60.0, 60, 90, 90]], [sliver]) == [0, 0]
    assert assigned([[10.0, 10, 50, 50], [40.0, 40, 80, 80]], [[10.0, 10, 50, 50], sliver]) == [1, 0]


def test_where_nothing_can_be_drawn_the_loss_is_nothing() -> None:
    """As in an image that is all crowd; it would be NaN, and the training could never go on."""
    objectness = torch.zeros(12, 1, requires_grad=True)
    shifts = torch.zeros(12, 4)
    losses = make().compute_loss(objectness, shifts, [torch.full((12,), -1.0)], [torch.zeros(12, 4)])
    assert [loss.item() for loss in losses] == [0, 0]


def test_the_loss_of_hand_made_answers() -> None:
    """Mean log loss over the drawn anchors, plus lambda / places times smooth L1 over the objects: Eq. (1) of [32]."""
    network = make(anchors_per_image=4)
    labels = torch.full((12,), -1.0)
    labels[0], labels[5], labels[7] = 1, 0, 0  # places: 12 anchors of 6 shapes are 2 places
    objectness = torch.zeros(12, 1)
    objectness[5] = 2.0
    predicted, wanted = torch.zeros(12, 4), torch.zeros(12, 4)
    wanted[0] = torch.tensor([0.5, 2.0, 0.0, 0.0])  # smooth L1: 0.125 + 1.5
    wanted[5] = 9.0  # of background, which has no box
    log_loss, box_loss = network.compute_loss(objectness, predicted, [labels], [wanted])
    assert log_loss.item() == pytest.approx((2 * math.log(2) + math.log(1 + math.exp(2))) / 3)
    assert network.places_of_anchors == 6
    assert box_loss.item() == pytest.approx(10 * 1.625 / 2)


def test_at_most_half_of_the_drawn_anchors_are_objects() -> None:
    """Of the anchors in the loss at most half are objects, the rest background."""
    network = make(anchors_per_image=10)
    labels = torch.cat((torch.ones(50), torch.zeros(50), torch.full((20,), -1.0)))
    positive, negative = network.fg_bg_sampler([labels])
    assert (int(positive[0].sum()), int(negative[0].sum())) == (5, 5)
    assert not (positive[0][50:].any() or negative[0][:50].any() or negative[0][100:].any())
    few = torch.cat((torch.ones(2), torch.zeros(50)))  # filled up with background
    positive, negative = network.fg_bg_sampler([few])
    assert (int(positive[0].sum()), int(negative[0].sum())) == (2, 8)


def test_box_coding_is_of_the_paper_and_is_undone() -> None:
    """tx = (x - xa) / wa, tw = log(w / wa) of centres and sizes: Eq. (2) of [32]; decoding is the inverse."""
    coder = make().box_coder
    anchor, box = torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[15.0, 20, 55, 40]])
    code = coder.encode_single(box, anchor)
    expected = torch.tensor([[(35 - 20) / 20, (30 - 40) / 40, math.log(2), math.log(0.5)]])
    torch.testing.assert_close(code, expected)
    torch.testing.assert_close(coder.decode_single(code, anchor), box)


def test_suppression_stops_where_enough_is_found() -> None:
    """The first of the proposals are those that suppression of all of them gives, however many there are."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(500, 2, generator=generator) * 100
    boxes = torch.cat((corners, corners + 10 + torch.rand(500, 2, generator=generator) * 40), 1)
    scores = torch.rand(500, generator=generator).sort(descending=True).values
    whole = nms(boxes, scores, 0.3)
    for count in (1, 3, 20, len(whole) - 1, len(whole), 400):
        assert torch.equal(first_of_nms(boxes, scores, 0.3, count), whole[:count])
    assert len(first_of_nms(boxes[:0], scores[:0], 0.3, 5)) == 0


def test_proposals_are_torchvisions() -> None:
    """The same boxes as its own network proposes of the same answers."""
    net = detector(RECIPE.with_changes(ranked=(200, 100), proposals=(40, 20))).eval().proposals
    objectness, shifts = torch.randn(1, 6 * 6 * 8), torch.randn(6 * 6 * 8, 4) / 4
    proposals = net.box_coder.decode(shifts, [anchors_of(net, 6, 8)]).view(1, -1, 4)
    arguments = proposals, objectness, [(90, 120)], [6 * 6 * 8]
    (expected,), _ = RegionProposalNetwork.filter_proposals(net, *arguments)
    (found,), _ = net.filter_proposals(*arguments)
    assert torch.equal(found, expected)


def test_proposals_are_within_the_image_and_suppress_their_neighbours() -> None:
    """At most as many as the recipe has; none overlaps another by more than 0.7."""
    net = detector(RECIPE.with_changes(proposals=(40, 20), ranked=(200, 100))).eval()
    maps = torch.randn(1, 256, 6, 8)
    for training, count in ((True, 40), (False, 20)):
        net.proposals.train(training)
        targets = {
            "boxes": torch.tensor([[1.0, 1, 40, 40]]),
            "labels": torch.tensor([1]),
            "size": torch.tensor([90, 120]),
            "crowds": NOTHING,
        }
        boxes, losses = net.proposals.propose(maps, (90, 120), targets if training else None)
        assert len(boxes) == count
        assert bool(losses) == training
        assert boxes.min() >= 0
        assert (boxes.amax(0) <= torch.tensor([120.0, 90, 120, 90])).all()
        overlaps = _iou(boxes).fill_diagonal_(0)
        assert overlaps.max() <= 0.7


def _iou(boxes: torch.Tensor) -> torch.Tensor:
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = F.relu(high - low).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / (areas[:, None] + areas - shared)
