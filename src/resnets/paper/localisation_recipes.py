"""The recipes of appendix C's localisation, with their departures where it leaves something open."""

from __future__ import annotations

from resnets.specs import Departure, LocalisationRecipe, Preprocessing, PrincipalColors, ScaleCropFlip

_SCHEDULE = Departure(
    "60,000 iterations from lr 0.01, divided by 10 at 40,000",
    "the paper gives no schedule: 28 passes over the images that have boxes",
)
_SCALES = Departure("dense tests are at the five scales of section 3.4", "the paper says that there are several")
ANCHORS = Departure(
    "9 anchors: sides of 64, 128 and 224 pixels in three proportions, those across the border clipped to compare them",
    "the paper gives none; those of [32] hardly fit into crops of 224 pixels",
)
CROPS = Departure(
    "crops in which less than half of a box is seen are drawn again",
    "the paper does not say how crops and boxes go together",
)

_ONE_CLASS = Departure(
    "the scores and boxes of the image's own class alone are learnt",
    "our reading of the paper: an image says nothing of the boxes of other classes",
)
_BALANCE = Departure(
    "where an image has fewer positive anchors or regions than half of what is drawn, they weigh as much together",
    "the paper's 1:1; others fill the places",
)
_BOXED = Departure("training images without boxes are left out", "there is no box to learn; the paper does not say it")
_TRAINED_NORM = Departure(
    "batch norm is trained, as in classification",
    "the paper freezes it in its detectors, and does not say what it does here, where mini-batches are large",
)
_VOTED = Departure(
    "in tests, by one crop too, the best box of all positions and scales is moved to the mean of those that overlap it",
    "the paper does not say how the boxes of several positions and scales are put together",
)
OPEN = (_ONE_CLASS, _BALANCE, _BOXED, _TRAINED_NORM, _VOTED)
"""Departures of every recipe of localisers."""

READING = Departure(
    "4 regions of each of 64 images per iteration", "256 of any images in the paper, of which each would be decoded"
)
ONCE = Departure(
    "the best 200 boxes without suppression, scored once by the R-CNN; regions of IoU 0.5 and more are positive",
    "the paper does not say it; [8] takes pixels around a region too, here 16 of 224",
)

IMAGENET_RPN = LocalisationRecipe(
    name="imagenet-rpn",
    source="appendix C: per-class RPN; the crops of section 3.4",
    iterations=60_000,
    batch_size=256,
    lr=0.01,
    milestones=(40_000,),
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=ScaleCropFlip(shortest=256, longest=480, crop=224, colors=PrincipalColors(std=0.1)),
    departures=(_SCHEDULE, ANCHORS, CROPS, _SCALES, *OPEN),
)

IMAGENET_RCNN = IMAGENET_RPN.with_changes(
    name="imagenet-rcnn",
    source="appendix C: per-class R-CNN on the proposals of a per-class RPN",
    stage="rcnn",
    departures=(_SCHEDULE, READING, ONCE, _SCALES, *OPEN),
)
