"""Appendix B's improvements of testing on cases worked out by hand, and each of them in a detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from small_detectors import CPU, RECIPE, detector
from torch import Tensor

from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.predict import detect_image
from resnets.detection.refinements import PYRAMID, Refinements, adjacent_scales, select, vote


def test_voting_is_the_weighted_mean_of_overlapping_boxes() -> None:
    """Weights 3 and 1 move the box a quarter of the way; a box elsewhere has no vote."""
    boxes = torch.tensor([[0.0, 0, 100, 100]])
    voters = torch.tensor([[0.0, 0, 100, 100], [8.0, 4, 108, 104], [60.0, 60, 160, 160]])
    moved = vote(boxes, voters, torch.tensor([0.6, 0.2, 0.9]))
    torch.testing.assert_close(moved, torch.tensor([[2.0, 1, 102, 101]]))


def test_a_box_without_voters_stays() -> None:
    """Without an overlapping voter, or with voters of weight 0, a box is not moved."""
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    far = torch.tensor([[50.0, 50, 60, 60]])
    assert torch.equal(vote(boxes, far, torch.ones(1)), boxes)
    assert torch.equal(vote(boxes, boxes + 1, torch.zeros(1)), boxes)
    assert vote(boxes[:0], far, torch.ones(1)).shape == (0, 4)


def test_a_region_is_looked_at_near_224_pixels() -> None:
    """Of a 600x600 image: a region of 224 pixels at 600 lies between 400 and 600 or 600 and 800, by the nearer."""
    factors = torch.tensor(PYRAMID) / 600

    def lower(side: float) -> int:
        return PYRAMID[int(adjacent_scales(torch.tensor([[0.0, 0, side, side]]), factors)[0])]

    assert lower(600) == 200  # 200 pixels at 200: the nearest two are 200 and 400
    assert lower(300) == 400  # at 400 it is 200 pixels, at 600 it is 300, at 200 only 100
    assert lower(224) == 600  # 149, 224, 299: 299 is nearer than 149
    assert lower(20) == 800
    wide = torch.tensor([[0.0, 0, 448, 112]])  # as a square of 224
    assert PYRAMID[int(adjacent_scales(wide, factors)[0])] == 600


def test_selection_is_by_class() -> None:
    """A box suppresses its neighbours of its own class alone; scores below the threshold are dropped; best first."""
    box, near, far = [0.0, 0, 10, 10], [1.0, 0, 11, 10], [50.0, 50, 60, 60]
    boxes = torch.tensor([[box, box], [near, near], [far, far]])
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.7], [0.04, 0.3]])
    found = select(boxes, scores, threshold=0.05, iou=0.3, limit=10, voting=False)
    assert found[0].tolist() == [box, near, far]
    assert found[1].tolist() == pytest.approx([0.9, 0.7, 0.3])
    assert found[2].tolist() == [0, 1, 1]
    assert select(boxes, scores, threshold=0.05, iou=0.3, limit=2, voting=False)[2].tolist() == [0, 1]
    none = select(boxes, scores, threshold=0.95, iou=0.3, limit=2, voting=True)
    assert [len(part) for part in none] == [0, 0, 0]
    voted = select(boxes, scores, threshold=0.05, iou=0.3, limit=10, voting=True)
    assert voted[0][0].tolist() == pytest.approx([8 / 17, 0, 10 + 8 / 17, 10])  # 0.9 and 0.8 of one and the other


class Scripted(FasterRCNN):
    """A detector that moves each region it is given 4 pixels to the right, and is surer of those further right."""

    asked: list[Tensor]

    def describe(self, maps: Tensor, regions: Tensor, size: tuple[int, int]) -> Tensor:
        self.asked.append(regions)
        return regions


def scripted(proposals: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Return a scripted detector that proposes these boxes."""
    net = detector().eval()
    net.__class__ = Scripted
    assert isinstance(net, Scripted)
    net.asked = []

    def answer(regions: Tensor) -> tuple[Tensor, Tensor]:
        sure = regions[:, 0] / 20
        scores = torch.stack((torch.zeros_like(sure), sure, torch.full_like(sure, -9.0)), 1)
        shifts = torch.zeros(len(regions), 12)
        shifts[:, 4::4] = (4 / (regions[:, 2] - regions[:, 0]) / 0.1)[:, None]
        return scores, shifts

    monkeypatch.setattr(net, "maps", lambda image: torch.zeros(1, 256, 6, 8))
    monkeypatch.setattr(net.proposals, "propose", lambda maps, size: (torch.tensor(proposals), {}))
    monkeypatch.setattr(net.regions, "answer", answer)
    return net


