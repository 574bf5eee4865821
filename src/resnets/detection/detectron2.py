"""detectron2's C4 detectors, Faster and Mask R-CNN on ResNet-50 or ResNet-101: their weights under our names."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from resnets.detection import voc
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.recipes import COCO_MASKS
from resnets.errors import UsageError, WeightsError, first_line, warn
from resnets.networks import registry
from resnets.quantities import plural
from resnets.specs import InputSpec
from resnets.weights.layouts import detectron
from resnets.weights.readers import read_foreign
from resnets.weights.weights_file import load_into, require_input

SUFFIXES = (".pkl", ".pth", ".pt")

COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
    *("boat", "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    *("backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard"),
    *("sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle"),
    *("wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    *("chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop"),
    *("mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""COCO's 80 categories in the order of their ids, which is that of detectron2's classes."""

CLASSES: dict[int, tuple[str, ...]] = {len(names): names for names in (COCO_CLASSES, voc.CLASSES)}

SIZES, RATIOS = (32, 64, 128, 256, 512), (0.5, 1.0, 2.0)

RECIPE = COCO_MASKS.with_changes(
    name="detectron2-c4",
    source="detectron2's configuration Base-RCNN-C4; of training, only how regions are drawn",
    shorter_side=800,
    longest_side=1333,
    anchor_sizes=SIZES,
    anchor_ratios=RATIOS,
    rounded_anchors=False,
    proposals=(2_000, 1_000),
    roi_size=14,
    roi_samples=0,
    head_stride=2,
    regions_per_image=512,
    region_negative=(0.0, 0.5),
    nms=0.5,
)
"""How these detectors are tested."""

MEAN = (103.53, 116.28, 123.675)  # of blue, green and red, where the file does not have it

_MODULES = {
    "proposal_generator.rpn_head.conv": "proposals.head.conv.0.0",
    "proposal_generator.rpn_head.objectness_logits": "proposals.head.cls_logits",
    "proposal_generator.rpn_head.anchor_deltas": "proposals.head.bbox_pred",
    "roi_heads.box_predictor.cls_score": "regions.box_predictor.cls_score",
    "roi_heads.box_predictor.bbox_pred": "regions.box_predictor.bbox_pred",
    "roi_heads.mask_head.deconv": "regions.mask_predictor.conv5_mask",
    "roi_heads.mask_head.predictor": "regions.mask_predictor.mask_fcn_logits",
}
_NO_WEIGHTS = ("pixel_mean", "pixel_std", "proposal_generator.anchor_generator.")


def is_detectron2(path: Path) -> bool:
    """Return whether a file holds a detector of detectron2."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        tensors, _ = read_foreign(path)
    except WeightsError:
        return False  # whoever reads the file reports what is wrong with it
    return any(name.startswith("proposal_generator.") for name in tensors)


def load_detectron2(path: Path) -> tuple[FasterRCNN, tuple[str, ...]]:
    """Return a detector of detectron2 and its classes: of a .pkl of its model zoo or a .pth of a training.

    No code in the file is run. The classes are COCO's where there are 80, VOC's where there are 20, and numbers with a
    warning otherwise.

    Raises: WeightsError, if it is damaged, or of another kind than the C4 detectors of ResNet-50 and ResNet-101.
    """
    tensors, _ = read_foreign(path)
    blocks = len({name.split(".")[2] for name in tensors if name.startswith("backbone.res4.")})
    depth = {6: 50, 23: 101}.get(blocks)
    if depth is None or not any(name.startswith("roi_heads.res5.") for name in tensors):
        raise WeightsError(
            f"{path}: a detector of detectron2 that is none of the C4 ones on ResNet-50 and ResNet-101; those are read"
        )
    scores = tensors.get("roi_heads.box_predictor.cls_score.bias", torch.zeros(0))
    classes = scores.numel() - 1
    if classes < 1:
        raise WeightsError(f"{path}: there are no scores of classes, roi_heads.box_predictor.cls_score.bias")
    names = CLASSES.get(classes)
    if names is None:
        names = tuple(f"class {number}" for number in range(1, classes + 1))
        called = names[0] if classes == 1 else f"{names[0]} to {names[-1]}"
        warn(f"{path}: {plural(classes, 'class')} without names in the file; called {called}")
    recipe = RECIPE.with_changes(masks="roi_heads.mask_head.deconv.weight" in tensors)
    backbone = registry.create(f"resnet{depth}")
    try:
        renamed, input_spec = _renamed(tensors), _input(tensors)
    except (IndexError, RuntimeError, UsageError) as error:  # of layers of other shapes
        raise WeightsError(f"{path}: its layers have other shapes than detectron2's ({first_line(error)})") from None
    require_input(input_spec, path)
    network = FasterRCNN(backbone, classes, recipe, input_spec)
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    load_into(network, counters | renamed)
    return network, names


def _input(tensors: dict[str, Tensor]) -> InputSpec:
    mean, std = (tensors.get(name) for name in ("pixel_mean", "pixel_std"))
    return InputSpec(
        size=224,
        resize=256,
        mean=MEAN if mean is None else tuple(mean.flatten().tolist()),
        std=None if std is None else tuple(std.flatten().tolist()),
        max_value=255,
        channel_order="BGR",
    )


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names and in our order; unknown ones keep their names, so that they are reported."""
    layers, found = {}, {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        if name.startswith(_NO_WEIGHTS):
            continue
        if name.startswith(("backbone.", "roi_heads.res5.")):
            layers[name.partition(".")[2]] = tensor
        elif module in _MODULES:
            found[f"{_MODULES[module]}.{kind}"] = _reordered(module, tensor.float())
        else:
            found[name] = tensor
    named = detectron.TORCHVISION.rename(layers)
    return found | {f"backbone.network.{name}": tensor.float() for name, tensor in named.items()}


def _reordered(module: str, tensor: Tensor) -> Tensor:
    """Return a layer with its rows in our order: anchors by ratio, then by size; the background before the classes."""
    match module.rpartition(".")[2]:
        case "objectness_logits" | "anchor_deltas":
            anchors = torch.arange(len(SIZES) * len(RATIOS)).view(len(SIZES), len(RATIOS)).T.flatten()
            return tensor.unflatten(0, (len(anchors), -1))[anchors].flatten(0, 1)
        case "cls_score":
            return torch.cat((tensor[-1:], tensor[:-1]))
        case "bbox_pred":
            return torch.cat((torch.zeros_like(tensor[:4]), tensor))
        case _:
            return tensor
