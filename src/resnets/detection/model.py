"""Detectors in files, and where a new one starts: from a classifier's weights, its layers under the same names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.data.convention import fit_photos, mean_of, std_of
from resnets.data.datasets import ImageFiles
from resnets.data.decoding import decode
from resnets.detection.annotations import AnnotatedImage
from resnets.detection.faster_rcnn import FasterRCNN, Normalization
from resnets.detection.pixels import as_tensor
from resnets.errors import UsageError, WeightsError
from resnets.networks import catalog
from resnets.networks.baselines.vgg import VGG
from resnets.networks.resnet import ResNet
from resnets.runtime.device import place
from resnets.specs import DetectionRecipe, InputConvention, Preprocessing, VGGSpec
from resnets.storage import read_tensors, write_tensors
from resnets.weights.weights_file import Weights, load_into, spec_from_dict, spec_to_dict

SETTLED, SETTLED_SIDE = 8, 128  # images, and their sides in pixels, that give batch norm its statistics
SEEN = 200  # training images whose mean is taken where a backbone does not tell its own


def normalization(convention: InputConvention | None, images: Sequence[AnnotatedImage]) -> Normalization:
    """Return a backbone's, or where it does not tell, the mean of images. A mean image counts by its channels.

    Raises: DataError, if an image cannot be decoded.
    """
    if convention is None:
        chosen = images[:: max(1, len(images) // SEEN)]
        files = ImageFiles(tuple(image.path for image in chosen), np.zeros(len(chosen), np.int64))
        convention = fit_photos(files, Preprocessing(mean="channel"), limit=SEEN)
    std = std_of(convention)
    return Normalization(
        mean=convention.mean or tuple(mean_of(convention).astype(np.float64).mean(axis=(0, 1)).tolist()),
        std=(1.0, 1.0, 1.0) if std is None else tuple(float(value) for value in std),
        white=convention.white,
        order=convention.order,
    )


def classifier(name: str, start: Weights | None) -> ResNet | VGG:
    """Return a network with the weights of a classifier, of any classes, or fresh ones.

    Raises: UsageError, if there is no such network; WeightsError, if the weights are of another.
    """
    wanted = catalog.spec(name)
    if start is None:
        return catalog.build(wanted)
    if start.spec is None:
        last = "classifier.6.weight" if isinstance(wanted, VGGSpec) else "fc.weight"
        if last not in start.tensors:
            raise WeightsError(f"{start.path}: not the weights of a classifier {name}: there is no {last}")
        network = catalog.create(name, num_classes=len(start.tensors[last]))
        start.load_into(network)
        return network
    if start.spec.name != name:
        raise WeightsError(f"{start.path}: these are the weights of {start.spec.name}, not of {name}")
    return start.build()


@torch.no_grad()
def settle(network: ResNet | VGG, images: Sequence[AnnotatedImage]) -> None:
    """Give a network that was not pre-trained the batch-norm statistics of a few images.

    A detector's batch norm is frozen: with statistics of nothing, the maps of a deep residual network would grow until
    no loss is finite.

    Raises: DataError, if an image cannot be decoded.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    chosen = images[:: max(1, len(images) // SETTLED)][:SETTLED]
    views = torch.stack([as_tensor(decode(image.path).resize((SETTLED_SIDE, SETTLED_SIDE))) for image in chosen])
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this one batch
    pixels = views.float() / 255
    network.train()(pixels - pixels.mean((0, 2, 3), keepdim=True))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def make(network: ResNet | VGG, classes: Sequence[str], recipe: DetectionRecipe, pixels: Normalization) -> FasterRCNN:
    """Return a detector on a classifier, which is taken apart for it.

    Raises: UsageError, if the network does not fit.
    """
    if not classes:
        raise UsageError("a detector needs at least one class")
    return FasterRCNN(network, len(classes), recipe, pixels)


@dataclass(frozen=True, eq=False)
class Detector:
    """A trained detector in evaluation mode, its classes by label."""

    path: Path
    network: FasterRCNN
    classes: tuple[str, ...]
    device: torch.device


def header(path: Path) -> dict[str, Any]:
    """Return what the weights of a run's folder or a file tell of themselves, without reading them; {} if nothing."""
    file = path / "weights.safetensors" if path.is_dir() else path
    try:
        with safetensors.safe_open(file, "pt") as content:
            found: dict[str, Any] = json.loads((content.metadata() or {}).get("resnets") or "{}")
            return found
    except (OSError, ValueError, safetensors.SafetensorError):
        return {}  # whoever reads it says what is wrong with it


def is_detector(path: Path) -> bool:
    """Tell whether a run's folder or a weights file is a detector's."""
    return "detector" in header(path)


def make_from(other: Detector, name: str, classes: Sequence[str], recipe: DetectionRecipe) -> FasterRCNN:
    """Return a detector with what another has learnt; its sibling layers only if that one knows the same classes.

    The network is the other's, with all of its options: those of a converted file are not the catalogue's.

    Raises: WeightsError, if the other is on another network than `name`, or of other anchors or context.
    Paper: appendix B, where the model of COCO is fine-tuned on VOC.
    """
    spec = other.network.spec
    if spec.name != name:
        raise WeightsError(f"{other.path}: a detector on {spec.name}, not on {name}")
    network = make(catalog.build(spec), classes, recipe, other.network.pixels)
    learnt = other.network.state_dict()
    if tuple(classes) != other.classes:
        learnt |= {name: tensor for name, tensor in network.state_dict().items() if name.startswith("regions.")}
    load_into(network, learnt)
    return network


def save(path: Path, network: FasterRCNN, classes: Sequence[str]) -> None:
    """Write a detector's weights, with what is needed to use them elsewhere."""
    about = {
        "network": spec_to_dict(network.spec),
        "recipe": dataclasses.asdict(network.recipe),
        "pixels": dataclasses.asdict(network.pixels),
    }
    write_tensors(path, network.state_dict(), {"detector": about, "classes": list(classes)})


def load(path: str | Path, device: torch.device) -> Detector:
    """Return the detector of a run's folder or a weights file.

    Raises: WeightsError, if there is none, or it is damaged.
    """
    path = Path(path)
    if path.is_dir():
        unfinished = (path / "run.json").exists()
        path /= "weights.safetensors"
        if not path.exists():
            why = "this run has not finished: continue it with --resume" if unfinished else "it is not of a run"
            raise WeightsError(f"{path.parent} holds no weights.safetensors; {why}")
    tensors, description = read_tensors(path)
    about = description.get("detector")
    if about is None:
        raise WeightsError(f"{path}: not a detector's weights; `resnets detect train` makes them")
    try:
        classes = tuple(description["classes"])
        network = make(
            catalog.build(spec_from_dict(about["network"])),
            classes,
            recipe_from_dict(about["recipe"]),
            Normalization(**_tuples(about["pixels"])),
        )
    except (TypeError, KeyError, UsageError) as error:
        raise WeightsError(
            f"{path}: its description is not understood ({error}); was it written by a newer version?"
        ) from None
    load_into(network, tensors)
    place(network.eval(), device)
    return Detector(path, network, classes, device)


def recipe_from_dict(data: dict[str, Any]) -> DetectionRecipe:
    """Return the recipe that a file has, without its deviations, which are words."""
    return DetectionRecipe(**_tuples(data) | {"deviations": ()})


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