def test_box_refinement_asks_again_where_the_first_answer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The union of both rounds is suppressed at 0.3, and all its boxes vote for where the best one is."""
    net = scripted([[10.0, 10, 50, 50]], monkeypatch)
    image = Image.new("RGB", (128, 96))
    plain = detect_image([net], image, device=CPU)
    assert plain.boxes.tolist() == [[14.0, 10, 54, 50]]
    net.asked.clear()
    refined = detect_image([net], image, Refinements(box_refinement=True), device=CPU)
    assert [regions.tolist() for regions in net.asked] == [[[10.0, 10, 50, 50]], [[14.0, 10, 54, 50]]]
    first, second = (torch.tensor([0.0, x / 20, -9.0]).softmax(0)[1].item() for x in (10.0, 14.0))
    left = (first * 14 + second * 18) / (first + second)
    assert refined.scores.tolist() == pytest.approx([second])
    assert refined.boxes[0].tolist() == pytest.approx([left, 10, left + 40, 50], abs=1e-4)


def test_an_ensemble_shares_proposals_and_averages_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member answers for the union of all proposals; boxes and scores are the means."""
    left, right = scripted([[10.0, 10, 50, 50]], monkeypatch), scripted([[60.0, 40, 90, 80]], monkeypatch)
    found = detect_image([left, right], Image.new("RGB", (128, 96)), device=CPU)
    union = [[10.0, 10, 50, 50], [60.0, 40, 90, 80]]
    assert left.asked[0].tolist() == right.asked[0].tolist() == union
    assert sorted(found.boxes.tolist()) == [[14.0, 10, 54, 50], [64.0, 40, 94, 80]]
    uneven = scripted([[60.0, 40, 90, 80]], monkeypatch)
    monkeypatch.setattr(
        uneven.regions, "answer", lambda r: (torch.tensor([[0.0, 0, -9]] * len(r)), torch.zeros(len(r), 12))
    )
    averaged = detect_image([left, uneven], Image.new("RGB", (128, 96)), device=CPU)
    assert sorted(averaged.boxes.tolist()) == [[12.0, 10, 52, 50], [62.0, 40, 92, 80]]
    sure = torch.tensor([[0.0, 0.5, -9], [0.0, 0, -9]]).softmax(1)[:, 1].mean()
    assert averaged.scores[averaged.boxes[:, 0] == 12].tolist() == pytest.approx([sure.item()])


def test_multi_scale_takes_the_greatest_of_two_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each region is looked at on two adjacent maps, in their pixels, and the vectors' greatest elements are taken."""
    net = scripted([[0.0, 0, 30, 30], [0.0, 0, 125, 95]], monkeypatch)  # at half the image's size
    vectors: list[Tensor] = []
    answer = net.regions.answer
    monkeypatch.setattr(net.regions, "answer", lambda given: vectors.append(given) or answer(given))
    detect_image([net], Image.new("RGB", (256, 192)), Refinements(pyramid=(96, 192, 768)), device=CPU)
    small, large = torch.tensor([0.0, 0, 60, 60]), torch.tensor([0.0, 0, 250, 190])
    assert [regions.tolist() for regions in net.asked] == [
        [(large / 2).tolist()],
        [small.tolist(), large.tolist()],
        [(small * 4).tolist()],
    ]
    assert vectors[0].tolist() == [(small * 4).tolist(), large.tolist()]


def test_every_refinement_runs_in_a_real_detector() -> None:
    """Together, on an image that has to be resized; boxes are inside it, in its own pixels."""
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 255, (150, 200, 3), np.uint8))
    recipe = RECIPE.with_changes(score=0.0, global_context=True)
    members = [detector(recipe).eval(), detector(recipe).eval()]
    found = detect_image(members, image, Refinements(box_refinement=True, pyramid=(64, 96, 128)), id="a", device=CPU)
    assert found.id == "a"
    assert 0 < len(found.scores) <= recipe.detections_per_image
    assert found.boxes.min() >= 0
    assert (found.boxes.max(0) <= [200, 150, 200, 150]).all()
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.labels) <= {0, 1}
    again = detect_image(members, image, Refinements(box_refinement=True, pyramid=(64, 96, 128)), device=CPU)
    assert np.array_equal(found.boxes, again.boxes)
    assert detect_image(members[:1], image, device=CPU).boxes.shape[1] == 4
