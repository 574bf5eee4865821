"""Faster R-CNN on photos with boxes: ours, and torchvision's of its own parts with the same layers and numbers."""

from __future__ import annotations

import itertools
import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.transforms.v2 import functional as transforms

from benchmarks import training
from benchmarks.peers import AverageMeter, Flags
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.data.image_files import ImageFiles
from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.detection.config import DetectionConfig, DetectorTraining, resolve
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.predict import detect_image
from resnets.detection.task import DetectionTask
from resnets.paper.detection_recipes import VOC
from resnets.runtime.device import choose_precision, keep_freed_memory, place

CLASSES = tuple(f"class {number}" for number in range(20))
OBJECTS = 6  # of an image
RECIPE = VOC.with_changes(roi_pooling="align", lr=1e-5)  # as torchvision pools; a rate at which random weights live
TESTED = 8  # images that are detected on in turn


def annotated(setting: Setting) -> DetectionSplits:
    """Return the photos with boxes at random places, a fifth to a half as long as the photo."""
    files = setting.images.photo_splits().train
    assert isinstance(files, ImageFiles)
    generator, images = np.random.default_rng(0), []
    for path in files.paths:
        assert isinstance(path, Path)  # of a folder
        with Image.open(path) as image:
            size = np.array(image.size)
        sides = generator.uniform(0.2, 0.5, (OBJECTS, 2)) * size
        low = generator.uniform(0, 1, (OBJECTS, 2)) * (size - sides)
        no = np.zeros(OBJECTS, np.bool_)
        images.append(
            AnnotatedImage(
                path=path,
                id=path.stem,
                size=(int(size[0]), int(size[1])),
                boxes=np.concatenate((low, low + sides), 1).astype(np.float32),
                labels=generator.integers(0, len(CLASSES), OBJECTS),
                difficult=no,
                crowd=no,
                areas=sides.prod(1).astype(np.float32),
            )
        )
    return DetectionSplits(name="photos", classes=CLASSES, train=tuple(images), test=tuple(images))


def resolved(row: Row, setting: Setting) -> DetectorTraining:
    """Return the training of the row's detector from random weights, whose batch norm has statistics of the photos."""
    config = DetectionConfig(
        recipe=RECIPE.scaled(training.LONG), weights=None, device=setting.device, workers=training.WORKERS
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "a detector that starts from random weights")
        return resolve(row.network, annotated(setting), config)


def ours_training(row: Row, setting: Setting) -> Loop:
    """Prepare `resnets detect train` of the row's network."""
    task = DetectionTask(resolved(row, setting))
    return training.ours_training(task, task.start, setting.scratch / f"{row.name}-run")


def ours_testing(row: Row, setting: Setting) -> Loop:
    """Prepare what `resnets detect predict --precision auto` does with an image once it is decoded."""
    ready, device = resolved(row, setting), setting.on()
    precision = choose_precision("auto", device)
    network, images = ready.network.eval(), _decoded(ready)
    keep_freed_memory()
    place(network, device)

    def loop(tick: Tick) -> None:
        for image in images:
            detect_image([network], image, device=device, precision=precision)
            tick(1)

    return loop


def _decoded(ready: DetectorTraining) -> Iterator[Image.Image]:
    """Yield some photos, one after the other, for ever."""
    images = [Image.open(image.path).convert("RGB") for image in ready.data.test[:TESTED]]
    return itertools.cycle(images)


# ---------------------------------------------------------------- torchvision's


class _Head(nn.Module):
    """conv5_x and the average pooling, as `box_head`."""

    def __init__(self, layer4: nn.Module) -> None:
        super().__init__()
        self.layer4 = layer4

    def forward(self, x: Tensor) -> Tensor:
        return self.layer4(x).mean((2, 3))


