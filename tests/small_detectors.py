"""A detector of ten layers and images of a few coloured rectangles, which it learns in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.detection.annotations import AnnotatedImage, DetectionSplits
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.masks import Mask
from resnets.detection.train import DetectorResult, train_detector
from resnets.networks import registry
from resnets.networks.comparison.vgg import VGG
from resnets.networks.resnet import ResNet
from resnets.specs import DetectionRecipe, InputSpec, ResNetSpec, VGGSpec
from resnets.weights import weights_file

CPU = torch.device("cpu")
CLASSES = ("red", "green")

SPEC = ResNetSpec(
    name="resnet10",
    type="imagenet",
    depth=10,
    block="basic",
    blocks=(1, 1, 1, 1),
    residual=True,
    shortcut="B",
    stride=None,
    num_classes=10,
)
VGG_SPEC = VGGSpec(name="vgg8", depth=8, convolutions=(1, 1, 1, 1, 1), num_classes=10)

INPUT = InputSpec(size=64, resize=64, mean=(0.5, 0.5, 0.5))

RECIPE = DetectionRecipe(
    name="small",
    source="these tests",
    iterations=8,
    batch_size=1,
    lr=0.002,
    momentum=0.9,
    weight_decay=5e-4,
    shorter_side=96,
    longest_side=128,
    frozen_stages=0,
    anchor_sizes=(32, 64),
    anchors_per_image=64,
    ranked=(300, 100),
    proposals=(100, 30),
    roi_size=4,
    regions_per_image=32,
)


def network() -> ResNet:
    """Return a residual network of ten layers, its batch norms as after a pre-training: no two alike."""
    torch.manual_seed(1)
    made = registry.build(SPEC)
    assert isinstance(made, ResNet)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.8, 1.2),
                (module.bias.data, -0.1, 0.1),
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.8, 1.2),
            ):
                assert tensor is not None
                tensor.uniform_(low, high)
    return made


def vgg() -> VGG:
    """Return a VGG of five convolutions."""
    torch.manual_seed(1)
    made = registry.build(VGG_SPEC)
    assert isinstance(made, VGG)
    return made


def detector(recipe: DetectionRecipe = RECIPE, classes: int = 2) -> FasterRCNN:
    """Return a detector on `network`."""
    return FasterRCNN(network(), classes, recipe, INPUT)


def annotated(
    path: Path, boxes: list[list[float]], labels: list[int], size: tuple[int, int] = (128, 96), crowd: int = 0
) -> AnnotatedImage:
    """Return an image's annotation; the last `crowd` boxes are crowds."""
    flags = np.zeros(len(labels), np.bool_)
    flags[len(labels) - crowd :] = True
    return AnnotatedImage(
        path=path,
        id=path.stem,
        size=size,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        labels=np.asarray(labels, np.int64),
        difficult=np.zeros(len(labels), np.bool_),
        crowd=flags,
        areas=np.zeros(len(labels), np.float32),
    )


def rectangles(folder: Path, count: int = 2, size: tuple[int, int] = (128, 96)) -> tuple[AnnotatedImage, ...]:
    """Write images of two or three rectangles on grey noise, red or green by class, and return their annotations."""
    generator = np.random.default_rng(3)
    images = []
    width, height = size
    for number in range(count):
        pixels = generator.integers(90, 130, (height, width, 3)).astype(np.uint8)
        boxes, labels = [], []
        for place in range(2 + number % 2):
            w, h = generator.integers(26, 40), generator.integers(26, 60)
            x, y = place * width // 3 + generator.integers(0, 5), generator.integers(0, height - h)
            label = int(generator.integers(0, 2))
            pixels[y : y + h, x : x + w, label] = 250
            boxes.append([x, y, x + w, y + h])
            labels.append(label)
        path = folder / f"{number:06}.png"
        Image.fromarray(pixels).save(path)
        images.append(annotated(path, boxes, labels, size))
    return tuple(images)


def splits(folder: Path, count: int = 2) -> DetectionSplits:
    """Return a data set of rectangles that is tested on what it is trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    images = rectangles(folder, count)
    return DetectionSplits(name="rectangles", classes=CLASSES, train=images, test=images, digest="synthetic")


def halves(images: tuple[AnnotatedImage, ...]) -> tuple[AnnotatedImage, ...]:
    """Return images of rectangles whose masks are these without a corner, their numbers as ids."""
    made = []
    for number, image in enumerate(images, 1):
        masks = []
        for x1, y1, x2, y2 in image.boxes.astype(int).tolist():
            pixels = np.zeros(image.size[::-1], np.uint8)
            pixels[y1:y2, x1:x2] = 1
            pixels[y1 : (y1 + y2) // 2, x1 : (x1 + x2) // 2] = 0
            masks.append(Mask.of_pixels(pixels))
        areas = np.asarray([mask.area for mask in masks])
        made.append(dataclasses.replace(image, id=number, masks=tuple(masks), areas=areas))
    return tuple(made)


@contextmanager
def small_networks() -> Iterator[None]:
    """Let the catalogue have a narrow network of ten layers, and a VGG of eight, which train in seconds."""
    real, small = registry.declare, {"resnet10": SPEC, "vgg8": VGG_SPEC}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "declare", lambda name, **options: small.get(name) or real(name, **options))
        patch.setattr(ResNetSpec, "widths", property(lambda self: (16, 32, 64, 64)))
        patch.setattr(VGGSpec, "widths", (8, 8, 16, 16, 16))
        patch.setattr(VGGSpec, "hidden", 64)
        yield


def save_classifier(path: Path, made: ResNet | VGG) -> Path:
    """Write a classifier's weights, with the mean (0.4, 0.5, 0.6), and return the file."""
    input_spec = InputSpec(size=64, resize=64, mean=(0.4, 0.5, 0.6))
    weights_file.save(path, made, classes=tuple("abcdefghij"), input_spec=input_spec)
    return path


class TinyDetector(NamedTuple):
    """A finished run, and its two images, which it is tested on too."""

    run: Path
    data: DetectionSplits


def train(
    start: Path | None, out: Path, data: DetectionSplits, recipe: DetectionRecipe = RECIPE, **settings: Any
) -> DetectorResult:
    """Train a detector on the network of ten layers on the CPU, in this process."""
    settings = {"workers": 0, "device": "cpu", "precision": "fp32", "recipe": recipe} | settings
    return train_detector(settings.pop("network", "resnet10"), data, weights=start, out=out, **settings)
