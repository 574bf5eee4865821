"""The recipes of section 4.3's detectors: Faster R-CNN [32] and Fast R-CNN [7] as appendix A sets them."""

from __future__ import annotations

from resnets.specs import Departure, DetectionRecipe

JOINT = Departure(
    "the proposal network and the detector are trained together, in one stage",
    "the paper alternates between them in four stages [32]; together is what its authors' later code and everybody "
    "since does, in a third of the time, as accurate",
)
_HEAD = Departure(
    "RoI pooling to 14x14 before conv5_1, whose stride 2 makes it 7x7",
    "the paper does not give the size; this keeps conv5_x as it was pre-trained",
)
_STAGES = Departure(
    "conv1 and conv2_x keep their pre-trained weights",
    "so does [32] with VGG-16; the paper does not say it of ResNets",
)
_WIDTH = Departure(
    "the proposal network's 3x3 convolution is as wide as the shared maps",
    "[32] has 512, which is VGG-16's; the paper does not say it of ResNets",
)

_STATISTICS = Departure(
    "batch norm is frozen with the statistics in the backbone's weights, by default moving averages",
    "appendix A first computes them over ImageNet's training set, which a detector's training does not read; "
    "--bn-images computes them so at the end of the classifier's training",
)
_MEAN = Departure(
    "a mean image is reduced to the mean of each channel",
    "it has one size, and a detector's images have any; the paper does not say what it does; [32]'s code resizes it",
)
_GRID = Departure(
    "anchors are centred at multiples of 16 pixels",
    "torchvision's grid; [32]'s code has them 7.5 pixels further, in the middle of what VGG-16 sees",
)
_KEPT = Departure(
    "images without objects and proposals of any size are learnt from, and background of any overlap below 0.5 where "
    "there is none of 0.1 and more",
    "[32]'s code leaves out such images, and proposals of fewer than 16 pixels; there is less to learn without them",
)

_RATE = Departure(
    "weights and biases have the same learning rate",
    "[7] has twice the rate for biases, which the paper does not repeat",
)

SHARED = (_STATISTICS, _MEAN, _WIDTH, _GRID, _KEPT, _RATE)
"""Deviations of every recipe here."""

VOC = DetectionRecipe(
    name="voc",
    source="section 4.3 and appendix A; Faster R-CNN [32] and Fast R-CNN [7]",
    iterations=80_000,
    batch_size=1,
    lr=0.001,
    milestones=(60_000,),
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    departures=(
        JOINT,
        Departure("128 regions of one image per iteration", "[7] has 64 of each of two, [32] one image for proposals"),
        _HEAD,
        _STAGES,
        *SHARED,
    ),
)

COCO = DetectionRecipe(
    name="coco",
    source="section 4.3 and appendix A: 240k iterations at 0.001, then 80k at 0.0001, on eight GPUs",
    iterations=320_000,
    batch_size=8,
    lr=0.001,
    milestones=(240_000,),
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    departures=(
        JOINT,
        Departure(
            "8 images per iteration, with 128 regions each",
            "the paper's 8 for proposals; for the detector it has 16 images, of 64 regions by [7]: as many regions",
        ),
        Departure(
            "anchors of 128, 256 and 512 pixels, and background from an overlap of 0.1 on, as for VOC",
            "the paper does not say it of COCO; a later version of [32] adds anchors of 64, and takes all below 0.5",
        ),
        _HEAD,
        _STAGES,
        *SHARED,
    ),
)

_TWICE = Departure(
    "640,000 iterations on val1 and the first 1,000 training images of each class",
    "the paper gives neither; R-CNN [8] takes as many images, of which there are about twice as many as of COCO: twice "
    "its iterations",
)
_UNLABELLED = Departure(
    "other objects in a training image that is listed for a class are learnt as background where nothing labels them",
    "images of 2013 are labelled for the class of their list alone; the paper does not say what it does",
)

VOC_CONTEXT = VOC.with_changes(
    name="voc-context", source="appendix B: the recipe voc with global context", global_context=True
)
COCO_CONTEXT = COCO.with_changes(
    name="coco-context", source="appendix B: the recipe coco with global context", global_context=True
)
DET = COCO_CONTEXT.with_changes(
    name="det",
    source="appendix B, ImageNet's detection: the recipe coco-context, for twice as long",
    iterations=640_000,
    milestones=(480_000,),
    departures=(*COCO.departures, _TWICE, _UNLABELLED),
)
