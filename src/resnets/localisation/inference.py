"""The box of a class in an image, by one localiser or several. Appendix C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from resnets.data.image_files import ImageFiles
from resnets.data.loading import View
from resnets.detection.refinements import vote
from resnets.errors import UsageError
from resnets.evaluation.protocols import find_protocol
from resnets.localisation.frames import Look, as_batch, frames_of, read_views, size_of
from resnets.localisation.localiser import Localiser
from resnets.localisation.networks import REGION_CODER, PerClassRCNN, PerClassRPN
from resnets.localisation.warp import warp
from resnets.specs import Precision

AT_ONCE = 256  # regions
PROTOCOLS = ("center-crop", "dense-multi-scale")


@dataclass(frozen=True, kw_only=True)
class LocalisationTest:
    """How a localiser is tested: on the centre crop or whole images at several scales, and whether boxes vote.

    Units: pixels of the shorter side for `scales`; () are the recipe's.
    """

    protocol: str
    scales: tuple[int, ...] = ()
    voting: bool = True

    @classmethod
    def of(cls, protocol: str, scales: Sequence[int] | None, *, voting: bool) -> Self:
        """Return a test by the name of its protocol, of which the first letters are enough. Raises: UsageError."""
        name = find_protocol(protocol).name
        if name not in PROTOCOLS:
            raise UsageError(f"protocol is {name}; a localiser is tested by {' or '.join(PROTOCOLS)}")
        if scales is not None and name != "dense-multi-scale":
            raise UsageError(f"scales are a choice of dense-multi-scale, and not of {name}")
        if scales is not None and (not scales or min(scales) < 1):
            raise UsageError(f"scales are {', '.join(map(str, scales)) or 'none'}; they must be positive, one or more")
        return cls(protocol=name, scales=tuple(scales or ()), voting=voting)

    def look(self, rpn: PerClassRPN) -> Look:
        """Return how a network looks at images."""
        if self.protocol == "center-crop":
            return Look((rpn.input_spec.resize,), rpn.recipe.crop, rpn.input_spec)
        return Look(self.scales or rpn.recipe.scales, None, rpn.input_spec)


def locate_all(
    localisers: Sequence[Localiser],
    files: ImageFiles,
    classes: Sequence[Sequence[int]],
    test: LocalisationTest,
    *,
    precision: Precision = "fp32",
    workers: int = 0,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield for each image the box of each of its `classes`, by label, and the boxes' scores.

    Shape: (c, 4), (c,)
    Raises: DataError, for the first image that fails to decode.
    """
    looks = [test.look(one.rpn) for one in localisers]
    for views, own in zip(read_views(files, looks, workers), classes, strict=True):
        boxes, scores = locate_in(localisers, views, looks, own, voting=test.voting, precision=precision)
        yield boxes.cpu().numpy(), scores.cpu().numpy()


@torch.inference_mode()
def locate_in(
    localisers: Sequence[Localiser],
    views: Sequence[View],
    looks: Sequence[Look],
    classes: Sequence[int],
    *,
    voting: bool,
    precision: Precision,
) -> tuple[Tensor, Tensor]:
    """Return the box of each class in an image, given whole and by its views, and its score.

    It is the box of the highest score, moved by the votes of the others that overlap it. The boxes, and the best
    proposals, of several first stages are taken together; the answers of several second stages are averaged.

    Shape: (c, 4), (c,)
    """
    device = localisers[0].device
    labels = torch.tensor(classes, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        rest = iter(views[1:])
        first = [
            proposed(one, views[0], list(islice(rest, len(look.scales))), look, labels)
            for one, look in zip(localisers, looks, strict=True)
        ]
        second = [one.rcnn for one in localisers if one.rcnn is not None]
        image = Image.fromarray(views[0])
        answers = []
        for place in range(len(classes)):
            own = [(scores[place], boxes[place]) for scores, boxes in first]
            if second:
                regions = torch.cat([best_of(*one, second[0].recipe.proposals) for one in own])
                answers.append(_refined(second, image, regions, labels[place]))
            else:
                answers.append((torch.cat([one[0] for one in own]), torch.cat([one[1] for one in own])))
    found = [_answer(*one, voting=voting) for one in answers]
    return torch.stack([box for box, _ in found]), torch.stack([score for _, score in found])


def proposed(
    localiser: Localiser, image: View, views: Sequence[View], look: Look, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the scores and the boxes of all anchors in an image's views, for each class. Shape: (c, M), (c, M, 4)"""
    scores, boxes = [], []
    for frame, view in zip(frames_of(size_of(image), look), views, strict=True):
        some = localiser.rpn.propose(localiser.rpn.normalized(as_batch(view)), labels)
        scores.append(some[0])
        boxes.append(frame.in_image(some[1]))
    return torch.cat(scores, 1), torch.cat(boxes, 1)


def best_of(scores: Tensor, boxes: Tensor, count: int) -> Tensor:
    """Return the boxes of the highest scores that have an area, `count` at most. Shape: (M,), (M, 4) -> (P, 4)"""
    whole = (boxes[:, 2:] > boxes[:, :2]).all(1)
    scores, boxes = scores[whole], boxes[whole]
    return boxes[scores.topk(min(count, len(scores))).indices]


def _refined(
    second: Sequence[PerClassRCNN], image: Image.Image, regions: Tensor, label: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the scores of regions for a class, and the boxes that they become. Shape: (P,), (P, 4)"""
    found = []
    for network in second:
        scores, shifts = [regions.new_zeros(0)], [regions.new_zeros(0, 4)]
        for some in regions.split(AT_ONCE):
            views = torch.from_numpy(warp(image, some.tolist(), network.recipe, network.input_spec))
            own = network.answers(network.vectors(network.normalized(views)), label[None])
            scores.append(own[0][0].sigmoid())
            shifts.append(own[1][0])
        found.append((torch.cat(scores), torch.cat(shifts)))
    scores_of, shifts_of = (torch.stack(parts).mean(0) for parts in zip(*found, strict=True))
    boxes = REGION_CODER.decode_single(shifts_of, regions) if len(regions) else regions
    return scores_of, clip_boxes_to_image(boxes, (image.height, image.width))


def _answer(scores: Tensor, boxes: Tensor, *, voting: bool) -> tuple[Tensor, Tensor]:
    """Return the best of some boxes, and its score; none if there is none with an area. Shape: (4,), ()"""
    whole = (boxes[:, 2:] > boxes[:, :2]).all(1)
    scores, boxes = scores[whole], boxes[whole]
    if not len(boxes):
        return boxes.new_zeros(4), scores.new_zeros(())
    best = int(scores.argmax())
    place = boxes[best : best + 1]
    return (vote(place, boxes, scores) if voting else place)[0], scores[best]
