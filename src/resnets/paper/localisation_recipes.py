"""The recipes of appendix C's localisation, with their departures where it leaves something open."""

from __future__ import annotations

from resnets.specs import Departure, LocalisationRecipe, Preprocessing, PrincipalColors, ScaleCropFlip

_SCHEDULE = Departure(
    "60,000 iterations from lr 0.01, divided by 10 at 40,000",
    "the paper gives no schedule: 28 passes over the images that have boxes",
)
_BOXES = Departure(
    "images without boxes are left out, and crops in which less than half of a box is seen are drawn again",
    "the paper does not say how crops and boxes go together",
)

ANCHORS = Departure(
    "9 anchors: sides of 64, 128 and 224 pixels in three proportions, those across the border clipped to compare them",
    "the paper gives none; those of [32] hardly fit into crops of 224 pixels",
)
ONE_CLASS = Departure(
    "the scores and boxes of the image's own class alone are learnt",
    "so the text is read: an image says nothing of the boxes of other classes",
)
BALANCE = Departure(
    "where an image has fewer positive anchors or regions than half of what is drawn, they weigh as much together",
    "the paper's 1:1; others fill the places",
)
READING = Departure(
    "4 regions of each of 64 images an iteration", "256 of any images in the paper, of which each would be decoded"
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
    evaluate_every=1_000_000,  # tests take long: by default there is one, at the end
    departures=(_SCHEDULE, ANCHORS, ONE_CLASS, BALANCE, _BOXES),
)

IMAGENET_RCNN = IMAGENET_RPN.with_changes(
    name="imagenet-rcnn",
    source="appendix C: per-class R-CNN on the proposals of a per-class RPN",
    stage="rcnn",
    departures=(_SCHEDULE, ONE_CLASS, BALANCE, READING, ONCE),
)
