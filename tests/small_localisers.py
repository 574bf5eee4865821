"""CLS-LOC data sets of one coloured rectangle an image, and a localiser that learns them by heart in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from resnets.localisation.recipes import SMALL_RCNN, SMALL_RPN
from resnets.localisation.train import LocaliserResult, train_localiser
from resnets.networks import registry
from resnets.specs import InputSpec, ScaleCropFlip
from resnets.weights import weights_file

WNIDS = ("n01440764", "n02102040", "n03028079")
CLASS_IDS = (7, 2, 30)
SIDE = 32

BY_HEART = SMALL_RPN.with_crops(SIDE).with_changes(
    name="by-heart",
    iterations=100,
    milestones=(75,),
    batch_size=6,
    lr=0.1,
    anchors_per_image=256,
    augmentation=ScaleCropFlip(shortest=SIDE, longest=SIDE, crop=SIDE, flip=False),
)
"""Whole images of 32 x 32 pixels, always the same."""

RCNN = SMALL_RCNN.with_crops(SIDE).with_changes(iterations=4, milestones=(), batch_size=8, proposals=12)


class Drawn(NamedTuple):
    """An image's class and its box by first and last pixels, as it is drawn and written."""

    name: str
    wnid: str
    box: tuple[int, int, int, int]


def write_clsloc(root: Path, count: int = 6, size: tuple[int, int] = (SIDE, SIDE), xml: bool = False) -> list[Drawn]:
    """Write a CLS-LOC folder, whose validation images are its training images, and return what is in them."""
    generator = np.random.default_rng(5)
    width, height = size
    drawn = []
    for number in range(count):
        label = number % len(WNIDS)
        w, h = generator.integers(SIDE // 3, SIDE * 3 // 4, 2)
        x, y = int(generator.integers(0, width - w)), int(generator.integers(0, height - h))
        pixels = generator.integers(90, 130, (height, width, 3)).astype(np.uint8)
        pixels[y : y + h, x : x + w, label] = 250
        drawn.append(Drawn(f"ILSVRC2012_val_{number + 1:08}", WNIDS[label], (x, y, int(x + w - 1), int(y + h - 1))))
        for folder in (f"train/{WNIDS[label]}", "val"):
            place = root / "Data" / "CLS-LOC" / folder
            place.mkdir(parents=True, exist_ok=True)
            name = drawn[-1].name if folder == "val" else f"{WNIDS[label]}_{number}"
            Image.fromarray(pixels).save(place / f"{name}.JPEG", quality=95)
    (root / "devkit" / "data").mkdir(parents=True)
    ids = zip(WNIDS, CLASS_IDS, strict=True)
    (root / "devkit" / "data" / "map_clsloc.txt").write_text("".join(f"{wnid} {own} name\n" for wnid, own in ids))
    write_boxes(root, drawn, xml=xml)
    return drawn


def write_boxes(root: Path, drawn: list[Drawn], *, xml: bool) -> None:
    """Write the boxes of training and validation images, as XML files or as Kaggle's tables."""
    for split in ("train", "val"):
        rows = ["ImageId,PredictionString"]
        for number, one in enumerate(drawn):
            name = one.name if split == "val" else f"{one.wnid}_{number}"
            rows.append(f"{name},{one.wnid} {' '.join(map(str, one.box))} ")
            if xml:
                corners = zip(("xmin", "ymin", "xmax", "ymax"), one.box, strict=True)
                box = "".join(f"<{corner}>{value}</{corner}>" for corner, value in corners)
                place = root / "Annotations" / "CLS-LOC" / split / (one.wnid if split == "train" else ".")
                place.mkdir(parents=True, exist_ok=True)
                text = f"<annotation><object><name>{one.wnid}</name><bndbox>{box}</bndbox></object></annotation>"
                (place / f"{name}.xml").write_text(text)
        if not xml:
            (root / f"LOC_{split}_solution.csv").write_text("\n".join(rows) + "\n")


def save_classifier(folder: Path) -> Path:
    """Write a classifier of the three classes that has learnt nothing, and return the file."""
    torch.manual_seed(0)
    path = folder / "resnet8.safetensors"
    classes = ("n01440764 tench", "n02102040 English springer", "n03028079 church")
    spec = InputSpec(size=SIDE, resize=SIDE, mean=(0.4,) * 3)
    weights_file.save(path, registry.create("resnet8", num_classes=3), classes=classes, input_spec=spec)
    return path


def train(data: Path, out: Path, recipe: Any = BY_HEART, **settings: Any) -> LocaliserResult:
    """Train a localiser on a network of eight layers on the CPU, in this process."""
    settings = {"weights": None, "workers": 0, "device": "cpu", "precision": "fp32"} | settings
    return train_localiser("resnet8", f"clsloc:{data}", recipe=recipe, out=out, **settings)


class TinyLocaliser(NamedTuple):
    """A finished run, its folder of images, and what is in them."""

    run: Path
    data: Path
    drawn: list[Drawn]