def torchvision_of(ours: FasterRCNN) -> nn.Module:
    """Return torchvision's Faster R-CNN with the layers, the weights and all numbers of one of ours."""
    recipe, spec = ours.recipe, ours.spec
    network = models.get_model(spec.name.removesuffix("_v1_5"), weights=None, norm_layer=FrozenBatchNorm2d)
    prefix = "backbone.network."
    weights = {name.removeprefix(prefix): one for name, one in ours.state_dict().items() if name.startswith(prefix)}
    network.load_state_dict(weights, strict=False)  # but the last layer's, which no detector has
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    backbone = nn.Sequential(OrderedDict((name, network.get_submodule(name)) for name in names))
    backbone.out_channels = ours.backbone.shared_channels  # type: ignore[assignment]
    for name in ("conv1", "layer1", "layer2", "layer3")[: recipe.frozen_stages]:
        backbone.get_submodule(name).requires_grad_(False)
    model = detection.FasterRCNN(
        backbone,
        min_size=recipe.shorter_side,
        max_size=recipe.longest_side,
        image_mean=ours.input.mean,
        image_std=ours.input.std or (1.0, 1.0, 1.0),
        rpn_anchor_generator=AnchorGenerator((recipe.anchor_sizes,), (recipe.anchor_ratios,)),
        rpn_pre_nms_top_n_train=recipe.ranked[0],
        rpn_pre_nms_top_n_test=recipe.ranked[1],
        rpn_post_nms_top_n_train=recipe.proposals[0],
        rpn_post_nms_top_n_test=recipe.proposals[1],
        rpn_nms_thresh=recipe.proposal_nms,
        rpn_fg_iou_thresh=recipe.anchor_positive,
        rpn_bg_iou_thresh=recipe.anchor_negative,
        rpn_batch_size_per_image=recipe.anchors_per_image,
        box_roi_pool=MultiScaleRoIAlign(["0"], ours.roi_size, recipe.roi_samples),
        box_head=_Head(network.get_submodule("layer4")),
        box_predictor=FastRCNNPredictor(ours.backbone.region_features, len(CLASSES) + 1),
        box_score_thresh=recipe.score,
        box_nms_thresh=recipe.nms,
        box_detections_per_img=recipe.detections_per_image,
        box_fg_iou_thresh=recipe.region_positive,
        box_bg_iou_thresh=recipe.region_negative[1],
        box_batch_size_per_image=recipe.regions_per_image,
        box_positive_fraction=recipe.region_share,
    )
    model.rpn.head.load_state_dict(ours.proposals.head.state_dict())
    model.roi_heads.box_predictor.load_state_dict(ours.regions.box_predictor.state_dict())
    return model


class _Photos(Dataset[Any]):
    """What the script's data set and its transforms give: a float image, mirrored by half, and its boxes."""

    def __init__(self, images: tuple[AnnotatedImage, ...]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        annotated = self.images[index]
        image = transforms.pil_to_tensor(Image.open(annotated.path).convert("RGB"))
        boxes = torch.from_numpy(annotated.boxes.copy())
        if torch.rand(()) < 0.5:
            image, width = transforms.horizontal_flip(image), image.shape[-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        labels = torch.from_numpy(annotated.labels) + 1
        return transforms.to_dtype(image, torch.float32, scale=True), {"boxes": boxes, "labels": labels}


def _collate(samples: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


def _peer(row: Row, setting: Setting, *, expert: bool) -> tuple[DetectorTraining, nn.Module, Flags]:
    """Return our training, torchvision's model with its weights, and what its user has turned on."""
    ready, device = resolved(row, setting), setting.on()
    model = torchvision_of(ready.network).to(device)
    if not expert:
        return ready, model, Flags(device)
    model.to(memory_format=torch.channels_last)
    return ready, model, Flags(device, bf16=choose_precision("auto", device) == "bf16", channels_last=True)


def torchvision_training(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare the training of torchvision's reference script, or with an expert's bf16 and channels_last."""
    ready, model, flags = _peer(row, setting, expert=expert)
    recipe, device = ready.recipe, flags.device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    loader = DataLoader(
        _Photos(ready.data.train),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=training.WORKERS,
        collate_fn=_collate,
    )

    def loop(tick: Tick) -> None:
        meters: dict[str, AverageMeter] = {}
        model.train()
        with open(os.devnull, "w") as log:
            while True:
                for images, targets in loader:
                    images = [image.to(device) for image in images]
                    targets = [{name: one.to(device) for name, one in target.items()} for target in targets]
                    with flags.autocast():
                        losses = model(images, targets)
                        loss = sum(losses.values())
                    assert torch.isfinite(loss)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    for name, value in (losses | {"loss": loss}).items():
                        meters.setdefault(name, AverageMeter()).update(value.item())
                    print("  ".join(f"{name}: {meter.avg:.4f}" for name, meter in meters.items()), file=log)
                    tick(len(images))

    return loop


def torchvision_testing(row: Row, setting: Setting, *, expert: bool = False) -> Loop:
    """Prepare torchvision's detection on a decoded image, or with an expert's bf16 and channels_last."""
    ready, model, flags = _peer(row, setting, expert=expert)
    model.eval()

    @torch.inference_mode()
    def loop(tick: Tick) -> None:
        for image in _decoded(ready):
            pixels = transforms.to_dtype(transforms.pil_to_tensor(image), torch.float32, scale=True)
            with flags.autocast():
                (found,) = model([pixels.to(flags.device)])
            {name: one.cpu() for name, one in found.items()}
            tick(1)

    return loop
